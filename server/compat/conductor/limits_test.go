package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

// counted is an engine with an execution that runs on and on, and any number of executions of some schedules. It counts what is read.
type counted struct {
	Engine
	trees      atomic.Int32
	executions int
	schedules  []string
	ends       time.Duration // 0 = it does not
	ref        string        // of the task that ends instead of the whole
}

func (e *counted) Tasks(context.Context, string, engine.Page) ([]engine.Task, string, error) {
	e.trees.Add(1)
	return nil, "", nil
}

func (e *counted) Watch(ctx context.Context, _, _ string) ([]engine.Event, bool, error) {
	over := make(<-chan time.Time)
	if e.ends > 0 {
		over = time.After(e.ends)
	}
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-over:
		return []engine.Event{{Seq: "1", Ref: e.ref, Type: "task.succeeded"}}, e.ref == "", nil
	}
}

func (e *counted) Notes(context.Context, string, string) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, name := range e.schedules {
		all[name] = json.RawMessage(`{}`)
	}
	return all, nil
}

func (e *counted) Executions(_ context.Context, _ string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error) {
	e.executions += page.Limit
	list := make([]engine.Execution, page.Limit)
	for i := range list {
		list[i] = engine.Execution{ID: fmt.Sprint(f.LabelValue, i), Version: 1}
	}
	return list, "more", nil
}

func handlersOver(e Engine) *handlers {
	h := &handlers{engine: e, stopping: context.Background()}
	h.shelf.put(shelfKey{version: 1}, &known{})
	return h
}

// TestHowOftenWaitersLook: the whole tree is read less and less often, and the end is told at once.
func TestHowOftenWaitersLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &counted{}
		began := time.Now()
		require.NoError(t, handlersOver(e).awaitBlocked(t.Context(), &engine.Execution{ID: "x", Version: 1}, time.Minute, "", ""))
		require.Equal(t, time.Minute, time.Since(began))
		require.Less(t, e.trees.Load(), int32(40))

		for _, e := range []*counted{{ends: 30 * time.Second}, {ends: 30 * time.Second, ref: "a"}} { // the whole, or the task that is waited for
			began = time.Now()
			require.NoError(t, handlersOver(e).awaitBlocked(t.Context(), &engine.Execution{ID: "x", Version: 1}, time.Minute, "a", ""))
			require.Equal(t, 30*time.Second, time.Since(began))
		}
	})
}

// TestHowMuchSearchesRead: no more than they answer from.
func TestHowMuchSearchesRead(t *testing.T) {
	ask := func(e Engine, path string, serve func(*handlers) handler) {
		t.Helper()
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequestWithContext(auth.With(t.Context(), &auth.Principal{}), "GET", path, nil)
		require.NoError(t, serve(handlersOver(e))(c))
	}
	schedules := make([]string, 50)
	for i := range schedules {
		schedules[i] = fmt.Sprintf("s%02d", i)
	}
	scheduled := func(h *handlers) handler { return h.searchScheduled }
	for query, want := range map[string]int{
		"start=10&size=20": 50 * 31, "size=20&query=scheduleName%3Ds07": 21, "size=5000": maxSearched, "query=workflowId%3Ds071+AND+scheduleName+IN+(s07,s08)": 2 * maxScheduled,
	} {
		e := &counted{schedules: schedules}
		ask(e, "/?"+query, scheduled)
		require.Equal(t, want, e.executions, query)
	}
	e := &counted{}
	ask(e, "/?size=10", func(h *handlers) handler { return h.searchTasks(false) })
	require.Equal(t, maxTaskSearched, e.executions)
}

// failing is an engine with executions that failed. It counts what is read of them.
type failing struct {
	counted
	read []string
}

func (e *failing) Executions(context.Context, string, engine.ExecutionFilter, engine.Page) ([]engine.Execution, string, error) {
	part := &engine.Parent{Execution: "elsewhere", Task: "t"}
	return []engine.Execution{
		{ID: "1", Version: 1, Status: workflow.ExecutionFailed}, {ID: "2", Version: 1, Status: workflow.ExecutionFailed, Parent: part},
		{ID: "3", Version: 1, Status: workflow.ExecutionFailed, Parent: &engine.Parent{Execution: "1", Task: "t"}},
	}, "", nil
}

func (e *failing) Execution(_ context.Context, id string) (*engine.Execution, error) {
	e.read = append(e.read, id)
	return &engine.Execution{ID: id, Version: 1}, nil
}

func (e *failing) TasksWhere(_ context.Context, id string, wanted func(*engine.Task) bool) ([]engine.Task, error) {
	var all []engine.Task
	if fork := (engine.Task{Ref: "f", Name: "f", Status: workflow.TaskFailed, Attempt: 1, Child: "part"}); id == "forked" && wanted(&fork) {
		return []engine.Task{fork}, nil
	}
	for ref, status := range map[string]workflow.TaskStatus{"a": workflow.TaskSucceeded, "b": workflow.TaskFailed} {
		if task := (engine.Task{Ref: ref, Name: ref, Status: status, Attempt: 3}); wanted(&task) {
			all = append(all, task)
		}
	}
	return all, nil
}

// TestHowMuchSummariesRead: of executions that failed what did, and of parents only those that are asked for and not at hand.
func TestHowMuchSummariesRead(t *testing.T) {
	for query, want := range map[string][]string{"topLevelOnly=true": nil, "": nil, "query=parentWorkflowId!%3Dx": {"elsewhere"}} {
		e := &failing{}
		h := handlersOver(e)
		w := httptest.NewRecorder()
		c, _ := gin.CreateTestContext(w)
		c.Request = httptest.NewRequestWithContext(auth.With(t.Context(), &auth.Principal{}), "GET", "/?"+query, nil)
		require.NoError(t, h.search(false)(c))
		require.Equal(t, want, e.read, query)
		require.Zero(t, e.trees.Load())
		require.Contains(t, w.Body.String(), `"failedReferenceTaskNames":"b"`)
	}

	e := &failing{}
	h := handlersOver(e)
	h.shelf.put(shelfKey{version: 2}, &known{nodes: map[string]node{"f": {Ref: "j", Type: "JOIN", Inner: true}}})
	all, err := h.failures(t.Context(), &engine.Execution{ID: "forked", Version: 2})
	require.NoError(t, err)
	refs, _ := failedOf(all)
	require.ElementsMatch(t, []string{"b", "j"}, refs, "what was made at run time failed, too")
	require.Equal(t, []string{"part"}, e.read)
}
