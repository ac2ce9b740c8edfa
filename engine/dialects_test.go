package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// TestSilenceTimesOut: where silence ends an attempt, a beat puts its end off, up to its timeout, and what follows is a new attempt.
func TestSilenceTimesOut(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p := newServer(t, queuetest.URL(t), c)
	x := startOn(t, p, "default", `{"name": "w", "tasks": [{"name": "a", "type": "render", "timeout": "100s", "retry": {"max_attempts": 3, "delay": "0s", "jitter": 0}, "with": {}}]}`)
	quietly := engine.Poll{Silence: 20 * time.Second, Lease: 5 * time.Second}
	run := poll(t, p, quietly)[0]
	sweepAll(t.Context(), t, p, c, 15*time.Second)
	beat, err := p.RemoteHeartbeat(t.Context(), x.ID, "a", run.Token)
	require.NoError(t, err)
	require.Equal(t, 20*time.Second, beat.Lease.Round(time.Second))
	sweepAll(t.Context(), t, p, c, 15*time.Second)
	require.Equal(t, workflow.TaskRunning, task(t, p, x, "a").Status, "the beat put it off")
	sweepAll(t.Context(), t, p, c, 10*time.Second)
	now := task(t, p, x, "a")
	require.Equal(t, 2, now.Attempt)
	former, _, err := p.Attempts(t.Context(), x.ID, "a", engine.Page{})
	require.NoError(t, err)
	require.Equal(t, workflow.TaskTimedOut, former[0].Status)
	require.Equal(t, engine.CodeSilent, former[0].Error.Code)
	_, err = p.RemoteComplete(t.Context(), x.ID, "a", run.Token, nil)
	requireStale(t, err)

	run = poll(t, p, quietly)[0]
	for range 9 { // beats do not put off the timeout of the attempt
		sweepAll(t.Context(), t, p, c, 10*time.Second)
		_, err = p.RemoteHeartbeat(t.Context(), x.ID, "a", run.Token)
		require.NoError(t, err)
	}
	sweepAll(t.Context(), t, p, c, 11*time.Second)
	require.Equal(t, 3, task(t, p, x, "a").Attempt)
	former, _, err = p.Attempts(t.Context(), x.ID, "a", engine.Page{})
	require.NoError(t, err)
	require.Equal(t, engine.CodeTimedOut, former[1].Error.Code)
}

// TestWhatWasHandedBackWaitsForNoSweep: it comes again when its time is over.
func TestWhatWasHandedBackWaitsForNoSweep(t *testing.T) {
	t.Parallel()
	p := pumped(t, newServer(t, queuetest.URL(t), &clock{}, func(o *engine.Options) { o.Sweep = time.Hour }))
	x := startOn(t, p, "default", renders)
	run := one(t, p)
	require.NoError(t, p.RemotePostpone(t.Context(), x.ID, "a", run.Token, 300*time.Millisecond))
	again := poll(t, p, engine.Poll{Wait: time.Minute})
	require.Len(t, again, 1)
	require.Equal(t, []int{1, 2}, []int{again[0].Attempt, again[0].Dispatch})
}

// TestWhatIsHastened: what waits for its next attempt or delivery waits no longer, and what is put off anew afterwards waits as long as was said then.
func TestWhatIsHastened(t *testing.T) {
	t.Parallel()
	p := pumped(t, newServer(t, queuetest.URL(t), &clock{}, func(o *engine.Options) { o.Sweep = time.Hour }))
	ctx := t.Context()
	x := startOn(t, p, "default", `{"name": "w", "tasks": [{"name": "a", "type": "render", "timeout": "1h", "retry": {"max_attempts": 3, "delay": "1h", "jitter": 0}, "with": {}}]}`)
	first := engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1}
	next := func(attempt, dispatch int) string {
		t.Helper()
		runs := poll(t, p, engine.Poll{Wait: time.Minute})
		require.Len(t, runs, 1)
		require.Equal(t, []int{attempt, dispatch}, []int{runs[0].Attempt, runs[0].Dispatch})
		requireStale(t, p.Hasten(ctx, runs[0].Fence)) // a worker has it
		return runs[0].Token
	}
	requireStale(t, p.Hasten(ctx, first)) // it waits for nothing but a worker
	token := next(1, 1)
	require.NoError(t, p.RemotePostpone(ctx, x.ID, "a", token, 2*time.Second))
	require.NoError(t, p.Hasten(ctx, first))
	require.Nil(t, task(t, p, x, "a").NextAttemptAt)
	token = next(1, 2)
	require.NoError(t, p.RemotePostpone(ctx, x.ID, "a", token, time.Hour))
	p.Fire(ctx, "deliver", first) // the timer of the first time
	require.Empty(t, poll(t, p, engine.Poll{}), "it was put off for an hour")
	require.NoError(t, p.Hasten(ctx, first))
	_, err := p.RemoteFail(ctx, x.ID, "a", next(1, 3), workflow.Error{Code: "odd", Message: "odd", Retryable: true})
	require.NoError(t, err)
	require.Equal(t, workflow.TaskRetrying, task(t, p, x, "a").Status)
	require.NoError(t, p.Hasten(ctx, first))
	requireStale(t, p.Hasten(ctx, first)) // it was retried
	_, err = p.RemoteComplete(ctx, x.ID, "a", next(2, 1), json.RawMessage(`{}`))
	require.NoError(t, err)
	requireStale(t, p.Hasten(ctx, first))
	requireStale(t, p.Hasten(ctx, engine.Fence{Execution: "01890a5d-ac96-774b-bcce-b302099a802a", Ref: "a", Attempt: 1}))
}

// TestReportsByAttempt: a run is found again by its attempt, and one that was handed back comes again later, as the same attempt.
func TestReportsByAttempt(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p := newServer(t, queuetest.URL(t), c)
	x := startOn(t, p, "default", renders)
	f := engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1}
	_, err := p.RemoteToken(t.Context(), f)
	requireStale(t, err)
	one(t, p)
	token, err := p.RemoteToken(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, p.RemotePostpone(t.Context(), x.ID, "a", token, 30*time.Second))
	waits := task(t, p, x, "a")
	require.Equal(t, workflow.TaskQueued, waits.Status)
	require.NotNil(t, waits.NextAttemptAt, "when it is handed out again")
	_, err = p.RemoteToken(t.Context(), f)
	requireStale(t, err)
	sweepAll(t.Context(), t, p, c, 20*time.Second)
	require.Empty(t, poll(t, p, engine.Poll{}), "it was handed back for longer")
	sweepAll(t.Context(), t, p, c, 15*time.Second)
	again := one(t, p)
	require.Equal(t, []int{1, 2}, []int{again.Attempt, again.Dispatch})
	require.Nil(t, task(t, p, x, "a").NextAttemptAt)
	require.Error(t, p.RemotePostpone(t.Context(), x.ID, "a", token, 0), "of the former delivery")
	_, err = p.RemoteToken(t.Context(), engine.Fence{Execution: x.ID, Ref: "a", Attempt: 2})
	requireStale(t, err)
	token, err = p.RemoteToken(t.Context(), f)
	require.NoError(t, err)
	_, err = p.RemoteComplete(t.Context(), x.ID, "a", token, json.RawMessage(`{"n":1}`))
	require.NoError(t, err)
	require.Equal(t, 1, task(t, p, x, "a").Attempt)
	require.JSONEq(t, `{"n":1}`, string(task(t, p, x, "a").Output))
	_, err = p.RemoteToken(t.Context(), f)
	requireStale(t, err)
}

func TestNotesAndLabels(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := s.ctx()
	note := func(name string) string {
		value, err := s.Note(ctx, "default", "taskdef", name)
		if err != nil {
			return err.Error()
		}
		return string(value)
	}
	require.NoError(t, s.PutNote(ctx, "default", "taskdef", "a b", json.RawMessage(`{"n":1}`)))
	require.NoError(t, s.PutNote(ctx, "default", "taskdef", "a b", json.RawMessage(`{"n":2}`)))
	require.Equal(t, `{"n":2}`, note("a b"))
	require.Equal(t, `there is no note "b"`, note("b"))
	all, err := s.Notes(ctx, "default", "taskdef")
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.NoError(t, s.DeleteNote(ctx, "default", "taskdef", "a b"))
	require.ErrorContains(t, s.DeleteNote(ctx, "default", "taskdef", "a b"), "no note")
	require.Error(t, s.PutNote(ctx, "default", "taskdef", "", json.RawMessage(`1`)))
	require.Error(t, s.PutNote(ctx, "default", "taskdef", "a", json.RawMessage(`{`)))
	require.ErrorContains(t, s.PutNote(ctx, "elsewhere", "taskdef", "a", json.RawMessage(`1`)), "no project")

	child := func(say string) string {
		return `{"name": "child", "tasks": [{"name": "c", "type": "noop"}], "output": "` + say + `"}`
	}
	s.publish(child("one"), child("two"))
	require.NoError(t, s.SetLabel(ctx, "default", "child", "stable", 1))
	require.ErrorContains(t, s.SetLabel(ctx, "default", "child", "stable", 3), "no such version")
	labels, err := s.Labels(ctx, "default", "child")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"stable": 1}, labels)
	const parent = `{"name": "w", "tasks": [{"name": "sub", "type": "workflow", "with": {"name": "child", "label": "stable"}}], "output": "${tasks.sub.output}"}`
	says := func(want string) {
		x := s.start(parent, `{}`)
		s.settle()
		require.JSONEq(t, want, string(s.ends(x, workflow.ExecutionSucceeded).Output))
	}
	says(`"one"`)
	require.NoError(t, s.SetLabel(ctx, "default", "child", "stable", 2))
	says(`"two"`)
	require.NoError(t, s.DropLabel(ctx, "default", "child", "stable"))
	require.ErrorContains(t, s.DropLabel(ctx, "default", "child", "stable"), "no label")
	x := s.start(parent, `{}`)
	s.settle()
	require.Contains(t, s.ends(x, workflow.ExecutionFailed).Error.Message, `"child" with the label "stable"`)
}

func TestRemove(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(`{"name": "child", "tasks": [{"name": "c", "type": "noop"}]}`)
	x := s.start(`{"name": "w", "tasks": [{"name": "sub", "type": "workflow", "with": {"name": "child"}}]}`, `{}`)
	require.ErrorContains(t, s.Remove(s.ctx(), x.ID), "cancel it first")
	s.settle()
	child := s.task(x, "sub").Child
	require.ErrorContains(t, s.Remove(s.ctx(), child), "together with")
	require.NoError(t, s.Remove(s.ctx(), x.ID))
	for _, id := range []string{x.ID, child} {
		_, err := s.Execution(s.ctx(), id)
		require.ErrorContains(t, err, "no execution")
	}
	list, _, err := s.Executions(s.ctx(), "default", engine.ExecutionFilter{}, engine.Page{})
	require.NoError(t, err)
	require.Empty(t, list)
	require.ErrorContains(t, s.Remove(s.ctx(), x.ID), "no execution")
}
