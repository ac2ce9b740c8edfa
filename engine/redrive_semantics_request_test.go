package engine_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func TestSemanticsOperationsAreAllowedWhen(t *testing.T) {
	t.Parallel()
	cancel := func(s *stage, x *engine.Execution) {
		_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
		require.NoError(s.t, err)
	}
	for status, c := range map[workflow.ExecutionStatus]struct {
		bring        func(*stage, *engine.Execution)
		retry, rerun string // codes of refusals
	}{
		workflow.ExecutionRunning: {bring: func(*stage, *engine.Execution) {}, retry: "not_retryable"},
		workflow.ExecutionPaused: {bring: func(s *stage, x *engine.Execution) {
			_, err := s.Pause(s.ctx(), x.ID, engine.Request{})
			require.NoError(s.t, err)
		}, retry: "not_retryable"},
		workflow.ExecutionCanceling: {bring: func(s *stage, x *engine.Execution) {
			_, err := s.store.Control(s.ctx(), x.ID, engine.OperationCancel, engine.Request{})
			require.NoError(s.t, err)
		}, retry: "not_retryable", rerun: "execution_canceling"},
		workflow.ExecutionSucceeded: {bring: func(s *stage, _ *engine.Execution) { s.settle() }, retry: "nothing_to_retry"},
		workflow.ExecutionFailed:    {bring: func(s *stage, _ *engine.Execution) { s.run = failing("b"); s.settle(); s.run = nil }},
		workflow.ExecutionCanceled:  {bring: cancel},
		workflow.ExecutionTimedOut:  {bring: func(s *stage, _ *engine.Execution) { s.pass(2 * time.Hour) }},
	} {
		for op, code := range map[workflow.Operation]string{workflow.OperationRetry: c.retry, workflow.OperationRerun: c.rerun} {
			t.Run(string(status)+" "+string(op), func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				x := s.start("name: w\ntimeout: 1h\ntasks: [{ name: a, type: noop, with: 1 }, { name: b, needs: [a], type: noop }]", `{}`)
				if status == workflow.ExecutionTimedOut {
					s.claim(x, "a")
				}
				c.bring(s, x)
				require.Equal(t, status, s.at(x).Status)
				if code != "" {
					refused := s.refuses(x, op, code)
					require.Equal(t, engine.KindConflict, refused.Kind)
					require.Contains(t, refused.Message, string(status), "it says why")
					return
				}
				d := s.begin(x, op)
				require.False(t, d.now.Status.Ended())
				if _, err := s.Resume(s.ctx(), x.ID, engine.Request{}); err != nil {
					conflict(t, err, "not_paused")
				}
				s.settle()
				s.holds(d)
				s.ends(x, workflow.ExecutionSucceeded)
			})
		}
	}
}

func TestSemanticsOneThatWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.start(limited(1, workflow.WhenFullQueue), `{}`)
	x := s.start(limited(1, workflow.WhenFullQueue), `{}`)
	require.Equal(t, workflow.ExecutionQueued, x.Status)
	s.refuses(x, workflow.OperationRetry, "not_retryable")
	d := s.begin(x, workflow.OperationRerun, input(`{"n": 1}`))
	require.Equal(t, workflow.ExecutionQueued, d.now.Status, "it keeps its place")
	s.settle()
	s.ends(first, workflow.ExecutionSucceeded)
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, 1, s.task(x, "a").Attempt, "it had not begun")
}

func TestSemanticsARedriveTakesASlot(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(limited(1, workflow.WhenFullQueue), `{}`)
	s.settle()
	other := s.start(limited(1, workflow.WhenFullQueue), `{}`)
	d := s.begin(x, workflow.OperationRerun)
	require.Equal(t, workflow.ExecutionQueued, d.now.Status)
	s.settle()
	s.ends(other, workflow.ExecutionSucceeded)
	s.ends(x, workflow.ExecutionSucceeded)
	s.publish(limited(1, workflow.WhenFullReject))
	s.begin(x, workflow.OperationRerun)
	before := s.dump()
	_, err := s.Redrive(s.ctx(), other.ID, asked(workflow.OperationRerun, nil))
	conflict(t, err, "concurrency_limit")
	s.same(before, "refused")
}

// hands is a redrive by which an operator settles a task that ended.
func TestSemanticsATaskThatEndedIsSettledByHand(t *testing.T) {
	t.Parallel()
	const definition = `
name: w
tasks:
  - { name: a, type: noop }
  - { name: b, type: noop, output_schema: { type: integer } }
  - { name: c, needs: [a, b], type: noop, with: ["${tasks.b.output}", "${tasks.b.status}"] }
  - { name: g, type: group, tasks: [{ name: i, type: noop }] }
`
	for name, c := range map[string]struct {
		hand        engine.HandRequest
		op          workflow.Operation
		action      string
		status, saw string
	}{
		"complete": {engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`7`)}, workflow.OperationComplete, "pin", "succeeded", `[7,"succeeded"]`},
		"skip":     {engine.HandRequest{To: workflow.TaskSkipped}, workflow.OperationSkip, "skip", "skipped", `[null,"skipped"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.run = failing("b")
			x := s.start(definition, `{}`)
			s.settle()
			s.ends(x, workflow.ExecutionFailed)
			before, first := s.dump(), s.shot(x)
			p, err := s.PlanByHand(s.ctx(), x.ID, "b", c.hand)
			require.NoError(t, err)
			require.Equal(t, c.op, p.Operation)
			require.Equal(t, map[string]string{"a": "keep", "b": c.action, "c": "run", "g": "keep", "g.i": "keep"}, rows(p))
			s.same(before, "a plan changes nothing")
			s.starts = map[string]int{}
			c.hand.Reason, c.hand.By = "I fixed it", "ann"
			task, err := s.SettleByHand(s.ctx(), x.ID, "b", c.hand)
			require.NoError(t, err)
			require.Equal(t, c.status, string(task.Status))
			s.settle()
			require.Equal(t, once("c"), s.starts)
			s.gave(x, "c", c.saw)
			for _, was := range first {
				s.remembers(was)
			}
			require.Equal(t, 1, s.ends(x, workflow.ExecutionSucceeded).Redrives)
			list, _, err := s.Redrives(s.ctx(), x.ID, engine.Page{})
			require.NoError(t, err)
			require.Equal(t, []any{c.op, "I fixed it", "ann"}, []any{list[0].Operation, list[0].Reason, list[0].By})
		})
	}
	t.Run("the plan of it executed twice", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = failing("b")
		x := s.start(definition, `{}`)
		s.settle()
		s.run = nil
		h := engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`7`)}
		p, err := s.PlanByHand(s.ctx(), x.ID, "b", h)
		require.NoError(t, err)
		h.PlanHash = p.PlanHash
		for range 2 { // right away, and when it has ended
			for range 2 {
				task, err := s.SettleByHand(s.ctx(), x.ID, "b", h)
				require.NoError(t, err)
				require.Equal(t, workflow.TaskSucceeded, task.Status)
			}
			s.settle()
		}
		require.Equal(t, 1, s.ends(x, workflow.ExecutionSucceeded).Redrives)
		require.Equal(t, 1, s.starts["c"])
		h.PlanHash = "1-1xabc"
		_, err = s.SettleByHand(s.ctx(), x.ID, "b", h)
		conflict(t, err, "task_ended")
	})
	t.Run("what fits not is refused", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = failing("b")
		x := s.start(definition, `{}`)
		s.settle()
		before := s.dump()
		for ref, output := range map[string]string{"b": `"seven"`, "g": `7`} {
			_, err := s.SettleByHand(s.ctx(), x.ID, ref, engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(output)})
			require.Equal(t, "output", refusalOf(t, err).Problems[0].Field)
			_, err = s.PlanByHand(s.ctx(), x.ID, ref, engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(output)})
			require.Equal(t, "output", refusalOf(t, err).Problems[0].Field)
		}
		_, err := s.SettleByHand(s.ctx(), x.ID, "a", engine.HandRequest{To: workflow.TaskFailed})
		require.Equal(t, engine.KindConflict, refusalOf(t, err).Kind)
		s.same(before, "refused")
	})
	t.Run("while the execution runs", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(definition, `{}`)
		_, err := s.Fail(s.ctx(), s.claim(x, "b"), &workflow.Error{Code: "boom"}, false)
		require.NoError(t, err)
		s.complete(s.claim(x, "a"))
		_, err = s.SettleByHand(s.ctx(), x.ID, "a", engine.HandRequest{To: workflow.TaskSkipped})
		conflict(t, err, "task_ended")
		_, err = s.SettleByHand(s.ctx(), x.ID, "b", engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`8`)})
		require.NoError(t, err)
		require.Equal(t, 1, s.at(x).Redrives)
		s.settle()
		s.gave(x, "c", `[8,"succeeded"]`)
		s.ends(x, workflow.ExecutionSucceeded)
	})
}

func TestSemanticsScopeOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	d := s.rerun(x, from("b"), only, taskInput("b", `9`))
	require.Equal(t, map[string]string{"a": "keep", "b": "run", "c": "keep", "d": "keep", "e": "keep", "f": "keep"}, rows(d.plan))
	require.Equal(t, once("b"), s.starts)
	s.gave(x, "b", `9`)
	s.gave(x, "d", `[1,1]`)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemanticsOutputsArePinned(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	d := s.retry(x, output("b", `{"by":"hand"}`))
	require.Equal(t, map[string]string{"b": "pin", "d": "run", "c": "keep"}, rows(d.plan, "b", "c", "d"))
	require.Equal(t, once("d"), s.starts)
	require.Equal(t, []string{"failed", "succeeded"}, s.attempts(x, "b"))
	s.gave(x, "d", `[{"by":"hand"},1]`)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, from("a"), output("a", `5`), output("c", `6`))
	require.Equal(t, once("b", "d"), s.starts)
	s.gave(x, "d", `[5,6]`)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, from("a"))
	require.Equal(t, once("a", "b", "c", "d"), s.starts, "a pin holds once")

	x = s.start("name: g\ntasks: [{ name: g, type: group, tasks: [{ name: i, type: noop, with: 7, output_schema: { type: integer } }] }]", `{}`)
	s.settle()
	s.refuses(x, workflow.OperationRerun, "not_allowed", output("g", `1`))
	refused := s.refuses(x, workflow.OperationRerun, "request_invalid", from("g.i"), output("g.i", `"x"`))
	require.Equal(t, "outputs.g.i", refused.Problems[0].Field)
	s.rerun(x, from("g.i"), output("g.i", `3`))
	require.Empty(t, s.starts)
	require.JSONEq(t, `{"i": 3}`, string(s.task(x, "g").Output))
}

func TestSemanticsBudget(t *testing.T) {
	t.Parallel()
	used := func(t *testing.T) (*stage, *engine.Execution) {
		s := newStage(t)
		s.run = failing("a")
		x := s.start(flaky, `{}`)
		s.settle()
		s.pass(time.Second)
		s.pass(2 * time.Second)
		s.ends(x, workflow.ExecutionFailed)
		require.Len(t, s.attempts(x, "a"), 3)
		return s, x
	}
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		s, x := used(t)
		s.retry(x)
		require.Equal(t, workflow.TaskRetrying, s.task(x, "a").Status)
		require.Equal(t, 1, s.task(x, "a").Try)
		s.pass(time.Second)
		s.pass(2 * time.Second)
		require.Len(t, s.attempts(x, "a"), 6)
		s.ends(x, workflow.ExecutionFailed)
	})
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		s, x := used(t)
		for n := 4; n < 6; n++ {
			s.retry(x, oneTry)
			s.ends(x, workflow.ExecutionFailed)
			require.Len(t, s.attempts(x, "a"), n)
		}
		s.run = failing("b")
		s.retry(x, oneTry)
		require.Equal(t, once("a", "b"), s.starts)
		s.ends(x, workflow.ExecutionFailed)
	})
}

func TestSemanticsDefinition(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	second := "name: w\ntasks:\n" +
		"  - { name: a, type: noop, with: \"${workflow.input.n}\" }\n" +
		"  - { name: b, needs: [a], type: noop, with: 20 }\n" +
		"  - { name: d, needs: [b], type: noop, with: \"${tasks.b.output}\" }\n" +
		"  - { name: new, type: noop }\n"
	s.publish(second, "name: w\ntasks: [{ name: a, type: noop }]")
	d := s.retry(x)
	require.Nil(t, d.plan.DefinitionDiff)
	require.Equal(t, 1, s.ends(x, workflow.ExecutionSucceeded).Version)
	d = s.rerun(x, from("b"), func(r *engine.RedriveRequest) { r.Definition = "2" })
	require.Equal(t, &workflow.DefinitionDiff{From: 1, To: 2, Added: []string{"new"}, Removed: []string{"c", "e", "f"}, Changed: []string{"b", "d"}}, d.plan.DefinitionDiff)
	require.Equal(t, map[string]string{"a": "keep", "b": "run", "d": "run", "new": "run"}, rows(d.plan, "a", "b", "d", "new"))
	require.Equal(t, once("b", "d", "new"), s.starts)
	s.gave(x, "d", `20`)
	require.Equal(t, 2, s.ends(x, workflow.ExecutionSucceeded).Version)
	s.rerun(x, latest)
	require.Equal(t, once("a"), s.starts)
	require.Equal(t, map[string]string{"a": "succeeded"}, s.tasks(x))
	require.Equal(t, 3, s.ends(x, workflow.ExecutionSucceeded).Version)
	s.rerun(x)
	require.Equal(t, once("a"), s.starts, "same is the one that it runs now")
	list, _, err := s.Redrives(s.ctx(), x.ID, engine.Page{})
	require.NoError(t, err)
	var versions []int
	for _, r := range list {
		versions = append(versions, r.Version)
	}
	require.Equal(t, []int{1, 2, 3, 3}, versions)
}

func TestSemanticsWhatIsSaidOfTheExecution(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	id := "order 7"
	s.retry(x, func(r *engine.RedriveRequest) {
		r.CorrelationID, r.Metadata = &id, map[string]string{"ticket": "12"}
		r.Reason, r.By = "the disk was full", "ann"
	})
	now := s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, id, now.CorrelationID)
	require.Equal(t, map[string]string{"ticket": "12"}, now.Metadata)
	s.rerun(x)
	now = s.at(x)
	require.Equal(t, id, now.CorrelationID, "absent is kept")
	require.Equal(t, map[string]string{"ticket": "12"}, now.Metadata)
	found, _, err := s.Executions(s.ctx(), "default", engine.ExecutionFilter{CorrelationID: id}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	list, next, err := s.Redrives(s.ctx(), x.ID, engine.Page{Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, next)
	require.Equal(t, []any{1, "the disk was full", "ann"}, []any{list[0].Number, list[0].Reason, list[0].By})
	list, next, err = s.Redrives(s.ctx(), x.ID, engine.Page{Limit: 1, Cursor: next})
	require.NoError(t, err)
	require.Empty(t, next)
	require.Equal(t, workflow.OperationRerun, list[0].Operation)
	s.refuses(x, workflow.OperationRerun, "too_long", func(r *engine.RedriveRequest) { r.Reason = string(slices.Repeat([]byte("x"), 5000)) })
}

func TestSemanticsANewExecution(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	d := s.retry(x, anew, input(`{"n": 5}`))
	require.Equal(t, workflow.NewExecution, d.plan.Identity)
	require.Equal(t, once("b", "d"), s.starts)
	now := s.ends(d.now, workflow.ExecutionSucceeded)
	require.Equal(t, &engine.Origin{Execution: x.ID, Relation: engine.RelationRetry}, now.Origin)
	require.Nil(t, now.Parent)
	require.Equal(t, x.ID, now.Root)
	require.Equal(t, `{"n": 5}`, string(now.Input))
	require.Equal(t, `{"n": 1}`, string(s.at(x).Input))
	s.gave(now, "d", `[1,1]`)
	require.Equal(t, workflow.ExecutionFailed, s.at(x).Status)
	again := s.rerun(now, anew, from("c"))
	require.Equal(t, once("c", "d"), s.starts)
	third := s.ends(again.now, workflow.ExecutionSucceeded)
	require.Equal(t, &engine.Origin{Execution: now.ID, Relation: engine.RelationRerun}, third.Origin)
	require.Equal(t, x.ID, third.Root)
	list, _, err := s.Redrives(s.ctx(), x.ID, engine.Page{})
	require.NoError(t, err)
	require.Equal(t, []any{0, now.ID, now.Number}, []any{list[0].Number, list[0].Into, list[0].IntoNumber}, "it is no redrive of this execution")
	s.rerun(now, from("b"))
	require.Equal(t, once("b", "d"), s.starts, "and it can be redriven in place")
	s.ends(now, workflow.ExecutionSucceeded)
}

func TestSemanticsWhatIsUnsafeBehindATaskThatIsSettledByHandIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("a")
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop, on_failure: continue }
  - { name: pay, needs: [a], type: noop, effects: unsafe }
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	s.run = nil
	r := engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`1`)}
	p, err := s.PlanByHand(s.ctx(), x.ID, "a", r)
	require.NoError(t, err)
	require.Equal(t, []string{"pay"}, p.Acknowledge)
	before := s.dump()
	_, err = s.SettleByHand(s.ctx(), x.ID, "a", r)
	conflict(t, err, "acknowledge_required")
	r.Acknowledge, r.PlanHash = []string{"pay"}, p.PlanHash
	other := r
	other.Output = json.RawMessage(`2`)
	_, err = s.SettleByHand(s.ctx(), x.ID, "a", other)
	conflict(t, err, "plan_changed")
	s.same(before, "refused")
	p, err = s.PlanByHand(s.ctx(), x.ID, "a", r)
	require.NoError(t, err)
	r.PlanHash = p.PlanHash
	_, err = s.SettleByHand(s.ctx(), x.ID, "a", r)
	require.NoError(t, err)
	r.PlanHash = "1-1xa"
	_, err = s.SettleByHand(s.ctx(), x.ID, "pay", r)
	conflict(t, err, "task_active")
	s.settle()
	require.Equal(t, 2, s.task(x, "pay").Attempt)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemanticsANewExecutionKeepsTheInputsThatRedrivesGave(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("b", "each[2]")
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop, with: 1 }
  - { name: b, type: noop, with: 2 }
  - { name: each, type: noop, for_each: { items: [1, 2] }, with: "${item}" }
output: "${[tasks.b.output, tasks.each.output]}"
`, `{}`)
	s.settle()
	s.retry(x, taskInput("b", `20`), taskInput("each[2]", `22`))
	s.ends(x, workflow.ExecutionFailed)
	s.run = nil
	d := s.retry(x, anew)
	require.Equal(t, once("b", "each[2]"), s.starts)
	require.Contains(t, d.plan.Warnings, "b keeps the input that an earlier redrive gave it; give null as its task_input to take that away")
	require.JSONEq(t, `[20,[1,22]]`, string(s.at(d.now).Output))
	p := s.plan(x, workflow.OperationRerun, anew)
	require.Contains(t, p.Warnings, "each[2] has no longer the input that an earlier redrive gave it: what holds it runs as a whole")
	now := s.retry(x, anew, taskInput("b", `null`)).now
	require.JSONEq(t, `[2,[1,22]]`, string(s.at(now).Output))
}

func TestSemanticsANewExecutionIsTheNextAttemptOfItsSession(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(fork)
	s.run = failing("b")
	x, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w", Input: json.RawMessage(`{"n":1}`), SessionTime: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(t, err)
	s.settle()
	s.run = nil
	named := func(name string) ask { return func(r *engine.RedriveRequest) { r.AttemptName = name } }
	var names []string
	for i, asks := range [][]ask{{anew}, {anew, named("fixed")}, {anew}} {
		d := s.rerun(x, asks...)
		require.NotNil(t, d.now.Session)
		require.Equal(t, i+2, d.now.Session.Attempt)
		names = append(names, d.now.Session.AttemptName)
		s.ends(d.now, workflow.ExecutionSucceeded)
	}
	require.Equal(t, "fixed", names[1])
	require.Regexp(t, `^retry-\d+$`, names[0])
	require.Regexp(t, `^retry-\d+$`, names[2])
	require.NotEqual(t, names[0], names[2])
	before := s.dump()
	_, err = s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{anew, named("fixed")}))
	require.NotNil(t, conflict(t, err, "session_exists").Existing)
	s.same(before, "refused")
}
