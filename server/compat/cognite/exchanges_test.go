package cognite_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the answers in testdata again")

// changing is what differs from run to run, and what stands for it.
var changing = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`"(\w+Time)": \d{13}`), `"$1": TIME`},
	{regexp.MustCompile(`"hash": "[0-9a-f]{64}"`), `"hash": "HASH"`},
	{regexp.MustCompile(`"nonce": "[A-Z2-7]{26}"`), `"nonce": "NONCE"`},
	{regexp.MustCompile(`"id": \d+`), `"id": NUMBER`},
	{regexp.MustCompile(`[0-9a-f]{8}-0000-4000-8000-\d{12}`), `TASK`},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), `EXECUTION`},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), `CDF`},
}

// TestExchanges plays the recorded exchanges and holds each against the server: status, content type, and the body with what
// changes replaced. A file is one or more of them, in their order, on a server of its own: the request, a line "---", the answer,
// and a line "===" before the next. The request is METHOD PATH KEY, with - for no key, and its body; "as NAME" behind them keeps
// the answer's id as {NAME}. Before it may stand "AWAIT NAME STATUS", which also keeps the ids of tasks as {NAME.TASK}; {none} is nobody's id.
func TestExchanges(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			t.Parallel()
			play(t, file)
		})
	}
}

func play(t *testing.T, file string) {
	r := newRig(t)
	r.store("library", `[{"externalId":"echo","type":"function","parameters":{"function":{"externalId":"echo","data":{"got":"${workflow.input}"}}}}]`)
	r.set("flaky", true)
	names := map[string]string{"none": noID}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var all []string
	for exchange := range strings.SplitSeq(string(text), "===\n") {
		asked, want, found := strings.Cut(exchange, "---\n")
		require.True(t, found || *update, "%s: no answer behind %s", file, asked)
		request := asked
		if words := strings.Fields(request); words[0] == "AWAIT" {
			id := names[words[1]]
			for _, v := range r.ends(id, words[2])["executedTasks"].([]any) {
				v := v.(map[string]any)
				names[words[1]+"."+v["externalId"].(string)] = v["id"].(string)
			}
			r.listed(1, `{"status":["`+words[2]+`"]}`)
			_, request, _ = strings.Cut(request, "\n")
		}
		for name, id := range names {
			request = strings.ReplaceAll(request, "{"+name+"}", id)
		}
		head, body, _ := strings.Cut(request, "\n")
		words := strings.Fields(head)
		require.Contains(t, []int{3, 5}, len(words), "%s: METHOD PATH KEY, or METHOD PATH KEY as NAME: %s", file, head)
		a := r.ask(words[0], words[1], strings.TrimPrefix(words[2], "-"), strings.TrimSuffix(body, "\n"))
		if len(words) == 5 {
			names[words[4]], _ = a.json()["id"].(string)
		}
		answer := written(t, a)
		if *update {
			want = answer
		}
		require.Equal(t, want, answer, "%s: %s", file, head)
		all = append(all, asked+"---\n"+want)
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(all, "===\n")), 0o600))
	}
}

// written is an answer as testdata has it.
func written(t *testing.T, a reply) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", a.Code, a.Header().Get("Content-Type"))
	for _, h := range []string{"Allow", "WWW-Authenticate"} {
		for _, v := range a.Header().Values(h) {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	b.WriteString("\n")
	require.NoError(t, json.Indent(&b, bytes.TrimSpace(a.Body.Bytes()), "", "  "), a.Body)
	text := b.String() + "\n"
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.instead)
	}
	return text
}
