package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Several processes advance an execution at once. One that read what was to be
// decided before another one began it must not end what runs since then.
func TestALateDeciderEndsNothingThatBegan(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "both.bad" && s.starts["both.bad"] == 1 {
			return nil, &workflow.Error{Code: "boom", Retryable: true}
		}
		return r.Input, nil
	}
	s.publish(child)
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: chain, needs: [a], type: group, tasks: [{name: b, type: noop}, {name: c, type: noop, needs: [b]}] }
  - { name: times, needs: [a], type: loop, max_iterations: 2, tasks: [{name: b, type: noop}, {name: c, type: noop, needs: [b]}] }
  - { name: each, needs: [a], type: group, for_each: {items: [1, 2], max_parallel: 1}, tasks: [{name: b, type: noop}] }
  - { name: both, needs: [a], type: group, retry: {max_attempts: 2, delay: 0s}, tasks: [{name: bad, type: noop}, {name: slow, type: noop}] }
  - { name: wait, needs: [a], type: wait, with: {duration: 1m} }
  - { name: sub, needs: [a], type: workflow, with: {name: child, input: {n: 1}} }
`, `{}`)
	run, err := s.Claim(s.ctx(), s.queued()[0], "w")
	require.NoError(t, err)
	_, err = s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.NoError(t, s.Complete(s.ctx(), run, nil))
	stale, err := s.store.Agenda(s.ctx(), x.ID)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"chain", "times", "each", "both", "wait", "sub"}, stale.Open)
	stale.Status = workflow.ExecutionRunning
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)

	late := func() {
		before := s.tasks(x)
		if err := s.AdvanceOn(s.ctx(), stale); err != nil {
			require.ErrorIs(t, err, engine.ErrMoved)
		}
		require.Equal(t, before, s.tasks(x))
		s.audit(x)
	}
	late()
	for _, f := range s.queued() {
		if f.Ref == "both.bad" {
			s.deliver(f)
		}
	}
	require.Equal(t, "failed", s.tasks(x)["both.bad"])
	late()
	s.settle()
	s.pass(time.Second)
	s.pass(time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, 2, s.task(x, "both").Attempt)
}
