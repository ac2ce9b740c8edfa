package digdag_test

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

// changing is what differs from run to run.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|@[0-9a-f]{16}|2[0-9-]{9}T00:00:00\+09:00",\n\s+"disabledAt`)

const (
	recordedDaily = "timezone: Asia/Tokyo\nschedule: {daily>: 07:00:00}\n+a:\n  echo>: hello ${name}\n+b:\n  fail>: no ${session_date}\n"
	recordedHeld  = "+wait: {wait>: 1h}\n"
)

// TestExchanges plays the recorded exchanges in the order of their names and holds each against the server: status, content
// type and body, with times replaced. A file is the request, a line "---", and the answer. Before a request may stand "AWAIT
// ID STATUS"; the body ARCHIVE is an archive of two workflow files.
func TestExchanges(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	require.Greater(t, len(files), 30)
	r := newRig(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		asked, want, found := strings.Cut(string(text), "---\n")
		require.True(t, found, file)
		head, body, _ := strings.Cut(asked, "\n")
		if words := strings.Fields(head); words[0] == "AWAIT" {
			r.ends(words[1], words[2])
			head, body, _ = strings.Cut(body, "\n")
		}
		words := strings.Fields(head)
		require.Len(t, words, 3, "%s: METHOD PATH KEY, with - for none", file)
		if body = strings.TrimSuffix(body, "\n"); body == "ARCHIVE" {
			body = archive(t, map[string]string{"daily.dig": recordedDaily, "held.dig": recordedHeld})
		}
		w := r.ask(words[0], words[1], strings.TrimPrefix(words[2], "-"), body)
		var got bytes.Buffer
		fmt.Fprintf(&got, "%d %s\n", w.Code, w.Header().Get("Content-Type"))
		for _, h := range []string{"Allow", "WWW-Authenticate"} {
			for _, v := range w.Header().Values(h) {
				fmt.Fprintf(&got, "%s: %s\n", h, v)
			}
		}
		got.WriteString("\n")
		require.NoError(t, json.Indent(&got, bytes.TrimSpace(w.Body.Bytes()), "", "  "), "%s: %s", file, w.Body)
		got.WriteString("\n")
		answer := changing.ReplaceAllStringFunc(got.String(), func(s string) string {
			_, rest, _ := strings.Cut(s, `"`)
			if rest != "" {
				return `TIME"` + rest
			}
			return "TIME"
		})
		if *update {
			want = answer
			require.NoError(t, os.WriteFile(file, []byte(asked+"---\n"+answer), 0o644))
		}
		require.Equal(t, want, answer, file)
	}
}

// TestEveryOperationIsRecorded: one exchange or more for each row of the parity table in the package comment, but the
// two that do not answer JSON.
func TestEveryOperationIsRecorded(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("digdag.go")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^//\t(GET|PUT|POST|DELETE) +(/\S+)`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, rows, 37)
	page, err := os.ReadFile("../../../docs/digdag.md")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all.WriteString("\n" + string(text))
	}
	parameter := regexp.MustCompile(`\\\{\w+\\\}`)
	for _, row := range rows {
		if strings.HasSuffix(row[2], "/archive") || strings.HasSuffix(row[2], "/{file}") {
			continue
		}
		pattern := regexp.MustCompile(`\n` + row[1] + ` ` + parameter.ReplaceAllString(regexp.QuoteMeta(row[2]), `[^/ ?]+`) + `(\?\S*)? `)
		require.Regexp(t, pattern, all.String(), "no exchange of %s %s", row[1], row[2])
		require.Contains(t, string(page), "/"+strings.Split(row[2], "/")[2], "docs/digdag.md has no row of it")
	}
}
