package engine_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func TestForEachRunsItsItems(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: load, type: noop, with: "${workflow.input.list}" }
  - name: each
    needs: [load]
    type: noop
    for_each: { items: "${tasks.load.output}", key: "${item.id}", max_parallel: 2 }
    with: { n: "${item.n * 10}", key: "${key}", index: "${index}" }
  - { name: sum, needs: [each], type: noop, with: "${tasks.each.output.map(r, r.n)}" }
output: { sum: "${tasks.sum.output}", each: "${tasks.each.output}" }
`, `{"list": [{"id": "b", "n": 1}, {"id": "a/x", "n": 2}, {"id": 3, "n": 3}]}`)
	require.True(t, s.step())
	require.Len(t, s.queued(), 2, "max_parallel")
	s.settle()
	now := s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `{"sum": [10, 20, 30], "each": [{"n":10,"key":"b","index":0},{"n":20,"key":"a/x","index":1},{"n":30,"key":"3","index":2}]}`, string(now.Output))
	require.Equal(t, map[string]string{
		"load": "succeeded", "each": "succeeded", "each[b]": "succeeded", "each[a~2Fx]": "succeeded", "each[3]": "succeeded", "sum": "succeeded",
	}, s.tasks(x))
	require.JSONEq(t, `[{"n":10,"key":"b","index":0},{"n":20,"key":"a/x","index":1},{"n":30,"key":"3","index":2}]`, string(s.task(x, "each").Output))
}

func TestAnEmptyForEachSucceeds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: each, type: noop, for_each: {items: []}}]\noutput: '${tasks.each.output}'", `{}`)
	s.settle()
	require.JSONEq(t, `[]`, string(s.ends(x, workflow.ExecutionSucceeded).Output))
}

func TestItemsThatCannotBeToldApartAreNamed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: each, type: noop, for_each: {items: [a, b, a]}}]", `{}`)
	now := s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, "duplicate_key", now.Error.Code)
	require.Contains(t, now.Error.Message, `"a" (items 0 and 2)`)
}

func TestOnItemFailure(t *testing.T) {
	t.Parallel()
	fail := func(keys ...string) func(*engine.Run) (json.RawMessage, *workflow.Error) {
		return func(r *engine.Run) (json.RawMessage, *workflow.Error) {
			for _, key := range keys {
				if r.Ref == "each["+key+"]" {
					return nil, &workflow.Error{Code: "boom", Message: "no " + key}
				}
			}
			return r.Input, nil
		}
	}
	definition := func(policy, onFailure string) string {
		return fmt.Sprintf(`
name: w
tasks:
  - { name: each, type: noop, for_each: { items: [1, 2, 3, 4], max_parallel: 1, on_item_failure: %s }, with: "${item}", on_failure: %s }
  - { name: after, needs: [each], type: noop, with: "${tasks.each.output}" }
`, policy, onFailure)
	}
	t.Run("finish", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = fail("2")
		x := s.start(definition("finish", "fail"), `{}`)
		s.settle()
		now := s.ends(x, workflow.ExecutionFailed)
		require.Equal(t, map[string]string{
			"each": "failed", "each[1]": "succeeded", "each[2]": "failed", "each[3]": "succeeded", "each[4]": "succeeded", "after": "canceled",
		}, s.tasks(x))
		require.Equal(t, "items_failed", now.Error.Code)
		require.Contains(t, now.Error.Message, "1 of 4 items failed; the first: each[2]: boom: no 2")
	})
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = fail("2")
		x := s.start(definition("stop", "fail"), `{}`)
		s.settle()
		s.ends(x, workflow.ExecutionFailed)
		require.Equal(t, map[string]string{
			"each": "failed", "each[1]": "succeeded", "each[2]": "failed", "each[3]": "canceled", "each[4]": "canceled", "after": "canceled",
		}, s.tasks(x))
		require.Equal(t, "item_failed", s.task(x, "each[3]").Reason)
	})
	t.Run("continue", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = fail("2", "3")
		x := s.start(definition("finish", "continue"), `{}`)
		s.settle()
		s.ends(x, workflow.ExecutionSucceeded)
		require.JSONEq(t, `[1, null, null, 4]`, string(s.task(x, "after").Output))
		require.JSONEq(t, `[1, null, null, 4]`, string(s.task(x, "each").Output), "it shows what others read")
	})
}

func TestGroupsNestInForEachAndReadTheirSiblings(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: base, type: noop, with: 100 }
  - name: region
    needs: [base]
    type: group
    for_each: { items: [eu, us] }
    tasks:
      - { name: load, type: noop, with: "${item + '!'}" }
      - { name: skip, type: noop, if: "${item == 'eu'}" }
      - name: city
        needs: [load]
        type: noop
        for_each: { items: "${[1, 2].map(n, item + string(n))}" }
        with: { city: "${item}", from: "${tasks.load.output}", base: "${tasks.base.output}" }
      - { name: done, needs: [city, skip], type: noop, with: "${tasks.city.output.map(c, c.city)}" }
output: "${tasks.region.output.map(r, r.done)}"
`, `{}`)
	s.settle()
	now := s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `[["eu1","eu2"],["us1","us2"]]`, string(now.Output))
	require.JSONEq(t, `{"city":"us2","from":"us!","base":100}`, string(s.task(x, "region[us].city[us2]").Output))
	require.Equal(t, workflow.TaskSkipped, s.task(x, "region[us].skip").Status)
	require.Equal(t, []string{"region[eu].city", "region[eu].skip"}, s.task(x, "region[eu].done").Needs)
}

func TestALoopRunsUntil(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - name: poll
    type: loop
    until: "${tasks.check.output >= 3}"
    max_iterations: 5
    tasks:
      - { name: check, type: noop, with: "${iteration.number == 1 ? 1 : iteration.previous.check + 1}" }
  - { name: after, needs: [poll], type: noop, with: "${tasks.poll.output}" }
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `{"check": 3}`, string(s.task(x, "after").Output))
	require.Equal(t, 3, s.task(x, "poll").Size)
	require.JSONEq(t, `2`, string(s.task(x, "poll[2].check").Output))
}

func TestALoopIsBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: ever, type: loop, until: "${false}", max_iterations: 2, tasks: [{name: a, type: noop}], on_failure: continue }
  - { name: times, type: loop, max_iterations: 3, tasks: [{name: a, type: noop, with: "${iteration.number}"}] }
  - { name: after, needs: [ever, times], type: noop, with: ["${tasks.ever.error.code}", "${tasks.times.output.a}"] }
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `["loop_exhausted", 3]`, string(s.task(x, "after").Output))
}

func TestAGroupIsTriedAgainAsAWhole(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "g.b" && s.starts["g.b"] < 3 {
			return nil, &workflow.Error{Code: "boom", Message: "not yet", Retryable: true}
		}
		return r.Input, nil
	}
	x := s.start(`
name: w
tasks:
  - name: g
    type: group
    retry: { max_attempts: 3, delay: 10s, backoff: fixed, jitter: 0 }
    tasks: [{name: a, type: noop}, {name: b, type: noop, needs: [a]}, {name: c, type: noop, needs: [b], with: "${tasks.b.attempt}"}]
`, `{}`)
	s.settle()
	require.Equal(t, workflow.TaskRetrying, s.task(x, "g").Status)
	require.Equal(t, workflow.TaskCanceled, s.task(x, "g.c").Status)
	s.pass(10 * time.Second)
	s.pass(10 * time.Second)
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, map[string]int{"g.a": 3, "g.b": 3, "g.c": 1}, s.starts)
	require.JSONEq(t, `3`, string(s.task(x, "g.c").Output))
	attempts, _, err := s.Attempts(s.ctx(), x.ID, "g.b", engine.Page{})
	require.NoError(t, err)
	require.Len(t, attempts, 3)
	require.Equal(t, workflow.TaskFailed, attempts[0].Status)
}

func TestATimeoutSpansAGroup(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: g, type: group, timeout: 1m, tasks: [{name: a, type: wait, with: {external: true}}, {name: b, type: noop, needs: [a]}] }
`, `{}`)
	s.settle()
	s.pass(59 * time.Second)
	require.Equal(t, workflow.TaskRunning, s.task(x, "g").Status)
	s.pass(2 * time.Second)
	now := s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, "timed_out", now.Error.Code)
	require.Equal(t, map[string]string{"g": "timed_out", "g.a": "canceled", "g.b": "canceled"}, s.tasks(x))
}

func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: for, type: wait, with: { duration: "${workflow.input.d}" } }
  - { name: ext, type: wait, with: { external: true, timeout: 1h }, on_failure: continue }
  - { name: none, type: wait, with: { duration: 0s } }
output: { for: "${tasks.for.output.waited}", ext: "${tasks.ext.status}" }
`, `{"d": "90s"}`)
	s.settle()
	require.Equal(t, workflow.TaskWaiting, s.task(x, "for").Status)
	s.pass(0)
	require.Equal(t, workflow.TaskSucceeded, s.task(x, "none").Status)
	s.pass(89 * time.Second)
	require.Equal(t, workflow.TaskWaiting, s.task(x, "for").Status)
	s.pass(2 * time.Second)
	require.Equal(t, workflow.TaskSucceeded, s.task(x, "for").Status)
	s.pass(time.Hour)
	now := s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `{"for": "1m30s", "ext": "timed_out"}`, string(now.Output))
}

const approval = `
name: w
tasks:
  - name: ask
    type: approval
    with:
      message: Ship it?
      timeout: 24h
      input_schema: { type: object, required: [ok], properties: { ok: { type: boolean } }, additionalProperties: false }
  - { name: ship, needs: [ask], if: "${tasks.ask.output.ok}", type: noop, with: "${tasks.ask.output.answered_by}" }
`

func TestAnApprovalIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(approval, `{}`)
	s.settle()
	_, err := s.AnswerGate(s.ctx(), x.ID, engine.Answer{Input: json.RawMessage(`{"ok": "yes"}`)})
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, engine.KindInvalid, refused.Kind)
	require.Equal(t, "input.ok", refused.Problems[0].Field)
	won := make([]error, 8)
	together(len(won), func(i int) {
		_, won[i] = s.AnswerGate(s.ctx(), x.ID, engine.Answer{Input: json.RawMessage(`{"ok": true}`), AnsweredBy: "ann"})
	})
	n := 0
	for _, err := range won {
		if err == nil {
			n++
			continue
		}
		require.ErrorAs(t, err, &refused)
		require.Contains(t, []string{"gate_answered", "no_gate"}, refused.Code)
	}
	require.Equal(t, 1, n)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `"ann"`, string(s.task(x, "ship").Output))
}

func TestAnApprovalTimesOut(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(approval, `{}`)
	s.pass(25 * time.Hour)
	require.Equal(t, "timed_out", s.ends(x, workflow.ExecutionFailed).Error.Code)
	_, err := s.AnswerGate(s.ctx(), x.ID, engine.Answer{Input: json.RawMessage(`{"ok": true}`)})
	require.Error(t, err)
}

const parent = `
name: w
tasks:
  - { name: sub, type: workflow, with: { name: child, input: { n: "${workflow.input.n}" } } }
  - { name: after, needs: [sub], type: noop, with: "${tasks.sub.output}" }
`

const child = `
name: child
input_schema: { type: object, properties: { n: { type: integer } }, required: [n] }
tasks: [{name: double, type: noop, with: "${workflow.input.n * 2}"}]
output: "${tasks.double.output}"
`

func TestASubWorkflowIsAnExecutionOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": 21}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `42`, string(s.task(x, "after").Output))
	inner, err := s.Execution(s.ctx(), s.task(x, "sub").Child)
	require.NoError(t, err)
	require.Equal(t, &engine.Parent{Execution: x.ID, Task: "sub"}, inner.Parent)
	require.Equal(t, x.ID, inner.Root)
	require.Equal(t, workflow.ExecutionSucceeded, inner.Status)
	s.audit(inner)
	s.purges(x, inner)
}

// purges expects retention to leave nothing of the executions.
func (s *stage) purges(all ...*engine.Execution) {
	s.t.Helper()
	for _, x := range all {
		_, err := s.store.Index(s.ctx(), []string{x.ID})
		require.NoError(s.t, err)
	}
	s.offset += 2 * time.Hour
	for _, due := range s.due() {
		require.NoError(s.t, s.Repair(s.ctx(), engine.Due{Now: due.Now, Expire: due.Expire}))
	}
	for _, x := range all {
		keys, err := s.store.Client().Keys(s.ctx(), "redrive:*"+x.ID+"*").Result()
		require.NoError(s.t, err)
		require.Empty(s.t, keys)
		_, err = s.Execution(s.ctx(), x.ID)
		require.Error(s.t, err)
	}
}

func TestASubWorkflowThatFailsFailsItsTask(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": "x"}`)
	s.settle()
	require.Equal(t, "input_invalid", s.ends(x, workflow.ExecutionFailed).Error.Code)
	s.run = func(*engine.Run) (json.RawMessage, *workflow.Error) {
		return nil, &workflow.Error{Code: "boom", Message: "it broke"}
	}
	x = s.start(parent, `{"n": 1}`)
	s.settle()
	now := s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, "boom", now.Error.Code)
	require.Contains(t, now.Error.Message, s.task(x, "sub").Child)
	x = s.start("name: w2\ntasks: [{name: s, type: workflow, with: {name: none}}]", `{}`)
	require.Equal(t, "workflow_not_found", s.ends(x, workflow.ExecutionFailed).Error.Code)
	x = s.start("name: w3\ntasks: [{name: s, type: workflow, with: {name: w3}}]", `{}`)
	s.settle()
	require.Equal(t, "too_deep", s.ends(x, workflow.ExecutionFailed).Error.Code)
}

func TestCancelAndPauseReachSubWorkflows(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": 1}`)
	inner := func() *engine.Execution { return s.at(&engine.Execution{ID: s.task(x, "sub").Child}) }
	_, err := s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionPaused, inner().Status)
	s.settle()
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionRunning, inner().Status)
	_, err = s.Cancel(s.ctx(), x.ID, engine.Request{Reason: "enough"})
	require.NoError(t, err)
	s.ends(x, workflow.ExecutionCanceled)
	require.Equal(t, workflow.ExecutionCanceled, inner().Status)
	s.audit(inner())
	s.settle()
	s.purges(x, inner())
}

func TestFailureHandlersRunAndTurnNothingGreen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	broken := true
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "a" && broken {
			return nil, &workflow.Error{Code: "boom", Message: "it broke"}
		}
		return r.Input, nil
	}
	x := s.start(`
name: w
tasks: [{name: a, type: noop}, {name: b, type: noop, needs: [a]}]
on_failure:
  - { name: alert, type: noop, with: { error: "${workflow.error.code}", a: "${tasks.a.status}", b: "${tasks.b.status}" } }
  - { name: page, type: noop, needs: [alert], with: "${tasks.alert.output.error}" }
`, `{}`)
	require.NotContains(t, s.tasks(x), "on_failure")
	s.step()
	require.Equal(t, workflow.ExecutionRunning, s.at(x).Status)
	s.settle()
	require.Equal(t, "boom", s.ends(x, workflow.ExecutionFailed).Error.Code)
	require.JSONEq(t, `{"error": "boom", "a": "failed", "b": "canceled"}`, string(s.task(x, "on_failure.alert").Output))
	require.JSONEq(t, `"boom"`, string(s.task(x, "on_failure.page").Output))
	_, err := s.Redrive(s.ctx(), x.ID, retrying())
	require.NoError(t, err)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, 2, s.starts["on_failure.alert"], "they run again when it fails again")
	broken = false
	_, err = s.Redrive(s.ctx(), x.ID, retrying())
	require.NoError(t, err)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, 2, s.starts["on_failure.alert"])
}

func TestTheTimeoutOfAnExecution(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
timeout: 1h
tasks: [{name: a, type: wait, with: {external: true}}]
on_failure: [{name: alert, type: noop, with: "${workflow.error.code}"}]
`, `{}`)
	s.pass(50 * time.Minute)
	_, err := s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.pass(5 * time.Hour) // does not count
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.pass(9 * time.Minute)
	require.Equal(t, workflow.ExecutionRunning, s.at(x).Status)
	s.pass(2 * time.Minute)
	require.Equal(t, "timed_out", s.ends(x, workflow.ExecutionTimedOut).Error.Code)
	require.JSONEq(t, `"timed_out"`, string(s.task(x, "on_failure.alert").Output))
}

func TestAPauseMayHaveADeadline(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: a, type: noop}]", `{}`)
	for _, d := range []time.Duration{-time.Second, time.Millisecond, 721 * time.Hour} {
		_, err := s.Pause(s.ctx(), x.ID, engine.Request{Deadline: d})
		var refused *engine.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "deadline", refused.Problems[0].Field)
	}
	_, err := s.Pause(s.ctx(), x.ID, engine.Request{Reason: "look at it", Deadline: time.Hour})
	require.NoError(t, err)
	s.pass(2 * time.Hour)
	now := s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, "pause_expired", now.Error.Code)
	require.Contains(t, now.Error.Message, "look at it")
	y := s.start("name: w\ntasks: [{name: a, type: noop}]", `{}`)
	_, err = s.Pause(s.ctx(), y.ID, engine.Request{Deadline: time.Hour})
	require.NoError(t, err)
	_, err = s.Resume(s.ctx(), y.ID, engine.Request{})
	require.NoError(t, err)
	s.pass(2 * time.Hour)
	s.ends(y, workflow.ExecutionSucceeded)
}

func TestNothingBeginsWhilePaused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: g, needs: [a], type: group, tasks: [{name: b, type: noop}] }
  - { name: s, needs: [a], type: workflow, with: {name: child, input: {n: 1}} }
  - { name: w, needs: [a], type: wait, with: {duration: 1s} }
`, `{}`)
	run, err := s.Claim(s.ctx(), s.queued()[0], "w")
	require.NoError(t, err)
	_, err = s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.NoError(t, s.Complete(s.ctx(), run, nil))
	s.pass(time.Minute)
	require.Equal(t, map[string]string{"a": "succeeded", "g": "pending", "s": "pending", "w": "pending"}, s.tasks(x))
	s.audit(x)
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.settle()
	s.pass(time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestAnOperatorEndsTasks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop, output_schema: { type: integer } }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output}" }
  - { name: g, type: group, tasks: [{name: i, type: noop}, {name: j, type: noop, needs: [i]}] }
  - { name: z, needs: [b, g], type: noop, with: "${tasks.g.status}" }
`, `{}`)
	run, err := s.Claim(s.ctx(), engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1, Dispatch: 1}, "w")
	require.NoError(t, err)
	_, err = s.SettleByHand(s.ctx(), x.ID, "a", engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`"x"`)})
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "output", refused.Problems[0].Field)
	done, err := s.SettleByHand(s.ctx(), x.ID, "a", engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`7`), Reason: "by hand", By: "ann"})
	require.NoError(t, err)
	require.Equal(t, 2, done.Attempt, "what was under way stays as history")
	require.ErrorIs(t, s.Complete(s.ctx(), run, json.RawMessage(`1`)), engine.ErrStale)
	_, err = s.SettleByHand(s.ctx(), x.ID, "a", engine.HandRequest{To: workflow.TaskSkipped})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "task_ended", refused.Code)
	s.audit(x)
	_, err = s.SettleByHand(s.ctx(), x.ID, "g", engine.HandRequest{To: workflow.TaskSkipped, Reason: "not today"})
	require.NoError(t, err)
	require.Equal(t, workflow.TaskCanceled, s.task(x, "g.i").Status)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `7`, string(s.task(x, "b").Output))
	require.JSONEq(t, `"skipped"`, string(s.task(x, "z").Output))
}

func TestFailFastCancelsWhatIsInside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "bad" {
			return nil, &workflow.Error{Code: "boom"}
		}
		return r.Input, nil
	}
	x := s.start(`
name: w
fail_fast: true
tasks:
  - { name: each, type: group, for_each: {items: [1, 2]}, tasks: [{name: w, type: wait, with: {external: true}}] }
  - { name: bad, type: noop }
on_failure: [{ name: alert, type: noop }, { name: after, needs: [alert], type: noop }]
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, "canceled", s.tasks(x)["each[1].w"])
	require.Equal(t, "succeeded", s.tasks(x)["on_failure.after"], "failure handlers are no rest to cancel")
}

func TestASubWorkflowThatIsRefusedIsTriedAsOftenAsItSays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish("name: child\nconcurrency: { max_running: 1, when_full: reject }\ntasks: [{ name: a, type: noop }]\n")
	_, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "child"})
	require.NoError(t, err)
	x := s.start(`
name: w
tasks: [{ name: sub, type: workflow, retry: { max_attempts: 2, delay: 1m }, with: { name: child } }]
`, `{}`)
	for range 4 {
		s.offset += 2 * time.Minute
		s.Fire(s.ctx(), engine.TimerRetry, engine.Fence{Execution: x.ID, Ref: "sub", Attempt: s.task(x, "sub").Attempt})
	}
	require.Equal(t, 2, s.task(x, "sub").Attempt)
	require.Equal(t, "concurrency_limit", s.ends(x, workflow.ExecutionFailed).Error.Code)
}
