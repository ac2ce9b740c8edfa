package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const charging = `
name: c
tasks:
  - { name: pay, type: noop, effects: unsafe }
  - { name: z, needs: [pay], type: noop }
`

// What began in a sub-execution that another one takes the place of happens again.
func TestSemantics14UnsafeTasksInSubworkflowsThatStartAnewAreAcknowledged(t *testing.T) {
	t.Parallel()
	type op = workflow.Operation
	failed := func(s *stage) *engine.Execution {
		s.run = failing("z")
		x := s.start("name: w\ntasks: [{ name: a, type: noop }, { name: each, needs: [a], type: workflow, for_each: { items: [eu] }, with: { name: m } }]", `{}`)
		s.settle()
		s.run = nil
		s.ends(x, workflow.ExecutionFailed)
		return x
	}
	running := func(s *stage) *engine.Execution {
		x := s.start("name: w\ntasks: [{ name: each, type: workflow, for_each: { items: [eu] }, with: { name: m } }]", `{}`)
		s.claim(s.child(s.child(x, "each[eu]"), "deep"), "pay")
		return x
	}
	for name, c := range map[string]struct {
		bring func(*stage) *engine.Execution
		op    op
		asks  []ask
		want  []string
	}{
		"a rerun":                       {failed, workflow.OperationRerun, nil, []string{"each/deep/pay"}},
		"a rerun of one that runs":      {running, workflow.OperationRerun, nil, []string{"each/deep/pay"}},
		"a retry that starts it anew":   {failed, workflow.OperationRetry, []ask{restart}, []string{"each/deep/pay"}},
		"a retry into a new execution":  {failed, workflow.OperationRetry, []ask{anew}, []string{"each/deep/pay"}},
		"one that says so":              {failed, workflow.OperationRerun, []ask{acknowledge("each[eu]/deep/pay")}, []string{}},
		"a retry that lets it go on":    {failed, workflow.OperationRetry, nil, []string{}},
		"a rerun that leaves it alone":  {failed, workflow.OperationRerun, []ask{from("a"), only}, []string{}},
		"a rerun from within it, again": {failed, workflow.OperationRerun, []ask{from("each[eu]/deep/pay")}, []string{"each/deep/pay"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.publish(charging)
			s.publish("name: m\ntasks: [{ name: deep, type: workflow, with: { name: c } }]")
			x := c.bring(s)
			p := s.plan(x, c.op, c.asks...)
			require.Equal(t, c.want, p.Acknowledge)
			if len(c.want) == 0 {
				return
			}
			require.Contains(t, []string{"undecided", "run", "cancel"}, rows(p)["each[eu]/deep/pay"])
			before := s.dump()
			_, err := s.Redrive(s.ctx(), x.ID, asked(c.op, c.asks))
			require.Contains(t, conflict(t, err, "acknowledge_required").Message, c.want[0])
			s.same(before, "refused")
			d := s.begin(x, c.op, append(c.asks, acknowledge(c.want...))...)
			s.settle()
			s.ends(d.now, workflow.ExecutionSucceeded)
		})
	}
}

// The same input is the same however it is written: its hash, and what others are told as idempotency key.
func TestSemanticsAnInputIsTheSameHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for name, asks := range map[string][]ask{
		"merged":   {input(`{"note": "again"}`), merge},
		"replaced": {input(`{"note": "again", "order": { "amount": 12.50, "id": 7 }}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			var keys []string
			s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
				keys = append(keys, r.IdempotencyKey)
				if len(keys) == 1 {
					return nil, &workflow.Error{Code: "timeout", Message: "no answer"}
				}
				return r.Input, nil
			}
			x := s.start("name: w\ntasks: [{ name: pay, type: noop, effects: keyed, with: { order: '${workflow.input.order}' } }]", `{"order":{"id":7,"amount":12.50}}`)
			s.settle()
			s.retry(x, asks...)
			require.Len(t, keys, 2)
			require.Equal(t, keys[0], keys[1])
			p := s.plan(x, workflow.OperationRerun, append(asks, changed)...)
			require.Equal(t, "keep", rows(p)["pay"])
		})
	}
}

func TestSemantics02PendingTasksWaitForWhatTheirVersionSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ second, from string }{
		"a need is another one": {"name: w\ntasks: [{ name: x, type: noop }, { name: gate, type: noop }, { name: b, needs: [x], type: noop }, { name: c, needs: [b], type: noop }]", "gate"},
		"a gate is taken out":   {"name: w\ntasks: [{ name: x, type: noop }, { name: b, needs: [x], type: noop }, { name: c, needs: [b], type: noop }]", "c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			x := s.start("name: w\ntasks: [{ name: x, type: noop }, { name: gate, type: approval }, { name: b, needs: [gate], type: noop }, { name: c, needs: [b], type: noop }]", `{}`)
			s.settle()
			s.publish(c.second)
			d := s.rerun(x, latest, from(c.from))
			require.Equal(t, "run", rows(d.plan)["b"])
			s.ends(x, workflow.ExecutionSucceeded)
			require.Equal(t, workflow.TaskSucceeded, s.task(x, "c").Status)
		})
	}
}

func TestSemanticsAPlanSaysWhatCannotRun(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("a", "b")
	x := s.start("name: w\ntasks: [{ name: a, type: noop }, { name: b, type: noop }, { name: c, needs: [a, b], type: noop }, { name: d, needs: [c], type: noop }]", `{}`)
	s.settle()
	s.run = nil
	p := s.plan(x, workflow.OperationRetry, from("a"))
	require.Equal(t, map[string]string{"a": "run", "b": "keep", "c": "undecided", "d": "undecided"}, rows(p))
	require.Equal(t, []string{"b failed and does not run again, so the execution cannot succeed"}, p.Warnings)
	p = s.plan(x, workflow.OperationRetry, from("a", "b"), only)
	require.Contains(t, p.Warnings, "c was canceled and does not run again, so the execution cannot succeed")
	s.retry(x, from("a"))
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, workflow.TaskCanceled, s.task(x, "d").Status)
	require.Empty(t, s.plan(x, workflow.OperationRetry).Warnings)
}

func TestSemanticsInputsOfTasksInPlans(t *testing.T) {
	t.Parallel()
	diff := func(p *workflow.Plan, ref string) string {
		for _, row := range p.Tasks {
			if row.Ref == ref {
				return string(row.InputDiff)
			}
		}
		return "no row"
	}
	t.Run("a patch that does not fit the schema", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = failing("a")
		x := s.start("name: w\ntasks: [{ name: a, type: noop, with: { n: 1 }, input_schema: { type: object, properties: { n: { type: integer } } } }]", `{}`)
		s.settle()
		refused := s.refuses(x, workflow.OperationRetry, "input_invalid", taskInput("a", `{"n": "x"}`), merge)
		require.Equal(t, "task_input.a.n", refused.Problems[0].Field)
	})
	t.Run("in a sub-execution", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.publish("name: c\ntasks: [{ name: pay, type: noop, with: { n: 1 } }]")
		s.run = failing("pay")
		x := s.start("name: w\ntasks: [{ name: child, type: workflow, with: { name: c } }]", `{}`)
		s.settle()
		replaced := `[{"value":2,"op":"replace","path":"/n"}]`
		require.JSONEq(t, replaced, diff(s.plan(x, workflow.OperationRetry, taskInput("child/pay", `{"n":2}`)), "child/pay"))
		require.JSONEq(t, replaced, diff(s.plan(s.child(x, "child"), workflow.OperationRetry, taskInput("pay", `{"n":2}`)), "pay"))
		s.retry(x, taskInput("child/pay", `{"n":2}`))
		require.Contains(t, s.plan(x, workflow.OperationRetry).Warnings, "child/pay keeps the input that an earlier redrive gave it; give null as its task_input to take that away")
		p := s.plan(x, workflow.OperationRetry, taskInput("child/pay", `null`))
		require.Equal(t, []string{"child/pay gets the input again that its definition gives it"}, p.Warnings)
		require.Empty(t, diff(p, "child/pay"))
	})
	t.Run("of a task that runs on", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start("name: w\ntasks: [{ name: a, type: noop }, { name: b, type: noop, with: 1 }]", `{}`)
		s.claim(x, "b")
		p := s.plan(x, workflow.OperationRerun, from("a"), taskInput("b", `5`))
		require.Equal(t, []string{"b runs, and goes on with the input that it has; what is given counts if it is tried again"}, p.Warnings)
	})
}

func TestSemanticsScopeChangedLooksIntoGroups(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	version := func(b string) string {
		return "name: w\ntasks: [{ name: g, type: group, tasks: [{ name: a, type: noop, with: 1, description: as in " + b + " }, { name: b, type: noop, with: " + b + " }] }]"
	}
	x := s.start(version("1"), `{}`)
	s.settle()
	s.publish(version("2"))
	d := s.rerun(x, changed, latest)
	require.Equal(t, map[string]string{"g": "run", "g.a": "keep", "g.b": "run"}, rows(d.plan))
	require.Equal(t, once("g.b"), s.starts)
}
