package prefect_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the answers in testdata again")

// TestExchanges holds recorded exchanges against the server. A file is one or more of them, in their order, on a server of its
// own: the request, a line "---", the answer, and a line "===" before the next. In requests {approval} and {work} are
// executions, {own} a flow run that Prefect's own process runs, {flow} its flow; in answers ids and times are masked.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			r := newRig(t)
			names := strings.NewReplacer("{approval}", r.start("expenses", `{"n":5}`), "{work}", r.start("work", `{}`), "{own}", r.run(""), "{none}", noID, "{flow}", r.flowID("own"))
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var all []string
			for exchange := range strings.SplitSeq(string(text), "===\n") {
				asked, want, found := strings.Cut(exchange, "---\n")
				require.True(t, found || *update)
				head, body, _ := strings.Cut(asked, "\n")
				method, path, _ := strings.Cut(head, " ")
				a := r.ask(method, names.Replace(path), names.Replace(strings.TrimSuffix(body, "\n")))
				var got bytes.Buffer
				fmt.Fprintf(&got, "%d %s\n\n", a.code, a.kind)
				if a.kind == "application/json" {
					require.NoError(t, json.Indent(&got, []byte(masked(a.text)), "", "  "))
				} else {
					got.WriteString(a.text)
				}
				got.WriteString("\n")
				if *update {
					want = got.String()
				}
				require.Equal(t, want, got.String(), head)
				all = append(all, asked+"---\n"+want)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(strings.Join(all, "===\n")), 0o600))
			}
		})
	}
}
