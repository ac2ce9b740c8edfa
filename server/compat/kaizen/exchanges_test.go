package kaizen_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/workflow"
)

var (
	update  = flag.Bool("update", false, "write the answers in testdata again")
	discard = slog.New(slog.DiscardHandler)
)

// changes are what the state is for exchanges that need another one, by name.
var changes = map[string]func(f *fake){
	"retry_unsafe": func(f *fake) {
		f.refuse = engine.Conflict("acknowledge_required", "tasks with unsafe effects would run again; say that this is all right with acknowledge: pay")
	},
	"retry_unavailable": func(f *fake) {
		f.refuse = &engine.Error{Kind: engine.KindUnavailable, Code: "unavailable", Message: "Redis cannot be reached"}
	},
	"retry_broken":      func(f *fake) { f.refuse = errors.New("secret detail") },
	"execute_full":      func(f *fake) { f.refuse = engine.Conflict("concurrency_limit", "as many run as may") },
	"execute_sync_full": func(f *fake) { f.refuse = engine.Conflict("concurrency_limit", "as many run as may") },
	"batch_of_every_status": func(f *fake) {
		for i := range f.all {
			f.all[i].Labels = map[string]string{"kaizen.batch": "all"}
		}
	},
	"get_canceled_without_reason": func(f *fake) {
		x := &f.all[slices.IndexFunc(f.all, func(x engine.Execution) bool { return x.ID == idCanceled })]
		x.Reason, x.StartedAt = "", &x.CreatedAt
	},
	"execute_params_refused": func(f *fake) {
		f.refuse = engine.Invalid("request_invalid", "the execution cannot be started",
			workflow.Problem{Field: "input.claim", Code: "required", Message: "is missing", Allowed: "a string"},
			workflow.Problem{Field: "labels.kaizen.name", Code: "too_long", Message: "is too long", Allowed: "1 to 256 bytes each"},
			workflow.Problem{Field: "timeout", Code: "out_of_range", Message: "is 800h0m0s"})
	},
}

// TestExchanges holds each recorded exchange against the server: status, content type, and the body to the byte.
// A file is the request, a line "---", and the answer.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	require.Greater(t, len(files), 30)
	r := newRig(t, func(o *server.Options) { o.MaxBody = 4096 })
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			asked, want, found := strings.Cut(string(text), "---\n")
			require.True(t, found)
			head, body, _ := strings.Cut(asked, "\n")
			words := strings.Fields(head)
			require.Len(t, words, 3, "METHOD PATH KEY, with - for none")
			for _, prefix := range []string{"", "/kaizen"} {
				r.fake.reset()
				if change := changes[name]; change != nil {
					change(r.fake)
				}
				w := r.ask(words[0], prefix+words[1], strings.TrimPrefix(words[2], "-"), strings.TrimSuffix(body, "\n"))
				var got bytes.Buffer
				fmt.Fprintf(&got, "%d %s\n", w.Code, w.Header().Get("Content-Type"))
				for _, h := range []string{"Allow", "Retry-After", "WWW-Authenticate"} {
					for _, v := range w.Header().Values(h) {
						fmt.Fprintf(&got, "%s: %s\n", h, v)
					}
				}
				got.WriteString("\n")
				require.NoError(t, json.Indent(&got, bytes.TrimSpace(w.Body.Bytes()), "", "  "))
				got.WriteString("\n")
				answer := strings.ReplaceAll(got.String(), "/kaizen/", "/")
				if *update {
					want = answer
					require.NoError(t, os.WriteFile(file, []byte(asked+"---\n"+answer), 0o644))
				}
				require.Equal(t, want, answer)
			}
		})
	}
	for name := range changes {
		require.FileExists(t, filepath.Join("testdata", "exchanges", name+".http"))
	}
}

// TestEveryOperationIsRecorded: one exchange or more for each row of the parity table in the package comment.
func TestEveryOperationIsRecorded(t *testing.T) {
	source, err := os.ReadFile("kaizen.go")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^//\t(/\S+)`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, rows, 9)
	page, err := os.ReadFile("../../../docs/kaizen.md")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	for _, row := range rows {
		recorded := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			recorded = recorded || strings.HasPrefix(string(text), "POST "+row[1]+" ")
		}
		require.True(t, recorded, "no exchange of %s", row[1])
		require.Contains(t, string(page), "`"+row[1]+"`", "docs/kaizen.md has no row of it")
	}
}
