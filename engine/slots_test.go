package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func limited(most int, full workflow.WhenFull) string {
	return fmt.Sprintf("name: w\nconcurrency: { max_running: %d, when_full: %s }\ntasks: [{ name: a, type: noop }, { name: b, type: noop, needs: [a] }]\n", most, full)
}

const unlimited = "name: w\ntasks: [{ name: a, type: noop }, { name: b, type: noop, needs: [a] }]\n"

func (r *rig) publish(source string) {
	r.t.Helper()
	_, err := r.Publish(r.t.Context(), "default", []byte(source), false)
	require.NoError(r.t, err)
}

func (r *rig) begin(change ...func(*engine.StartRequest)) *engine.Execution {
	r.t.Helper()
	request := engine.StartRequest{Workflow: "w"}
	for _, f := range change {
		f(&request)
	}
	x, _, err := r.Start(r.t.Context(), "default", request)
	require.NoError(r.t, err)
	return x
}

func (r *rig) is(x *engine.Execution, want workflow.ExecutionStatus) {
	r.t.Helper()
	require.Equal(r.t, want, r.execution(x).Status, "execution %d", x.Number)
}

func (r *rig) finish(x *engine.Execution) {
	r.t.Helper()
	r.complete(x, "a", `1`)
	r.complete(x, "b", `1`)
	r.is(x, workflow.ExecutionSucceeded)
}

func conflict(t *testing.T, err error, code string) *engine.Error {
	t.Helper()
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, engine.KindConflict, refused.Kind)
	require.Equal(t, code, refused.Code, refused.Message)
	return refused
}

func TestTheLineMovesOnInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(limited(2, workflow.WhenFullQueue))
	var all []*engine.Execution
	for i := range 5 {
		x := r.begin()
		all = append(all, x)
		if i < 2 {
			require.Equal(t, workflow.ExecutionRunning, x.Status)
			continue
		}
		require.Equal(t, workflow.ExecutionQueued, x.Status)
		require.Equal(t, engine.ReasonConcurrency, x.Reason)
		require.Nil(t, x.StartedAt)
		stored := r.execution(x)
		require.Equal(t, x.Reason, stored.Reason)
		require.Equal(t, x.TasksSummary, stored.TasksSummary)
		_, err := r.Claim(t.Context(), engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1, Dispatch: 1}, "w")
		require.ErrorIs(t, err, engine.ErrStale, "a queued execution gives out nothing")
	}
	list, _, err := r.Executions(t.Context(), "default", engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionQueued}}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, list, 3)
	for i, x := range all {
		r.finish(x)
		if i+2 < len(all) {
			r.is(all[i+2], workflow.ExecutionRunning)
			require.NotNil(t, r.execution(all[i+2]).StartedAt)
		}
		if i+3 < len(all) {
			r.is(all[i+3], workflow.ExecutionQueued)
		}
	}
	r.nothingHeld()
}

// nothingHeld looks for slots, lines and what is due that nobody will ever take.
func (r *rig) nothingHeld() {
	r.t.Helper()
	for _, key := range []string{"slots:w", "waiting:w", "due"} {
		left, err := r.store.Client().ZRangeWithScores(r.t.Context(), "redrive:{p:default}:"+key, 0, -1).Result()
		require.NoError(r.t, err)
		require.Empty(r.t, left, key)
	}
}

func TestRejectNamesTheLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(limited(1, workflow.WhenFullReject))
	first := r.begin()
	_, _, err := r.Start(t.Context(), "default", engine.StartRequest{Workflow: "w"})
	refused := conflict(t, err, "concurrency_limit")
	require.Contains(t, refused.Message, "at most 1")
	require.Contains(t, refused.Message, "max_running")
	queued := r.begin(func(q *engine.StartRequest) { q.WhenFull = workflow.WhenFullQueue })
	r.is(queued, workflow.ExecutionQueued)
	r.finish(first)
	r.is(queued, workflow.ExecutionRunning)
	r.finish(queued)
	r.publish(limited(1, workflow.WhenFullQueue))
	r.begin()
	_, _, err = r.Start(t.Context(), "default", engine.StartRequest{Workflow: "w", WhenFull: workflow.WhenFullReject})
	conflict(t, err, "concurrency_limit")
}

func TestTheNewestLimitHoldsForAllVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(unlimited)
	old := r.begin()
	r.publish(limited(2, workflow.WhenFullQueue))
	second := r.begin(func(q *engine.StartRequest) { q.Version = 1 })
	third := r.begin(func(q *engine.StartRequest) { q.Version = 1 })
	r.is(second, workflow.ExecutionRunning)
	r.is(third, workflow.ExecutionQueued)
	fourth := r.begin()
	r.publish(limited(3, workflow.WhenFullQueue))
	r.is(third, workflow.ExecutionRunning)
	r.is(fourth, workflow.ExecutionQueued)
	r.publish(unlimited)
	r.is(fourth, workflow.ExecutionRunning)
	for _, x := range []*engine.Execution{old, second, third, fourth} {
		r.finish(x)
	}
	r.nothingHeld()
}

func TestAQueuedExecutionIsPausedAndCanceled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	r.publish(limited(1, workflow.WhenFullQueue))
	first, second, third, fourth := r.begin(), r.begin(), r.begin(), r.begin()
	paused, err := r.Pause(ctx, second.ID, engine.Request{Reason: "not now"})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionPaused, paused.Status)
	resumed, err := r.Resume(ctx, second.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionQueued, resumed.Status, "its turn has not come")
	_, err = r.Pause(ctx, second.ID, engine.Request{Reason: "not now"})
	require.NoError(t, err)
	canceled, err := r.Cancel(ctx, third.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionCanceled, canceled.Status)
	r.finish(first)
	r.is(second, workflow.ExecutionPaused)
	r.is(fourth, workflow.ExecutionQueued)
	resumed, err = r.Resume(ctx, second.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionRunning, resumed.Status, "it took its slot when its turn came")
	r.finish(second)
	r.is(fourth, workflow.ExecutionRunning)
	r.finish(fourth)
	r.nothingHeld()
}

func TestARedriveTakesASlot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	r.publish(limited(1, workflow.WhenFullQueue))
	first := r.begin()
	_, err := r.Fail(ctx, r.claim(first, "a"), &workflow.Error{Code: "boom", Message: "x"}, false)
	require.NoError(t, err)
	r.is(first, workflow.ExecutionFailed)
	second := r.begin()
	r.is(second, workflow.ExecutionRunning)
	again, err := r.Redrive(ctx, first.ID, retrying())
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionQueued, again.Status)
	require.Equal(t, 1, again.Redrives)
	r.finish(second)
	r.is(first, workflow.ExecutionRunning)
	r.publish(limited(1, workflow.WhenFullReject))
	_, err = r.Fail(ctx, r.claim(first, "a"), &workflow.Error{Code: "boom", Message: "x"}, false)
	require.NoError(t, err)
	third := r.begin()
	_, err = r.Redrive(ctx, first.ID, retrying())
	conflict(t, err, "concurrency_limit")
	r.finish(third)
	_, err = r.Redrive(ctx, first.ID, retrying())
	require.NoError(t, err)
	r.finish(first)
	r.nothingHeld()
}

func TestAStartTimeIsAwaited(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(unlimited)
	pump := engine.NewPump(r.Engine)
	require.NoError(t, pump.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pump.Stop(context.Background())) })
	at := time.Now().Add(1500 * time.Millisecond)
	x := r.begin(func(q *engine.StartRequest) { q.StartAt = at })
	require.Equal(t, workflow.ExecutionQueued, x.Status)
	require.Equal(t, engine.ReasonStartAt, x.Reason)
	require.Eventually(t, func() bool { return r.execution(x).Status == workflow.ExecutionRunning }, 20*time.Second, 10*time.Millisecond)
	require.False(t, r.execution(x).StartedAt.Before(at.Truncate(time.Millisecond)), "it began before its time")
	past := r.begin(func(q *engine.StartRequest) { q.StartAt = at })
	require.Equal(t, workflow.ExecutionRunning, past.Status)
}

func TestASessionHasItsAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	r.publish("name: w\ntasks: [{ name: a, type: noop, with: { at: \"${workflow.session_time}\" } }, { name: b, type: noop, needs: [a] }]\n")
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.FixedZone("", 9*3600))
	in := func(name string) func(*engine.StartRequest) {
		return func(q *engine.StartRequest) { q.SessionTime, q.AttemptName = at, name }
	}
	start := func(name string) error {
		q := engine.StartRequest{Workflow: "w"}
		in(name)(&q)
		_, _, err := r.Start(ctx, "default", q)
		return err
	}
	first := r.begin(in(""))
	require.Equal(t, 1, first.Session.Attempt)
	require.JSONEq(t, `{"at":"2026-03-01T00:00:00Z"}`, string(r.claim(first, "a").Input))
	require.Equal(t, &engine.Existing{ID: first.ID, Number: first.Number, Status: workflow.ExecutionRunning}, conflict(t, start(""), "session_exists").Existing)
	second := r.begin(in("again"))
	require.Equal(t, 2, second.Session.Attempt)
	require.Equal(t, first.Session.Number, second.Session.Number)
	require.Equal(t, second.ID, conflict(t, start("again"), "session_exists").Existing.ID)
	require.Equal(t, second.ID, conflict(t, start(""), "session_exists").Existing.ID, "an unnamed start meets the last attempt")
	other := r.begin(func(q *engine.StartRequest) { q.SessionTime = at.Add(time.Hour) })
	require.NotEqual(t, first.Session.Number, other.Session.Number)

	stored := r.execution(second)
	require.Equal(t, second.Session, stored.Session)
	list, next, err := r.Sessions(ctx, "default", engine.SessionFilter{Workflow: "w"}, engine.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, other.ID, list[0].Last.ID)
	list, next, err = r.Sessions(ctx, "default", engine.SessionFilter{}, engine.Page{Limit: 1, Cursor: next})
	require.NoError(t, err)
	require.Empty(t, next)
	require.Equal(t, 2, list[0].Attempts)
	require.Equal(t, second.ID, list[0].Last.ID)
	require.Equal(t, "w", list[0].Workflow)
	require.True(t, at.Equal(list[0].Time))
	attempts, next, err := r.SessionAttempts(ctx, "default", list[0].Number, engine.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, first.ID, attempts[0].ID)
	attempts, next, err = r.SessionAttempts(ctx, "default", list[0].Number, engine.Page{Limit: 1, Cursor: next})
	require.NoError(t, err)
	require.Equal(t, second.ID, attempts[0].ID)
	require.Empty(t, next)
	for name, want := range map[string][]bool{"": {true, true, false}, "again": {true, false, false}, "more": {false, false, false}} {
		named, err := r.AttemptNamed(ctx, "default", "w", name, []time.Time{at, at.Add(time.Hour), at.Add(2 * time.Hour)})
		require.NoError(t, err)
		require.Equal(t, want, named, name)
	}
	list, _, err = r.Sessions(ctx, "default", engine.SessionFilter{Workflow: "other"}, engine.Page{})
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = r.Session(ctx, "default", 4711)
	var missing *engine.Error
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "session_not_found", missing.Code)
}

func TestWhatAStartSaysOfItsPlaceIsChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(unlimited)
	for field, q := range map[string]engine.StartRequest{
		"attempt_name": {AttemptName: "x"},
		"session_time": {SessionTime: time.Date(2026, 3, 1, 0, 0, 0, 5, time.UTC)},
		"when_full":    {WhenFull: "later"},
	} {
		q.Workflow = "w"
		_, _, err := r.Start(t.Context(), "default", q)
		var refused *engine.Error
		require.ErrorAs(t, err, &refused)
		require.Len(t, refused.Problems, 1)
		require.Equal(t, field, refused.Problems[0].Field)
		require.NotEmpty(t, refused.Problems[0].Allowed)
	}
	_, _, err := r.Start(t.Context(), "default", engine.StartRequest{Workflow: "w", Input: json.RawMessage(`{}`)})
	require.NoError(t, err)
}

func TestAPauseThatRunsOutEndsOneThatWaits(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	source := limited(1, workflow.WhenFullQueue)
	first := s.start(source, `{}`)
	second, third := s.start(source, `{}`), s.start(source, `{}`)
	require.Equal(t, workflow.ExecutionQueued, s.at(second).Status)
	_, err := s.Pause(s.ctx(), second.ID, engine.Request{Deadline: time.Hour})
	require.NoError(t, err)
	s.offset += 2 * time.Hour
	s.Fire(s.ctx(), engine.TimerUnpause, engine.Fence{Execution: second.ID})
	require.Equal(t, "pause_expired", s.ends(second, workflow.ExecutionFailed).Error.Code)
	s.settle()
	s.ends(first, workflow.ExecutionSucceeded)
	s.settle()
	s.ends(third, workflow.ExecutionSucceeded)
}
