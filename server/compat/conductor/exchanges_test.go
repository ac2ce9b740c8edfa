package conductor_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/server"
)

var record = flag.Bool("record", false, "write the answers in testdata/exchanges again")

func TestMain(m *testing.M) { os.Exit(queuetest.Run(m)) }

// rig is a server that speaks Conductor over an engine and a real Redis. No worker process runs: tasks that
// Conductor's workers poll, and those that nobody runs, are all there is.
type rig struct {
	t      testing.TB
	server *server.Server
	engine *engine.Engine
	names  map[string]string // what was answered, by the name that exchanges use
	offset *atomic.Int64     // of the clock
}

func newRig(t testing.TB, change ...func(*server.Options)) *rig {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	o := queue.DefaultOptions()
	o.URL, o.Logger = queuetest.URL(t), quiet
	var offset atomic.Int64
	o.ClockOffset = func() time.Duration { return time.Duration(offset.Load()) }
	store, err := queue.Open(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	eo := engine.DefaultOptions()
	eo.Store, eo.Logger = store, quiet
	e, err := engine.New(eo)
	require.NoError(t, err)
	pump := engine.NewPump(e)
	require.NoError(t, pump.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, pump.Stop(context.Background())) })
	so := server.DefaultOptions()
	so.Engine, so.Registry, so.Listen, so.Dialects, so.Logger, so.Open = e, prometheus.NewRegistry(), "127.0.0.1:0", []string{"conductor"}, quiet, true
	for _, c := range change {
		c(&so)
	}
	s, err := server.New(so)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return &rig{t, s, e, map[string]string{}, &offset}
}

// later moves the clock.
func (r *rig) later(d time.Duration) { r.offset.Add(int64(d)) }

func (r *rig) ask(method, path, body string) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.askWith(nil, method, path, body)
}

// askWith is ask with headers.
func (r *rig) askWith(headers map[string]string, method, path, body string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Host = "localhost"
	req.Header.Set("Accept", "application/json") // as Conductor's Go client does, whatever it expects
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	return w
}

// asks asks until the answer is as it shall be. It is for lists over all executions: those follow what happens a little
// later, and no event tells when. What becomes of one execution is waited for with until, which watches it.
func (r *rig) asks(method, path, body string, until func(w *httptest.ResponseRecorder) bool) *httptest.ResponseRecorder {
	r.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		w := r.ask(method, path, body)
		require.Equal(r.t, http.StatusOK, w.Code, w.Body)
		if until(w) {
			return w
		}
		require.Less(r.t, time.Since(began), time.Minute, "%s %s: %s", method, path, w.Body)
	}
}

// completes ends the task of a reference name as soon as it waits for that.
func (r *rig) completes(id, ref, output string) {
	r.t.Helper()
	r.until(id, ref+" waits", func(w wireRun) bool { return w.task(ref).Status == "IN_PROGRESS" })
	require.NotEmpty(r.t, r.must("POST", "/tasks/"+id+"/"+ref+"/COMPLETED", output))
}

// runs is the id of the only execution of a workflow that runs, as soon as it does.
func (r *rig) runs(name string) string {
	r.t.Helper()
	var running []string
	r.asks("GET", "/api/workflow/running/"+name, "", func(w *httptest.ResponseRecorder) bool {
		require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &running))
		return len(running) == 1
	})
	return running[0]
}

var (
	moments = regexp.MustCompile(`\b1[0-9]{12}\b`)
	waits   = regexp.MustCompile(`"(queueWaitTime|executionTime)": \d+`)
	stamps  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	hosts   = regexp.MustCompile(`"instance": "[^"]*"`)
)

// neutral takes out of an answer what is another one each time.
func (r *rig) neutral(text string) string {
	names := slices.SortedFunc(maps.Keys(r.names), func(a, b string) int {
		return cmp.Or(len(r.names[b])-len(r.names[a]), strings.Compare(a, b))
	}) // ids of tasks hold those of executions
	for _, name := range names {
		text = strings.ReplaceAll(text, r.names[name], "{"+name+"}")
	}
	text = moments.ReplaceAllString(text, "1700000000000")
	text = waits.ReplaceAllString(text, `"$1": 0`)
	text = stamps.ReplaceAllString(text, "2026-01-31T08:00:00.000Z")
	return hosts.ReplaceAllString(text, `"instance": "HOST"`)
}

// note remembers what an answer names: the id that it is, or the task that was polled.
func (r *rig) note(name string, w *httptest.ResponseRecorder) {
	text := strings.TrimSpace(w.Body.String())
	if w.Code != http.StatusOK || text == "" {
		return
	}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") && strings.Count(text, "-") == 4 && !strings.Contains(text, ".") {
		r.names[name] = text
		return
	}
	var run struct{ ResponseType, WorkflowID string }
	if json.Unmarshal(w.Body.Bytes(), &run) == nil && run.ResponseType != "" {
		r.names[name] = run.WorkflowID
		return
	}
	var tasks []struct{ TaskID, TaskType string }
	if json.Unmarshal(w.Body.Bytes(), &tasks) != nil || len(tasks) == 0 || tasks[0].TaskType == "" {
		return
	}
	r.names[name] = tasks[0].TaskID
}

// TestExchanges asks what is recorded, in the order of the files, and holds the answers against what is recorded:
// status, content type, and the body. A file is "METHOD PATH", a body, a line "---", and the answer; {NAME} stands for what the
// exchange of that name answered.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	require.Greater(t, len(files), 60)
	r := newRig(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		name = name[strings.IndexByte(name, '_')+1:]
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		asked, want, found := strings.Cut(string(raw), "---\n")
		require.True(t, found, file)
		request := asked
		for key, value := range r.names {
			request = strings.ReplaceAll(request, "{"+key+"}", value)
		}
		head, body, _ := strings.Cut(request, "\n")
		method, path, _ := strings.Cut(head, " ")
		prefix := "/api"
		if strings.HasSuffix(name, "_below") {
			prefix = "/conductor/api"
		}
		w := r.ask(method, prefix+path, strings.TrimSuffix(body, "\n"))
		r.note(name, w)
		var got bytes.Buffer
		fmt.Fprintf(&got, "%d %s\n", w.Code, w.Header().Get("Content-Type"))
		for _, h := range []string{"Allow", "Retry-After"} {
			if v := w.Header().Get(h); v != "" {
				fmt.Fprintf(&got, "%s: %s\n", h, v)
			}
		}
		got.WriteString("\n")
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			require.NoError(t, json.Indent(&got, bytes.TrimSpace(w.Body.Bytes()), "", "  "), w.Body.String())
		} else {
			got.Write(w.Body.Bytes())
		}
		got.WriteString("\n")
		answer := r.neutral(got.String())
		if *record {
			want = answer
			require.NoError(t, os.WriteFile(file, []byte(asked+"---\n"+answer), 0o600))
		}
		require.Equal(t, want, answer, file)
	}
}
