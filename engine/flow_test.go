package engine_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func TestMain(m *testing.M) {
	code := queuetest.Run(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString("goroutines are left: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

type rig struct {
	*engine.Engine
	t     *testing.T
	store *queue.Redis
}

func newRig(t *testing.T) *rig {
	t.Helper()
	o := queue.DefaultOptions()
	o.URL = queuetest.URL(t)
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	eo := engine.DefaultOptions()
	eo.Store = store
	eo.Catalog = workflow.Catalog{"noop": nil, "fail": nil}
	e, err := engine.New(eo)
	require.NoError(t, err)
	r := &rig{Engine: e, t: t, store: store}
	require.NoError(t, e.Announce(t.Context(), engine.Worker{
		ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop", "fail"},
	}))
	return r
}

func (r *rig) start(source string, input string) *engine.Execution {
	r.t.Helper()
	_, err := r.Publish(r.t.Context(), "default", []byte(source), false)
	require.NoError(r.t, err)
	x, created, err := r.Start(r.t.Context(), "default", engine.StartRequest{Workflow: "w", Input: json.RawMessage(input)})
	require.NoError(r.t, err)
	require.True(r.t, created)
	return x
}

func (r *rig) fence(x *engine.Execution, ref string) engine.Fence {
	r.t.Helper()
	task, err := r.Task(r.t.Context(), x.ID, ref)
	require.NoError(r.t, err)
	return engine.Fence{Execution: x.ID, Ref: ref, Attempt: task.Attempt, Dispatch: task.Dispatch}
}

func (r *rig) claim(x *engine.Execution, ref string) *engine.Run {
	r.t.Helper()
	run, err := r.Claim(r.t.Context(), r.fence(x, ref), "w")
	require.NoError(r.t, err)
	return run
}

func (r *rig) complete(x *engine.Execution, ref string, output string) {
	r.t.Helper()
	require.NoError(r.t, r.Complete(r.t.Context(), r.claim(x, ref), json.RawMessage(output)))
}

func (r *rig) status(x *engine.Execution, ref string) workflow.TaskStatus {
	r.t.Helper()
	task, err := r.Task(r.t.Context(), x.ID, ref)
	require.NoError(r.t, err)
	return task.Status
}

func (r *rig) execution(x *engine.Execution) *engine.Execution {
	r.t.Helper()
	now, err := r.Execution(r.t.Context(), x.ID)
	require.NoError(r.t, err)
	return now
}

const diamond = `
name: w
tasks:
  - { name: a, type: noop, with: { n: "${workflow.input.n}" } }
  - { name: b, type: noop, needs: [a], with: { got: "${tasks.a.output.v}" } }
  - { name: c, type: noop, needs: [a], if: "${tasks.a.output.v > 5}" }
  - { name: d, type: noop, needs: [b, c] }
output: { d: "${tasks.d.output}" }
`

func TestDiamondRunsToItsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := r.start(diamond, `{"n": 9007199254740993}`)
	run := r.claim(x, "a")
	require.JSONEq(t, `{"n": 9007199254740993}`, string(run.Input))
	_, err := r.Claim(t.Context(), run.Fence, "other")
	require.ErrorIs(t, err, engine.ErrStale, "a dispatch is claimed once")
	require.NoError(t, r.Complete(t.Context(), run, json.RawMessage(`{"v": 3}`)))
	require.ErrorIs(t, r.Complete(t.Context(), run, json.RawMessage(`{"v": 4}`)), engine.ErrStale)
	require.Equal(t, workflow.TaskSkipped, r.status(x, "c"))
	require.Equal(t, workflow.TaskPending, r.status(x, "d"))
	run = r.claim(x, "b")
	require.JSONEq(t, `{"got": 3}`, string(run.Input))
	require.NoError(t, r.Complete(t.Context(), run, json.RawMessage(`[]`)))
	r.complete(x, "d", `[1]`)
	end := r.execution(x)
	require.Equal(t, workflow.ExecutionSucceeded, end.Status)
	require.JSONEq(t, `{"d":[1]}`, string(end.Output))
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 3, workflow.TaskSkipped: 1}, end.TasksSummary)
	list, _, err := r.Executions(t.Context(), "default", engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionSucceeded}}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func TestFailureRetryFromJobAndUpstreamFailed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := r.start(`
name: w
tasks:
  - { name: a, type: noop, retry: { max_attempts: 2, delay: 10ms, jitter: 0 } }
  - { name: b, type: noop, needs: [a] }
`, `{}`)
	pump := engine.NewPump(r.Engine)
	require.NoError(t, pump.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pump.Stop(context.Background())) })
	final, err := r.Fail(t.Context(), r.claim(x, "a"), &workflow.Error{Code: "boom", Message: "x", Retryable: true}, false)
	require.NoError(t, err)
	require.False(t, final)
	r.await(x, "a", workflow.TaskQueued)
	second := r.claim(x, "a")
	require.Equal(t, 2, second.Attempt)
	final, err = r.Fail(t.Context(), second, &workflow.Error{Code: "boom", Message: "x", Retryable: true}, false)
	require.NoError(t, err)
	require.True(t, final)
	end := r.execution(x)
	require.Equal(t, workflow.ExecutionFailed, end.Status)
	require.Equal(t, "boom", end.Error.Code)
	require.Equal(t, workflow.TaskCanceled, r.status(x, "b"))
	_, err = r.Claim(t.Context(), second.Fence, "w")
	require.ErrorIs(t, err, engine.ErrFailedBefore)
	require.NoError(t, r.RetryJob(t.Context(), second.Fence, "me"))
	require.Equal(t, 3, r.fence(x, "a").Attempt)
	r.complete(x, "a", `1`)
	r.complete(x, "b", `2`)
	require.Equal(t, workflow.ExecutionSucceeded, r.execution(x).Status)
	attempts, _, err := r.Attempts(t.Context(), x.ID, "a", engine.Page{})
	require.NoError(t, err)
	require.Len(t, attempts, 3)
}

func (r *rig) await(x *engine.Execution, ref string, s workflow.TaskStatus) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.status(x, ref) == s }, 10*time.Second, 5*time.Millisecond)
}

func TestPauseKeepsPlaceAndCancelEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := r.start(diamond, `{"n": 1}`)
	a := r.claim(x, "a")
	_, err := r.Pause(t.Context(), x.ID, engine.Request{Reason: "wait", By: "me"})
	require.NoError(t, err)
	require.NoError(t, r.Complete(t.Context(), a, json.RawMessage(`{"v": 9}`)))
	require.Equal(t, workflow.TaskQueued, r.status(x, "b"))
	_, err = r.Claim(t.Context(), r.fence(x, "b"), "w")
	require.ErrorIs(t, err, engine.ErrPaused)
	_, err = r.Resume(t.Context(), x.ID, engine.Request{})
	require.NoError(t, err)
	b := r.claim(x, "b")
	require.Equal(t, 2, b.Dispatch)
	_, err = r.Cancel(t.Context(), x.ID, engine.Request{Reason: "enough"})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionCanceled, r.execution(x).Status)
	require.ErrorIs(t, r.Complete(t.Context(), b, json.RawMessage(`1`)), engine.ErrStale)
	_, err = r.Cancel(t.Context(), x.ID, engine.Request{})
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, engine.KindConflict, refused.Kind)
}
