package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func TestSemanticsThePlanOfAMixedExecution(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: done, type: noop, with: "${workflow.input.n}" }
  - { name: again, needs: [done], type: noop, with: "${tasks.done.output}" }
  - { name: runs, needs: [done], type: noop }
  - { name: hit, needs: [again], type: noop }
  - { name: maybe, needs: [again], if: "${tasks.again.output > 5}", type: noop }
  - { name: given, needs: [again], type: noop }
`, `{"n": 1}`)
	for _, ref := range []string{"done", "again", "given"} {
		s.complete(s.claim(x, ref))
	}
	s.claim(x, "runs")
	s.claim(x, "hit")
	require.Equal(t, workflow.TaskSkipped, s.task(x, "maybe").Status)
	p := s.plan(x, workflow.OperationRerun, from("again"), taskInput("again", `9`), output("given", `"x"`), input(`{"n": 2}`))
	require.Equal(t, map[string]string{"done": "keep", "again": "run", "runs": "leave_running", "hit": "cancel", "maybe": "undecided", "given": "pin"}, rows(p))
	require.Equal(t, workflow.InPlace, p.Identity)
	require.Equal(t, s.at(x).Revision, p.Revision)
	require.JSONEq(t, `[{"op":"replace","path":"/n","value":2}]`, string(p.InputDiff))
	require.NotNil(t, p.Warnings)
	require.NotNil(t, p.Acknowledge)
	for _, row := range p.Tasks {
		task := s.task(x, row.Ref)
		require.Equal(t, []any{task.Status, task.Attempt, task.Effects}, []any{row.Status, row.Attempt, row.Effects}, row.Ref)
		if row.Ref == "again" {
			require.JSONEq(t, `[{"op":"replace","path":"","value":9}]`, string(row.InputDiff))
		}
	}
}

func TestSemanticsAPlanHoldsWhileOnlyTheRestMoves(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*stage, *engine.Execution, *workflow.Plan, func() error) {
		s := newStage(t)
		x := s.start(fork, `{"n": 1}`)
		s.complete(s.claim(x, "a"))
		s.complete(s.claim(x, "b"))
		p := s.plan(x, workflow.OperationRerun, from("b"))
		return s, x, p, func() error {
			r := asked(workflow.OperationRerun, []ask{from("b")})
			r.PlanHash = p.PlanHash
			_, err := s.Redrive(s.ctx(), x.ID, r)
			return err
		}
	}
	t.Run("the rest", func(t *testing.T) {
		t.Parallel()
		s, x, p, execute := start(t)
		s.complete(s.claim(x, "e"))
		s.complete(s.claim(x, "f"))
		require.Greater(t, s.at(x).Revision, p.Revision)
		require.NoError(t, execute())
		s.settle()
		s.ends(x, workflow.ExecutionSucceeded)
		require.Equal(t, 2, s.task(x, "b").Attempt)
	})
	for name, move := range map[string]func(*stage, *engine.Execution){
		"what runs again": func(s *stage, x *engine.Execution) {
			s.complete(s.claim(x, "c"))
			s.complete(s.claim(x, "d"))
		},
		"another redrive": func(s *stage, x *engine.Execution) { s.rerun(x, from("a")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, x, _, execute := start(t)
			move(s, x)
			before := s.dump()
			refused := conflict(t, execute(), "plan_changed")
			require.Regexp(t, `\b[bd]\b`, refused.Message, "it lists what happened")
			s.same(before, "refused")
		})
	}
	t.Run("another request", func(t *testing.T) {
		t.Parallel()
		s, x, p, _ := start(t)
		r := asked(workflow.OperationRerun, []ask{from("a")})
		r.PlanHash = p.PlanHash
		_, err := s.Redrive(s.ctx(), x.ID, r)
		conflict(t, err, "plan_changed")
		require.NotEqual(t, p.PlanHash, s.plan(x, workflow.OperationRerun, from("a")).PlanHash)
		require.NotEqual(t, p.PlanHash, s.plan(x, workflow.OperationRerun, from("b"), taskInput("b", `1`)).PlanHash)
	})
}

func TestSemanticsUnsafeEffectsAreAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("pay")
	x := s.start(`
name: w
tasks:
  - { name: mail, type: noop, effects: unsafe }
  - { name: pay, needs: [mail], type: noop, effects: unsafe }
  - { name: note, needs: [pay], type: noop, effects: unsafe }
  - { name: log, needs: [pay], type: noop, effects: keyed }
`, `{}`)
	s.settle()
	s.run = nil
	p := s.plan(x, workflow.OperationRetry)
	require.Equal(t, []string{"pay"}, p.Acknowledge, "note never ran, mail does not run again")
	before := s.dump()
	_, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRetry, nil))
	require.Contains(t, conflict(t, err, "acknowledge_required").Message, "pay")
	s.same(before, "refused")
	s.retry(x, acknowledge("pay"))
	require.Equal(t, once("pay", "note", "log"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, []string{"mail", "pay", "note"}, s.plan(x, workflow.OperationRerun).Acknowledge)
	require.Equal(t, []string{"note"}, s.plan(x, workflow.OperationRerun, from("pay"), output("pay", `1`)).Acknowledge)
	_, err = s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{acknowledge("mail", "pay")}))
	require.Contains(t, conflict(t, err, "acknowledge_required").Message, "note")
	s.rerun(x, acknowledge("mail", "pay", "note"))
	require.Len(t, s.starts, 4)
}

const regions = `
name: w
tasks:
  - name: region
    type: noop
    for_each: { items: "${workflow.input.regions}", key: "${item.name}" }
    with: "${item.sales}"
  - { name: sum, needs: [region], type: noop, with: "${tasks.region.output}" }
  - { name: unrelated, type: noop, with: "${workflow.input.title}" }
`

func TestSemanticsChangedOneRegionOfTheInput(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(regions, `{"title": "t", "regions": [{"name":"eu","sales":1},{"name":"us","sales":2},{"name":"asia","sales":3}]}`)
	s.settle()
	before := s.shot(x)
	s.rerun(x, changed, input(`{"title": "t", "regions": [{"name":"asia","sales":3},{"name":"us","sales":20},{"name":"eu","sales":1}]}`))
	require.Equal(t, once("region[us]", "sum"), s.starts, "neither those that moved")
	for _, ref := range []string{"region[eu]", "region[asia]", "unrelated"} {
		require.Equal(t, before[ref].String(), s.see(x.ID, ref).String(), ref)
	}
	s.gave(x, "sum", `[3,20,1]`)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, changed, input(`{"title": "other"}`), merge)
	require.Equal(t, once("unrelated"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, changed)
	require.Empty(t, s.starts, "nothing changed")
	s.ends(x, workflow.ExecutionSucceeded)
}

const chain = `
name: w
tasks:
  - { name: a, type: noop, with: "${workflow.input.n}" }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output}" }
  - { name: c, needs: [b], type: noop, with: "${tasks.b.output}" }
  - { name: z, needs: [a], type: noop, with: 1 }
`

func TestSemanticsChangedStopsWhereAnOutputIsTheSame(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	constant := giving(map[string]string{"b": `"same"`})
	s.run = constant
	x := s.start(chain, `{"n": 1}`)
	s.settle()
	d := s.rerun(x, changed, input(`{"n": 2}`))
	require.Equal(t, map[string]string{"a": "run", "b": "undecided", "c": "undecided"}, rows(d.plan, "a", "b", "c"))
	require.Equal(t, once("a", "b"), s.starts, "what b gives is the same, and z reads nothing")
	require.Equal(t, 1, s.task(x, "c").Attempt)
	s.ends(x, workflow.ExecutionSucceeded)
	s.run = nil
	s.rerun(x, changed, input(`{"n": 3}`))
	require.Equal(t, once("a", "b", "c"), s.starts)
	s.gave(x, "c", `3`)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, changed, from("c"), input(`{"n": 4}`))
	require.Empty(t, s.starts, "a is not asked for, and c sees the same")
	s.rerun(x, changed, taskInput("b", `8`))
	require.Contains(t, s.starts, "b")
	s.gave(x, "c", `8`)
}

func TestSemanticsChangedOfADefinition(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(chain, `{"n": 1}`)
	s.settle()
	s.publish(`
name: w
tasks:
  - { name: a, type: noop, with: "${workflow.input.n}" }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output + 1}" }
  - { name: c, needs: [b], type: noop, with: "${tasks.b.output}" }
  - { name: z, needs: [a], type: noop, with: 1 }
`)
	s.rerun(x, changed, latest)
	require.Equal(t, once("b", "c"), s.starts)
	s.gave(x, "c", `2`)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemanticsChangedRunsWhatDidNotSucceed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("b")
	x := s.start(chain, `{"n": 1}`)
	s.settle()
	s.run = nil
	s.rerun(x, changed)
	require.Equal(t, once("b", "c"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

// The idempotency key of a task is the same as long as its input is.
func TestSemanticsTheIdempotencyKeyIsStable(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	keys, bad := map[string][]string{}, "load"
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		keys[r.Ref] = append(keys[r.Ref], r.IdempotencyKey)
		if r.Ref == bad {
			return nil, &workflow.Error{Code: "boom", Retryable: true}
		}
		return r.Input, nil
	}
	s.publish("name: child\ntasks: [{ name: load, type: noop, retry: { max_attempts: 2, delay: 1s, jitter: 0 }, with: \"${workflow.input.n}\" }]")
	x := s.start(`
name: w
tasks:
  - { name: each, type: noop, for_each: { items: [eu, us] }, with: 1 }
  - { name: child, type: workflow, with: { name: child, input: { n: "${workflow.input.n}" } } }
`, `{"n": 1}`)
	s.settle()
	s.pass(time.Second) // a second attempt
	s.ends(x, workflow.ExecutionFailed)
	s.retry(x) // in place
	s.pass(time.Second)
	bad = ""
	s.retry(x, restart)
	s.ends(x, workflow.ExecutionSucceeded)
	again := s.rerun(x, anew)
	s.rerun(again.now, anew)
	require.Len(t, keys["load"], 7)
	require.Regexp(t, "^"+x.ID+":child/load:[0-9a-f]{16}$", keys["load"][0])
	for ref, all := range keys {
		for _, k := range all {
			require.Equal(t, all[0], k, ref)
		}
	}
	require.NotEqual(t, keys["each[eu]"][0], keys["each[us]"][0])
	s.rerun(x, input(`{"n": 2}`))
	require.NotEqual(t, keys["load"][0], keys["load"][7], "another input, another key")
	s.rerun(x, input(`{"n": 1}`))
	require.Equal(t, keys["load"][0], keys["load"][8])
	s.rerun(x, from("child/load"), taskInput("child/load", `3`))
	require.NotEqual(t, keys["load"][0], keys["load"][9])
}
