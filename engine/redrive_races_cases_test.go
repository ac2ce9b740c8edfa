package engine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// redrives asks for a redrive.
func redrives(s *stage, x *engine.Execution, op workflow.Operation, asks ...ask) func() error {
	return does(func() (*engine.Execution, error) { return s.Redrive(s.ctx(), x.ID, asked(op, asks)) })
}

func cancels(s *stage, x *engine.Execution) func() error {
	return does(func() (*engine.Execution, error) { return s.Cancel(s.ctx(), x.ID, engine.Request{}) })
}

func planned(hash string) ask { return func(r *engine.RedriveRequest) { r.PlanHash = hash } }

const (
	abc    = "name: w\ntasks: [{name: a, type: noop}, {name: b, type: noop, needs: [a]}, {name: c, type: noop}]"
	halves = `
name: w
tasks:
  - { name: a, type: noop }
  - { name: g, needs: [a], type: group, tasks: [{ name: i, type: noop, for_each: { items: [1, 2, 3], max_parallel: 2 } }, { name: l, needs: [i], type: noop }] }
  - { name: sub, needs: [a], type: workflow, with: { name: child, input: { n: 1 } } }
  - { name: end, needs: [g, sub], type: noop }
`
	retried = "name: w\ntasks: [{name: a, type: noop, retry: {max_attempts: 2, delay: 1m, jitter: 0}}, {name: b, type: noop, needs: [a]}]"
	gated   = "name: w\ntasks: [{name: ask, type: approval, with: {message: Well, timeout: 1h}}, {name: b, type: noop, needs: [ask]}]"
)

var duels = map[string]duel{
	"two identical retries": {
		source: abc, fails: []string{"a"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{redrives(one, x, workflow.OperationRetry), redrives(two, x, workflow.OperationRetry)}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 1, d.wins(0, 1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			require.Equal(d.t, map[string]int{"a": 2, "b": 1, "c": 1}, d.one.starts)
			require.Equal(d.t, []string{"failed", "succeeded"}, d.one.attempts(d.x, "a"))
		},
	},
	"two identical retries of everything in each other": {
		source: halves, fails: []string{"g.i[2]", "double"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{redrives(one, x, workflow.OperationRetry), redrives(two, x, workflow.OperationRetry), redrives(two, x, workflow.OperationRetry)}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 1, d.wins(0, 1, 2), "%v", d.errs)
			d.runs()
			d.redriven(d.x, 1)
			d.redriven(d.one.child(d.x, "sub"), 1)
			require.Equal(d.t, map[string]int{"a": 1, "g.i[1]": 1, "g.i[2]": 2, "g.i[3]": 1, "g.l": 1, "double": 2, "end": 1}, d.one.starts)
		},
	},
	"a completion and a rerun of its task": {
		source: abc, first: []string{"a"},
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{completes(one, runs[0]), redrives(two, x, workflow.OperationRerun, from("a"))}
		},
		after: func(d *outcome) {
			require.True(d.t, d.won(1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			was := map[bool]string{true: "succeeded", false: "canceled"}[d.won(0)]
			require.Equal(d.t, []string{was, "succeeded"}, d.one.attempts(d.x, "a"))
			require.Equal(d.t, map[string]int{"a": 2, "b": 1, "c": 1}, d.one.starts)
		},
	},
	"a completion and a rerun of what it needs": {
		source: abc, first: []string{"b"}, // its completion is the end of the execution
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{completes(one, runs[0]), redrives(two, x, workflow.OperationRerun, from("a"))}
		},
		after: func(d *outcome) {
			require.True(d.t, d.won(1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			was := map[bool]string{true: "succeeded", false: "canceled"}[d.won(0)]
			require.Equal(d.t, []string{was, "succeeded"}, d.one.attempts(d.x, "b"))
			require.Equal(d.t, map[string]int{"a": 2, "b": 2, "c": 1}, d.one.starts)
		},
	},
	"the completion of a join's other half and a rerun": {
		source: halves, first: []string{"double"},
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{completes(one, runs[0]), redrives(two, x, workflow.OperationRerun, from("g.i[2]"))}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 2, d.wins(0, 1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			require.Equal(d.t, map[string]int{"a": 1, "g.i[1]": 1, "g.i[2]": 2, "g.i[3]": 1, "g.l": 2, "double": 1, "end": 1}, d.one.starts)
		},
	},
	"a completion in a for_each that ends and a rerun of an item": {
		source: halves, first: []string{"g.i[3]"},
		calls: func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error {
			return []func() error{completes(one, runs[0]), redrives(two, x, workflow.OperationRerun, from("g.i[2]"))}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 2, d.wins(0, 1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			require.Equal(d.t, []string{"succeeded"}, d.one.attempts(d.x, "g.i[3]"))
			require.Equal(d.t, []string{"succeeded", "succeeded"}, d.one.attempts(d.x, "g.i[2]"))
		},
	},
	"a rerun and a cancel": {
		source: halves, first: []string{"g.i[1]", "double"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{redrives(one, x, workflow.OperationRerun, from("a")), cancels(two, x)}
		},
		after: func(d *outcome) {
			d.one.settleAll(d.x)
			last := ""
			for event, err := range historyOf(d.one, d.x) {
				require.NoError(d.t, err)
				if event.Type == "execution.redriven" || event.Type == "execution.canceling" {
					last = event.Type
				}
			}
			require.True(d.t, d.won(1), "%v", d.errs)
			d.redriven(d.x, d.wins(0))
			want := map[string]workflow.ExecutionStatus{"execution.redriven": workflow.ExecutionSucceeded, "execution.canceling": workflow.ExecutionCanceled}
			require.Equal(d.t, want[last], d.one.at(d.x).Status)
		},
	},
	"two reruns": {
		source: halves, first: []string{"g.i[1]", "double"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{redrives(one, x, workflow.OperationRerun, from("a")), redrives(two, x, workflow.OperationRerun, from("g"))}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 2, d.wins(0, 1), "one is computed on top of the other: %v", d.errs)
			d.redriven(d.x, 2)
			d.runs()
			require.Equal(d.t, []string{"succeeded", "succeeded"}, d.one.attempts(d.x, "a"))
		},
	},
	"two reruns by one plan": {
		source: halves, first: []string{"g.i[1]"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			p, err := one.Plan(one.ctx(), x.ID, asked(workflow.OperationRerun, []ask{from("a")}))
			require.NoError(one.t, err)
			return []func() error{
				redrives(one, x, workflow.OperationRerun, from("a"), planned(p.PlanHash)),
				redrives(two, x, workflow.OperationRerun, from("a"), planned(p.PlanHash)),
			}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 2, d.wins(0, 1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			require.Equal(d.t, []string{"succeeded", "succeeded"}, d.one.attempts(d.x, "a"))
		},
	},
	"two redrives under one key": {
		source: halves, fails: []string{"g.i[2]", "double"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				redrives(one, x, workflow.OperationRetry, key("k")), redrives(two, x, workflow.OperationRetry, key("k")),
				redrives(two, x, workflow.OperationRetry, key("k")),
			}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 3, d.wins(0, 1, 2), "%v", d.errs)
			d.runs()
			d.redriven(d.x, 1)
			d.redriven(d.one.child(d.x, "sub"), 1)
		},
	},
	"two new executions under one key": {
		source: abc, fails: []string{"a"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				redrives(one, x, workflow.OperationRetry, anew, key("k")), redrives(two, x, workflow.OperationRetry, anew, key("k")),
			}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 2, d.wins(0, 1), "%v", d.errs)
			d.one.settle()
			made, _, err := d.one.Redrives(d.one.ctx(), d.x.ID, engine.Page{})
			require.NoError(d.t, err)
			require.Len(d.t, made, 1)
			x := d.one.ends(&engine.Execution{ID: made[0].Into}, workflow.ExecutionSucceeded)
			require.Equal(d.t, d.x.ID, x.Origin.Execution)
			d.one.orderly(x)
			require.Equal(d.t, map[string]int{"a": 2, "b": 1, "c": 1}, d.one.starts)
			require.Empty(d.t, d.one.unfinished(), "nothing half built is left")
		},
	},
	"an answer, a timeout and a rerun of the gate": {
		source: gated, ahead: 2 * time.Hour,
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				does(func() (*engine.Execution, error) {
					return one.AnswerGate(one.ctx(), x.ID, engine.Answer{Task: "ask", Input: json.RawMessage(`{}`)})
				}),
				fires(two, x, engine.TimerLimit, "ask"),
				redrives(one, x, workflow.OperationRerun, from("ask")),
			}
		},
		after: func(d *outcome) {
			require.True(d.t, d.won(2), "%v", d.errs)
			d.redriven(d.x, 1)
			ask := d.one.see(d.x.ID, "ask")
			if ask.task.Status == workflow.TaskWaiting { // it was answered, timed out or superseded before
				_, err := d.one.AnswerGate(d.one.ctx(), d.x.ID, engine.Answer{Task: "ask", Input: json.RawMessage(`{}`)})
				require.NoError(d.t, err)
			}
			require.Len(d.t, ask.attempts, 2)
			d.runs()
		},
	},
	"a resume, the end of the pause and a rerun": {
		source: abc, first: []string{"a"}, ahead: 2 * time.Hour,
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			_, err := one.Pause(one.ctx(), x.ID, engine.Request{Deadline: time.Hour})
			require.NoError(one.t, err)
			return []func() error{
				does(func() (*engine.Execution, error) { return one.Resume(one.ctx(), x.ID, engine.Request{}) }),
				func() error { two.Fire(two.ctx(), engine.TimerUnpause, engine.Fence{Execution: x.ID}); return nil },
				redrives(one, x, workflow.OperationRerun, from("a")),
			}
		},
		after: func(d *outcome) {
			d.one.settleAll(d.x)
			d.redriven(d.x, d.wins(2))
			if now := d.one.at(d.x); now.Status != workflow.ExecutionSucceeded {
				require.Equal(d.t, "pause_expired", now.Error.Code)
				for event, err := range historyOf(d.one, d.x) {
					require.NoError(d.t, err)
					require.NotEqual(d.t, "execution.resumed", event.Type, "it was resumed, and ended by its pause: %v", d.errs)
				}
			}
		},
	},
	"a rerun and the timer of a back-off": {
		source: retried, ahead: 2 * time.Minute,
		fails: []string{"a"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				func() error {
					two.FireRetry(two.ctx(), engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1})
					return nil
				},
				redrives(one, x, workflow.OperationRerun, from("a")),
			}
		},
		after: func(d *outcome) {
			require.True(d.t, d.won(1), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			all := d.one.attempts(d.x, "a")
			require.Equal(d.t, "failed", all[0])
			require.Equal(d.t, "succeeded", all[len(all)-1])
			require.Equal(d.t, map[string]int{"a": 2, "b": 1}, d.one.starts, "%v", all)
		},
	},
	"a redrive and the end of retention": {
		source: halves, fails: []string{"g.i[2]", "double"}, ahead: 2 * time.Hour,
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			return []func() error{
				func() error {
					err := redrives(one, x, workflow.OperationRetry)()
					if isGone(err) {
						return engine.ErrGone
					}
					return err
				},
				func() error {
					return two.Repair(two.ctx(), engine.Due{Now: time.Now().Add(two.offset), Expire: []string{x.ID}})
				},
			}
		},
		after: func(d *outcome) {
			if d.won(0) {
				d.runs()
				d.redriven(d.x, 1)
				d.redriven(d.one.child(d.x, "sub"), 1)
				require.Equal(d.t, map[string]int{"a": 1, "g.i[1]": 1, "g.i[2]": 2, "g.i[3]": 1, "g.l": 1, "double": 2, "end": 1}, d.one.starts)
				return
			}
			d.one.settleAll(d.x)
			_, err := d.one.Execution(d.one.ctx(), d.x.ID)
			require.True(d.t, isGone(err), "it was refused: %v", err)
			require.Equal(d.t, map[string]int{"a": 1, "g.i[1]": 1, "g.i[2]": 1, "g.i[3]": 1, "double": 1}, d.one.starts)
			keys, err := queuetest.Keys(d.one.ctx(), d.one.store.Client(), "redrive:*"+d.x.ID)
			require.NoError(d.t, err)
			keys = slices.DeleteFunc(keys, func(k string) bool { return d.one.mortal(k) })
			require.Empty(d.t, keys)
		},
	},
	"a redrive of a child and one of its parent": {
		source: topOf3, fails: []string{"l2"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			leaf := one.child(one.child(x, "sub"), "inner")
			return []func() error{redrives(one, x, workflow.OperationRetry), redrives(two, leaf, workflow.OperationRetry)}
		},
		after: func(d *outcome) {
			require.Equal(d.t, 1, d.wins(0, 1), "%v", d.errs)
			d.runs()
			mid := d.one.child(d.x, "sub")
			for _, x := range []*engine.Execution{d.x, mid, d.one.child(mid, "inner")} {
				d.redriven(x, 1)
			}
			require.Equal(d.t, map[string]int{"first": 1, "m1": 1, "l1": 1, "l2": 2, "m2": 1, "after": 1}, d.one.starts)
		},
	},
	"a redrive of a child and a rerun of what its parent's task needs": {
		source: topOf3, fails: []string{"l2"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			leaf := one.child(one.child(x, "sub"), "inner")
			return []func() error{redrives(one, x, workflow.OperationRerun, from("first")), redrives(two, leaf, workflow.OperationRetry)}
		},
		after: func(d *outcome) {
			require.True(d.t, d.won(0), "%v", d.errs)
			require.GreaterOrEqual(d.t, d.one.at(d.x).Redrives, 1)
			d.runs()
			require.Equal(d.t, 2, d.one.starts["first"])
		},
	},
	"reruns of a sub-execution that runs, and of its task": {
		source: halves, first: []string{"double"},
		calls: func(one, two *stage, x *engine.Execution, _ []*engine.Run) []func() error {
			sub := one.child(x, "sub")
			return []func() error{redrives(one, x, workflow.OperationRerun, from("sub")), redrives(two, sub, workflow.OperationRerun, from("double"))}
		},
		after: func(d *outcome) {
			require.True(d.t, d.won(0), "%v", d.errs)
			d.redriven(d.x, 1)
			d.runs()
			require.Len(d.t, d.one.attempts(d.x, "sub"), 2)
		},
	},
}

func isGone(err error) bool {
	refused, ok := errors.AsType[*engine.Error](err)
	return ok && refused.Kind == engine.KindNotFound
}

// unfinished are executions that were begun to be made, and are not.
func (s *stage) unfinished() []string {
	s.t.Helper()
	var all []string
	for _, due := range s.due() {
		all = append(all, due.Building...)
	}
	return all
}

// mortal reports whether a key ends by itself.
func (s *stage) mortal(key string) bool {
	s.t.Helper()
	ttl, err := s.store.Client().PTTL(s.ctx(), key).Result()
	require.NoError(s.t, err)
	return ttl > 0
}
