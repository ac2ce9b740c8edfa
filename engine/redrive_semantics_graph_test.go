package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// The rules of what retry and rerun mean, one test for each, in their order.

const fork = `
name: w
tasks:
  - { name: a, type: noop, with: "${workflow.input.n}" }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output}" }
  - { name: c, needs: [a], type: noop, with: "${tasks.a.output}" }
  - { name: d, needs: [b, c], type: noop, with: ["${tasks.b.output}", "${tasks.c.output}"] }
  - { name: e, type: noop }
  - { name: f, needs: [e], type: noop }
output: "${tasks.d.output}"
`

func TestSemantics01CutFollowsTheGraph(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	d := s.rerun(x, from("b"))
	require.Equal(t, map[string]string{"a": "keep", "b": "run", "c": "keep", "d": "run", "e": "keep", "f": "keep"}, rows(d.plan))
	require.Equal(t, once("b", "d"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	d = s.rerun(x, from("c", "e"))
	require.Equal(t, map[string]string{"a": "keep", "b": "keep", "c": "run", "d": "run", "e": "run", "f": "run"}, rows(d.plan))
	require.Equal(t, once("c", "d", "e", "f"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x)
	require.Equal(t, once("a", "b", "c", "d", "e", "f"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics01ASiblingThatRunsKeepsRunning(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(fork, `{"n": 1}`)
	s.complete(s.claim(x, "a"))
	s.complete(s.claim(x, "b"))
	sibling := s.claim(x, "c")
	d := s.begin(x, workflow.OperationRerun, from("b"))
	require.Equal(t, map[string]string{"a": "keep", "b": "run", "c": "leave_running"}, rows(d.plan, "a", "b", "c"))
	require.Equal(t, workflow.TaskRunning, s.task(x, "c").Status)
	require.NoError(t, s.Heartbeat(s.ctx(), []*engine.Run{sibling})[0])
	s.complete(sibling)
	s.settle()
	s.holds(d)
	require.Equal(t, once("b", "d", "e", "f"), s.starts)
	require.Equal(t, 1, s.task(x, "c").Attempt)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics02AJoinWaitsForExactlyItsPredecessors(t *testing.T) {
	t.Parallel()
	t.Run("for all that run again", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(fork, `{"n": 1}`)
		s.settle()
		s.begin(x, workflow.OperationRerun, from("b", "c"))
		s.complete(s.claim(x, "c"))
		require.Equal(t, workflow.TaskPending, s.task(x, "d").Status)
		s.audit(x)
		s.complete(s.claim(x, "b"))
		require.Equal(t, workflow.TaskQueued, s.task(x, "d").Status)
		s.settle()
		require.Equal(t, once("b", "c", "d"), s.starts)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("not for what stays", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = failing("b")
		x := s.start(fork, `{"n": 1}`)
		s.settle()
		s.ends(x, workflow.ExecutionFailed)
		s.run = nil
		s.retry(x)
		require.Equal(t, once("b", "d"), s.starts)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("for what still runs", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(fork, `{"n": 1}`)
		s.complete(s.claim(x, "a"))
		sibling := s.claim(x, "c")
		_, err := s.Fail(s.ctx(), s.claim(x, "b"), &workflow.Error{Code: "boom"}, false)
		require.NoError(t, err)
		s.rerun(x, from("b"))
		require.Equal(t, workflow.TaskSucceeded, s.task(x, "b").Status)
		require.Equal(t, workflow.TaskPending, s.task(x, "d").Status)
		s.complete(sibling)
		s.settle()
		require.Equal(t, 1, s.starts["d"])
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("one that runs is superseded", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(fork, `{"n": 1}`)
		s.complete(s.claim(x, "a"))
		s.complete(s.claim(x, "b"))
		s.complete(s.claim(x, "c"))
		join := s.claim(x, "d")
		d := s.begin(x, workflow.OperationRerun, from("b"))
		require.Equal(t, map[string]string{"b": "run", "d": "cancel"}, rows(d.plan, "b", "d"))
		s.stale(join)
		require.Equal(t, workflow.TaskPending, s.task(x, "d").Status)
		s.settle()
		s.holds(d)
		require.Equal(t, 1, s.starts["d"])
		require.Equal(t, []string{"canceled", "succeeded"}, s.attempts(x, "d"))
		made, _, err := s.Attempts(s.ctx(), x.ID, "d", engine.Page{})
		require.NoError(t, err)
		require.Equal(t, []string{"superseded", ""}, []string{made[0].Reason, made[1].Reason})
		s.ends(x, workflow.ExecutionSucceeded)
	})
}

const flaky = `
name: w
tasks:
  - { name: a, type: noop, retry: { max_attempts: 3, delay: 1s, jitter: 0 } }
  - { name: b, needs: [a], type: noop }
  - { name: c, needs: [b], type: noop }
`

func TestSemantics03ASupersededAttemptIsNeverRevived(t *testing.T) {
	t.Parallel()
	for name, redrive := range map[string]func(*stage, *engine.Execution) *redone{
		"retry": func(s *stage, x *engine.Execution) *redone { return s.retry(x) },
		"rerun": func(s *stage, x *engine.Execution) *redone { return s.rerun(x, from("b")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.run = failing("a")
			x := s.start(flaky, `{}`)
			s.settle()
			s.run = failing("b")
			s.pass(time.Second)
			s.ends(x, workflow.ExecutionFailed)
			require.Equal(t, []string{"failed", "succeeded"}, s.attempts(x, "a"))
			s.run = nil
			d := redrive(s, x)
			require.Equal(t, map[string]string{"a": "keep", "b": "run", "c": "run"}, rows(d.plan))
			require.Equal(t, once("b", "c"), s.starts)
			require.Equal(t, []string{"failed", "succeeded"}, s.attempts(x, "a"))
			s.ends(x, workflow.ExecutionSucceeded)
		})
	}
}

func TestSemantics04ALateResultIsRefused(t *testing.T) {
	t.Parallel()
	for name, supersede := range map[string]func(*stage, *engine.Execution){
		"a rerun of the task": func(s *stage, x *engine.Execution) { s.begin(x, workflow.OperationRerun, from("b")) },
		"a rerun of what it needs": func(s *stage, x *engine.Execution) {
			s.begin(x, workflow.OperationRerun, from("a"))
			s.complete(s.claim(x, "a"))
		},
		"a rerun of everything": func(s *stage, x *engine.Execution) {
			s.begin(x, workflow.OperationRerun)
			s.complete(s.claim(x, "a"))
		},
		"a cancel and a retry": func(s *stage, x *engine.Execution) {
			_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
			require.NoError(s.t, err)
			s.begin(x, workflow.OperationRetry)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			x := s.start(fork, `{"n": 1}`)
			s.complete(s.claim(x, "a"))
			zombie := s.claim(x, "b")
			supersede(s, x)
			s.stale(zombie)
			second := s.claim(x, "b")
			require.Equal(t, zombie.Attempt+1, second.Attempt)
			s.stale(zombie)
			require.NoError(t, s.Complete(s.ctx(), second, json.RawMessage(`"mine"`)))
			s.stale(zombie)
			s.settle()
			require.Equal(t, []string{"canceled", "succeeded"}, s.attempts(x, "b"))
			s.gave(x, "b", `"mine"`)
			s.gave(x, "d", `["mine",1]`)
			s.ends(x, workflow.ExecutionSucceeded)
		})
	}
}

func TestSemantics05ACanceledSiblingRunsAgainASuccessDoesNot(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
fail_fast: true
tasks:
  - { name: good, type: noop }
  - { name: bad, type: noop }
  - { name: slow, type: noop }
  - { name: end, needs: [good, bad, slow], type: noop }
`, `{}`)
	s.complete(s.claim(x, "good"))
	slow := s.claim(x, "slow")
	_, err := s.Fail(s.ctx(), s.claim(x, "bad"), &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err)
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, map[string]string{"good": "succeeded", "bad": "failed", "slow": "canceled", "end": "canceled"}, s.tasks(x))
	d := s.retry(x)
	require.Equal(t, map[string]string{"good": "keep", "bad": "run", "slow": "run", "end": "run"}, rows(d.plan))
	s.stale(slow)
	require.Equal(t, once("bad", "slow", "end"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

const inputs = `
name: w
input_schema: { type: object, properties: { n: { type: number }, size: { type: integer, default: 5 } } }
tasks:
  - { name: a, type: noop, with: { n: "${workflow.input.n}" } }
  - { name: b, needs: [a], type: noop, with: { n: "${workflow.input.n}", a: "${tasks.a.output.n}" } }
  - { name: c, needs: [b], type: noop, with: { n: "${workflow.input.n}", b: "${tasks.b.output.n}" } }
`

func TestSemantics06InputsAreKeptVerbatimOrReplaced(t *testing.T) {
	t.Parallel()
	const original = `{"n": 9007199254740993, "z": [],  "a": 1.0}`
	begun := func(t *testing.T) (*stage, *engine.Execution, string) {
		s := newStage(t)
		x := s.start(inputs, original)
		s.settle()
		s.ends(x, workflow.ExecutionSucceeded)
		return s, x, string(s.at(x).Input)
	}
	t.Run("kept", func(t *testing.T) {
		t.Parallel()
		s, x, before := begun(t)
		d := s.rerun(x)
		require.Nil(t, d.plan.InputDiff)
		require.Equal(t, before, string(s.at(x).Input))
		require.JSONEq(t, original, before)
		s.gave(x, "c", `{"b":9007199254740993,"n":9007199254740993}`)
	})
	t.Run("of the workflow", func(t *testing.T) {
		t.Parallel()
		s, x, _ := begun(t)
		d := s.rerun(x, from("b"), input(`{"n": 2}`))
		require.NotEmpty(t, d.plan.InputDiff)
		require.Equal(t, `{"n": 2}`, string(s.at(x).Input), "nothing is filled in")
		s.gave(x, "a", `{"n":9007199254740993}`)
		s.gave(x, "b", `{"a":9007199254740993,"n":2}`)
		s.gave(x, "c", `{"b":2,"n":2}`)
	})
	t.Run("of the workflow, patched", func(t *testing.T) {
		t.Parallel()
		s, x, _ := begun(t)
		s.rerun(x, from("c"), input(`{"z": null, "a": {"b": 1}}`), merge)
		require.JSONEq(t, `{"n": 9007199254740993, "a": {"b": 1}}`, string(s.at(x).Input))
		require.Contains(t, string(s.at(x).Input), "9007199254740993")
		s.gave(x, "c", `{"b":9007199254740993,"n":9007199254740993}`)
	})
	t.Run("of the workflow, not fitting", func(t *testing.T) {
		t.Parallel()
		s, x, _ := begun(t)
		refused := s.refuses(x, workflow.OperationRerun, "request_invalid", input(`{"n": "two"}`))
		require.Equal(t, "workflow_input.n", refused.Problems[0].Field)
	})
	t.Run("of a task", func(t *testing.T) {
		t.Parallel()
		s, x, _ := begun(t)
		d := s.rerun(x, from("b"), taskInput("b", `{"n": 7}`))
		for _, row := range d.plan.Tasks {
			require.Equal(t, row.Ref == "b", row.InputDiff != nil, row.Ref)
		}
		require.JSONEq(t, `{"n": 7}`, string(s.task(x, "b").Input))
		require.JSONEq(t, `{"n": 7}`, string(s.task(x, "b").Output))
		s.gave(x, "c", `{"b":7,"n":9007199254740993}`)
		s.rerun(x, from("a"))
		require.JSONEq(t, `{"n": 7}`, string(s.task(x, "b").Output), "it stays with the task")
		s.rerun(x, from("b"), taskInput("b", `{"n": 8}`))
		s.gave(x, "c", `{"b":8,"n":9007199254740993}`)
		s.rerun(x, from("b"), taskInput("b", `null`))
		s.gave(x, "b", `{"a":9007199254740993,"n":9007199254740993}`)
	})
	t.Run("of a task, patched", func(t *testing.T) {
		t.Parallel()
		s, x, _ := begun(t)
		s.rerun(x, from("b"), taskInput("b", `{"a": null, "more": [1]}`), merge)
		require.JSONEq(t, `{"n": 9007199254740993, "more": [1]}`, string(s.task(x, "b").Output))
		require.Contains(t, string(s.task(x, "b").Output), "9007199254740993")
		require.Equal(t, `{"a":9007199254740993,"n":9007199254740993}`, string(s.see(x.ID, "b").attempts[0].Input), "what was is history")
	})
	t.Run("of a task of a retry", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = failing("b")
		x := s.start(inputs, original)
		s.settle()
		s.run = nil
		s.retry(x, taskInput("b", `{"n": 7}`), input(`{"n": 3}`))
		require.Equal(t, once("b", "c"), s.starts)
		s.gave(x, "c", `{"b":7,"n":3}`)
		s.ends(x, workflow.ExecutionSucceeded)
	})
}

func TestSemantics07KeptOutputsAreByteEqualAndReadable(t *testing.T) {
	t.Parallel()
	const odd = `{"b":1.50,"a":[],"n":9007199254740993,"e":{},"t":"\u00e9<"}`
	s := newStage(t)
	s.run = giving(map[string]string{"a": odd})
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output.n}" }
`, `{}`)
	s.settle()
	s.gave(x, "a", odd)
	s.run = nil
	s.rerun(x, from("b"))
	s.gave(x, "a", odd)
	s.gave(x, "b", `9007199254740993`)
	s.publish(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: b, needs: [a], type: noop, with: ["${tasks.a.output.a}", "${tasks.a.output.n}"] }
  - { name: c, needs: [b], type: noop, with: "${tasks.a.output.t}" }
`)
	d := s.rerun(x, from("b"), latest)
	require.Equal(t, map[string]string{"a": "keep", "b": "run", "c": "run"}, rows(d.plan))
	s.gave(x, "a", odd)
	s.gave(x, "b", `[[],9007199254740993]`)
	require.JSONEq(t, `"é<"`, string(s.task(x, "c").Output))
	require.Equal(t, 2, s.ends(x, workflow.ExecutionSucceeded).Version)
	s.publish(`
name: w
tasks:
  - { name: a, type: noop, output_schema: { type: object, required: [gone] } }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output.gone}" }
`)
	p := s.plan(x, workflow.OperationRerun, from("b"), latest)
	require.Contains(t, inJSON(p.Warnings), "output_schema", "what is kept does not fit, and the plan says so")
}
