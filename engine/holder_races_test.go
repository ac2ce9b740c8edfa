package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// race lets two processes do something to an execution of a definition at once, in many rounds.
type race struct {
	source, input string
	ahead         time.Duration // of the clock of two: what has a time is due there
	first         []string      // refs that one claims before
	calls         func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error
	after         func(t *testing.T, one *stage, x *engine.Execution)
}

func does(f func() (*engine.Execution, error)) func() error {
	return func() error {
		_, err := f()
		return err
	}
}

func completes(s *stage, run *engine.Run) func() error {
	return func() error { return s.Complete(s.ctx(), run, run.Input) }
}

func fires(s *stage, x *engine.Execution, kind engine.TimerKind, ref string) func() error {
	return func() error {
		s.Fire(s.ctx(), kind, engine.Fence{Execution: x.ID, Ref: ref, Attempt: 1})
		return nil
	}
}

// lost reports whether a call only came too late.
func lost(err error) bool {
	var refused *engine.Error
	return err == nil || errors.Is(err, engine.ErrStale) || errors.Is(err, engine.ErrGone) || errors.As(err, &refused) && refused.Kind == engine.KindConflict
}

func (r race) run(t *testing.T) {
	rounds := 40
	if soak {
		rounds = 500
	}
	url := queuetest.URL(t)
	one, two := newStageOn(t, url), newStageOn(t, url)
	one.publish(child)
	for range rounds {
		one.offset, two.offset = 0, r.ahead
		x := one.start(r.source, r.input)
		var runs []*engine.Run
		for _, ref := range r.first {
			id := x.ID
			if ref == "double" { // the task of the sub-workflow
				id = one.task(x, "sub").Child
			}
			claimed, err := one.Claim(t.Context(), engine.Fence{Execution: id, Ref: ref, Attempt: 1, Dispatch: 1}, "w")
			require.NoError(t, err)
			runs = append(runs, claimed)
		}
		calls := r.calls(one, two, x, runs)
		errs := make([]error, len(calls))
		together(len(calls), func(i int) { errs[i] = calls[i]() })
		for i, err := range errs {
			require.True(t, lost(err), "call %d: %v", i, err)
		}
		one.audit(x)
		one.repair()
		r.after(t, one, x)
		one.audit(x)
		if _, err := one.Resume(t.Context(), x.ID, engine.Request{}); err == nil {
			one.repair()
		}
		one.settle()
		now := one.at(x)
		if now.Status == workflow.ExecutionRunning {
			_, err := one.Cancel(t.Context(), x.ID, engine.Request{})
			require.NoError(t, err)
		}
		one.audit(x)
		require.True(t, one.at(x).Status.Ended(), "%v", one.tasks(x))
	}
}

func statusIn(t *testing.T, s *stage, x *engine.Execution, ref string, among ...workflow.TaskStatus) workflow.TaskStatus {
	t.Helper()
	task := s.task(x, ref)
	require.Contains(t, among, task.Status, ref)
	ended := 0
	for event, err := range historyOf(s, x) {
		require.NoError(t, err)
		if event.Ref == ref && workflow.TaskStatus(event.Status).Ended() {
			ended++
		}
	}
	if task.Status.Ended() { // and once more where an operator settled it after that
		require.Contains(t, []int{1, 1 + s.at(x).Redrives}, ended, "%s ended once", ref)
	}
	return task.Status
}

func historyOf(s *stage, x *engine.Execution) func(func(engine.Event, error) bool) {
	return func(yield func(engine.Event, error) bool) {
		events, _, err := s.History(s.ctx(), x.ID, engine.Page{Limit: 1000})
		for _, event := range events {
			if !yield(event, err) {
				return
			}
		}
	}
}

var races = map[string]race{
	"an answer, a hand and a timeout": {
		source: approval, ahead: 25 * time.Hour,
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				does(func() (*engine.Execution, error) {
					return one.AnswerGate(one.ctx(), x.ID, engine.Answer{Input: json.RawMessage(`{"ok":true}`)})
				}),
				fires(two, x, engine.TimerLimit, "ask"),
				func() error {
					_, err := one.SettleByHand(one.ctx(), x.ID, "ask", engine.HandRequest{To: workflow.TaskFailed}) // what ended can be skipped, too: that is a redrive
					return err
				},
			}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			statusIn(t, one, x, "ask", workflow.TaskSucceeded, workflow.TaskTimedOut, workflow.TaskFailed)
		},
	},
	"a wake, a hand and a cancel": {
		source: "name: w\ntasks: [{name: a, type: wait, with: {duration: 1m}}]", ahead: time.Hour,
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				fires(two, x, engine.TimerWake, "a"),
				func() error {
					_, err := one.SettleByHand(one.ctx(), x.ID, "a", engine.HandRequest{To: workflow.TaskFailed})
					return err
				},
				does(func() (*engine.Execution, error) { return one.Cancel(one.ctx(), x.ID, engine.Request{}) }),
			}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			statusIn(t, one, x, "a", workflow.TaskSucceeded, workflow.TaskCanceled, workflow.TaskFailed)
			require.True(t, one.at(x).Status.Ended())
		},
	},
	"the end of a group and its timeout": {
		source: "name: w\ntasks: [{name: g, type: group, timeout: 1m, tasks: [{name: a, type: noop}, {name: b, type: noop}]}]", ahead: time.Hour,
		first: []string{"g.a", "g.b"},
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{completes(one, runs[0]), completes(one, runs[1]), fires(two, x, engine.TimerLimit, "g")}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			if statusIn(t, one, x, "g", workflow.TaskSucceeded, workflow.TaskTimedOut) == workflow.TaskSucceeded {
				require.Equal(t, workflow.ExecutionSucceeded, one.at(x).Status)
			}
			require.True(t, one.at(x).Status.Ended())
		},
	},
	"the last two items": {
		source: "name: w\ntasks: [{name: each, type: noop, for_each: {items: [1, 2]}}]", first: []string{"each[1]", "each[2]"},
		calls: func(one, two *stage, _ *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{completes(one, runs[0]), completes(two, runs[1])}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			statusIn(t, one, x, "each", workflow.TaskSucceeded)
			require.Equal(t, workflow.ExecutionSucceeded, one.at(x).Status)
		},
	},
	"the end of a sub-workflow and a cancel of its parent": {
		source: parent, input: `{"n": 1}`, first: []string{"double"},
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{
				completes(one, runs[0]),
				does(func() (*engine.Execution, error) { return two.Cancel(two.ctx(), x.ID, engine.Request{}) }),
			}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			require.Equal(t, workflow.ExecutionCanceled, one.at(x).Status)
			inner := one.at(&engine.Execution{ID: one.task(x, "sub").Child})
			require.True(t, inner.Status.Ended())
			one.audit(inner)
		},
	},
	"a pause and the begin of a sub-workflow": {
		source: "name: w\ntasks: [{name: a, type: noop}, {name: sub, needs: [a], type: workflow, with: {name: child, input: {n: 1}}}]", first: []string{"a"},
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{
				completes(one, runs[0]),
				does(func() (*engine.Execution, error) { return two.Pause(two.ctx(), x.ID, engine.Request{}) }),
			}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			require.Equal(t, workflow.ExecutionPaused, one.at(x).Status)
			sub := one.task(x, "sub")
			if sub.Child == "" {
				require.Equal(t, workflow.TaskPending, sub.Status)
				return
			}
			inner := one.at(&engine.Execution{ID: sub.Child})
			require.Equal(t, workflow.ExecutionPaused, inner.Status)
			one.audit(inner)
		},
	},
	"pauses and resumes of a parent": {
		source: parent, input: `{"n": 1}`,
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) (calls []func() error) {
			for i := range 6 {
				s := []*stage{one, two}[i%2]
				calls = append(calls, does(func() (*engine.Execution, error) {
					if i < 3 {
						return s.Pause(s.ctx(), x.ID, engine.Request{})
					}
					return s.Resume(s.ctx(), x.ID, engine.Request{})
				}))
			}
			return calls
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			inner := one.at(&engine.Execution{ID: one.task(x, "sub").Child})
			require.Equal(t, one.at(x).Status, inner.Status, "the sub-workflow follows")
			one.audit(inner)
		},
	},
	"an item that stops the others and one that succeeds": {
		source: "name: w\ntasks: [{name: each, type: noop, for_each: {items: [1, 2, 3, 4, 5], max_parallel: 2, on_item_failure: stop}}]",
		first:  []string{"each[1]", "each[2]"},
		calls: func(one, two *stage, _ *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{
				func() error {
					_, err := one.Fail(one.ctx(), runs[0], &workflow.Error{Code: "boom"}, false)
					return err
				},
				completes(two, runs[1]),
			}
		},
		after: func(t *testing.T, one *stage, x *engine.Execution) {
			one.settle()
			statusIn(t, one, x, "each", workflow.TaskFailed)
			statusIn(t, one, x, "each[3]", workflow.TaskSucceeded, workflow.TaskCanceled) // it began, or did not
			for i := 4; i <= 5; i++ {
				statusIn(t, one, x, fmt.Sprintf("each[%d]", i), workflow.TaskCanceled)
			}
		},
	},
}

// TestHolderRaces: of what happens at once, one thing takes effect, and what lies in Redis is in order.
func TestHolderRaces(t *testing.T) {
	t.Parallel()
	for what, r := range races {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r.run(t)
		})
	}
}
