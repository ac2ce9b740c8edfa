package cognite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/redrive/redrive/tasks"
)

// functions are what tasks call: of type function, transformation and simulation by their external ids, of type cdf by their paths.
type functions struct {
	*state
	asked   chan string   // ids of tasks that "async" was called for
	release chan struct{} // lets one call of "hold" return
}

type state struct {
	mu     sync.Mutex
	broken map[string]bool
	calls  map[string]int
}

func newFunctions() functions {
	return functions{&state{broken: map[string]bool{}, calls: map[string]int{}}, make(chan string, 100), make(chan struct{})}
}

// set says whether what is called so fails.
func (f functions) set(name string, broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken[name] = broken
}

// called counts a call, and answers whether it fails.
func (f functions) called(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[name]++
	return f.broken[name]
}

// count is how often something was called.
func (f functions) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

func (f functions) counts(names ...string) []int {
	all := make([]int, len(names))
	for i, name := range names {
		all[i] = f.count(name)
	}
	return all
}

// types are the task types of the worker.
func (f functions) types() []tasks.Type {
	named := func(input json.RawMessage, fallback string) string {
		var in struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(input, &in) == nil && in.Name != "" {
			return in.Name
		}
		return fallback
	}
	run := map[string]func(ctx context.Context, j *tasks.Job) (json.RawMessage, error){
		"echo": func(_ context.Context, j *tasks.Job) (json.RawMessage, error) {
			f.called(named(j.Input, "echo"))
			return j.Input, nil
		},
		"flaky": func(_ context.Context, j *tasks.Job) (json.RawMessage, error) {
			if name := named(j.Input, "flaky"); f.called(name) {
				return nil, tasks.Error("broken", "%s is broken", name)
			}
			return json.RawMessage(`{"fine":true}`), nil
		},
		"hopeless": func(_ context.Context, j *tasks.Job) (json.RawMessage, error) {
			if f.called(named(j.Input, "hopeless")) {
				return nil, tasks.Fatal("hopeless", "there is no hope")
			}
			return json.RawMessage(`{"fine":true}`), nil
		},
		"hold": func(ctx context.Context, j *tasks.Job) (json.RawMessage, error) {
			f.called(named(j.Input, "hold"))
			select {
			case <-f.release:
				return json.RawMessage(`{"held":true}`), nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		},
		"async": func(_ context.Context, j *tasks.Job) (json.RawMessage, error) {
			var in struct {
				ID string `json:"cogniteOrchestrationTaskId"`
			}
			if err := json.Unmarshal(j.Input, &in); err != nil {
				return nil, err
			}
			f.called("async")
			f.asked <- in.ID
			return json.RawMessage(`{"begun":true}`), nil
		},
		"job": func(context.Context, *tasks.Job) (json.RawMessage, error) { return json.RawMessage(`{"jobId":7}`), nil },
		"routine": func(context.Context, *tasks.Job) (json.RawMessage, error) {
			return json.RawMessage(`{"runId":1,"logId":2,"statusMessage":"done"}`), nil
		},
	}
	var all []tasks.Type
	for name, handler := range run {
		all = append(all, tasks.Type{Name: name, Handler: tasks.HandlerFunc(handler)})
	}
	return all
}

// answerCDF is the data platform: it says what was asked.
func (f functions) answerCDF(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if f.called(r.URL.Path) {
		w.WriteHeader(http.StatusBadGateway)
	}
	body, _ := io.ReadAll(r.Body) // of a test
	if len(body) == 0 {
		body = []byte("null")
	}
	_, _ = fmt.Fprintf(w, `{"method":%q,"path":%q,"query":%q,"version":%q,"body":%s}`, r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Cdf-Version"), body)
}
