package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const fan = `
name: w
tasks:
  - name: each
    type: noop
    for_each: { items: "${workflow.input.list}", key: "${item.id}", max_parallel: 4 }
    with: "${item.n}"
  - { name: sum, needs: [each], type: noop, with: "${tasks.each.output}" }
`

const ten = `{"list": [{"id":"k0","n":0},{"id":"k1","n":1},{"id":"k2","n":2},{"id":"k3","n":3},{"id":"k4","n":4},
	{"id":"k5","n":5},{"id":"k6","n":6},{"id":"k7","n":7},{"id":"k8","n":8},{"id":"k9","n":9}]}`

// An item that was settled before its turn, and runs again, stands in the line twice.
func TestSemantics08AnItemThatIsInTheLineTwiceTakesOneTurn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{ name: each, type: group, for_each: { items: [a, b, c], max_parallel: 1 }, tasks: [{ name: t, type: noop }] }]", `{}`)
	_, err := s.SettleByHand(s.ctx(), x.ID, "each[c]", engine.HandRequest{To: workflow.TaskFailed})
	require.NoError(t, err)
	_, err = s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.begin(x, workflow.OperationRerun, from("each[a]", "each[b]", "each[c]"))
	for _, item := range []string{"each[b]", "each[c]"} {
		_, err = s.SettleByHand(s.ctx(), x.ID, item, engine.HandRequest{To: workflow.TaskSkipped})
		require.NoError(t, err)
		s.audit(x)
	}
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics08ItemsAreMatchedByKey(t *testing.T) {
	t.Parallel()
	failed := func(t *testing.T) (*stage, *engine.Execution) {
		s := newStage(t)
		s.run = failing("each[k3]")
		x := s.start(fan, ten)
		s.settle()
		s.ends(x, workflow.ExecutionFailed)
		s.run = nil
		return s, x
	}
	t.Run("9 of 10 done, one runs", func(t *testing.T) {
		t.Parallel()
		s, x := failed(t)
		d := s.retry(x)
		require.Equal(t, map[string]string{"each": "run", "each[k3]": "run", "each[k2]": "keep", "sum": "run"}, rows(d.plan, "each", "each[k2]", "each[k3]", "sum"))
		require.Equal(t, once("each[k3]", "sum"), s.starts)
		s.gave(x, "sum", `[0,1,2,3,4,5,6,7,8,9]`)
		require.Equal(t, 2, s.task(x, "each").Attempt)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("a retry with another list", func(t *testing.T) {
		t.Parallel()
		s, x := failed(t)
		s.retry(x, input(`{"list": [{"id":"new","n":70},{"id":"k9","n":90},{"id":"k3","n":30},{"id":"k1","n":10}]}`))
		require.Equal(t, once("each[new]", "each[k3]", "sum"), s.starts)
		s.gave(x, "sum", `[70,9,30,1]`)
		gone := s.task(x, "each[k0]")
		require.Equal(t, workflow.TaskSkipped, gone.Status)
		require.Equal(t, workflow.ReasonNotInside, gone.Reason)
		require.Equal(t, 4, s.task(x, "each").Size)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("an item that stayed sees the new list when it runs again", func(t *testing.T) {
		t.Parallel()
		s, x := failed(t)
		s.retry(x, input(`{"list": [{"id":"k9","n":90},{"id":"k3","n":30}]}`))
		s.gave(x, "sum", `[9,30]`)
		s.rerun(x, from("each[k9]"))
		s.gave(x, "sum", `[90,30]`)
	})
	t.Run("a rerun with another list", func(t *testing.T) {
		t.Parallel()
		s, x := failed(t)
		s.rerun(x, input(`{"list": [{"id":"k9","n":90},{"id":"k3","n":30},{"id":"new","n":70}]}`), from("each"))
		require.Equal(t, once("each[k9]", "each[k3]", "each[new]", "sum"), s.starts)
		s.gave(x, "sum", `[90,30,70]`)
		require.Equal(t, workflow.TaskSkipped, s.task(x, "each[k0]").Status)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("a rerun of one item", func(t *testing.T) {
		t.Parallel()
		s, x := failed(t)
		s.retry(x)
		s.rerun(x, from("each[k7]"), taskInput("each[k7]", `77`))
		require.Equal(t, once("each[k7]", "sum"), s.starts)
		s.gave(x, "sum", `[0,1,2,3,4,5,6,77,8,9]`)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("what makes the list runs again", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = giving(map[string]string{"list": `["a","b"]`})
		x := s.start(`
name: w
tasks:
  - { name: list, type: noop }
  - { name: each, needs: [list], type: noop, for_each: { items: "${tasks.list.output}" }, with: "${item}" }
  - { name: end, needs: [each], type: noop, with: "${tasks.each.output}" }
`, `{}`)
		s.settle()
		s.run = giving(map[string]string{"list": `["c","b"]`})
		s.rerun(x, from("list"))
		require.Equal(t, once("list", "each[c]", "each[b]", "end"), s.starts, "all of a rerun run")
		s.gave(x, "end", `["c","b"]`)
		require.Equal(t, workflow.TaskSkipped, s.task(x, "each[a]").Status)
	})
}

const polls = `
name: w
tasks:
  - { name: pre, type: noop }
  - name: poll
    needs: [pre]
    type: loop
    until: "${tasks.check.output >= 3}"
    max_iterations: 9
    tasks:
      - { name: check, type: noop, with: "${iteration.number == 1 ? 1 : iteration.previous.check + 1}" }
      - { name: note, needs: [check], type: noop, with: "${tasks.check.output}" }
  - { name: after, needs: [poll], type: noop, with: "${tasks.poll.output.check}" }
`

func TestSemantics09LoopsGoOnAtAnIteration(t *testing.T) {
	t.Parallel()
	third := once("poll[3].check", "poll[3].note", "after")
	begun := func(t *testing.T) (*stage, *engine.Execution) {
		s := newStage(t)
		x := s.start(polls, `{}`)
		s.settle()
		s.ends(x, workflow.ExecutionSucceeded)
		s.gave(x, "after", `3`)
		return s, x
	}
	with := func(starts map[string]int, refs ...string) map[string]int {
		all := once(refs...)
		for ref := range starts {
			all[ref] = 1
		}
		return all
	}
	for ref, first := range map[string][]string{
		"poll[2]":       {"poll[2].check", "poll[2].note"},
		"poll[2].check": {"poll[2].check", "poll[2].note"},
		"poll[2].note":  {"poll[2].note"},
	} {
		t.Run(ref, func(t *testing.T) {
			t.Parallel()
			s, x := begun(t)
			d := s.rerun(x, from(ref))
			require.Equal(t, map[string]string{"pre": "keep", "poll[1]": "keep", "poll[1].check": "keep", "poll": "run", "after": "run"},
				rows(d.plan, "pre", "poll", "poll[1]", "poll[1].check", "after"))
			require.Equal(t, with(third, first...), s.starts)
			require.Equal(t, 2, s.task(x, "poll[3].check").Attempt, "numbers go on")
			s.gave(x, "after", `3`)
			s.ends(x, workflow.ExecutionSucceeded)
		})
	}
	t.Run("which ends sooner", func(t *testing.T) {
		t.Parallel()
		s, x := begun(t)
		s.rerun(x, from("poll[2].check"), taskInput("poll[2].check", `5`))
		require.Equal(t, once("poll[2].check", "poll[2].note", "after"), s.starts)
		require.Equal(t, 2, s.task(x, "poll").Size)
		require.Equal(t, "skipped", s.tasks(x)["poll[3]"])
		require.Equal(t, "skipped", s.tasks(x)["poll[3].check"])
		require.Equal(t, []string{"succeeded"}, s.attempts(x, "poll[3].check"), "it stays as history")
		s.gave(x, "after", `5`)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("the loop", func(t *testing.T) {
		t.Parallel()
		s, x := begun(t)
		s.rerun(x, from("poll"))
		require.Equal(t, with(third, "poll[1].check", "poll[1].note", "poll[2].check", "poll[2].note"), s.starts)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("a retry", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.run = failing("poll[2].note")
		x := s.start(polls, `{}`)
		s.settle()
		s.ends(x, workflow.ExecutionFailed)
		s.run = nil
		d := s.retry(x)
		require.Equal(t, map[string]string{"poll[1]": "keep", "poll[2].check": "keep", "poll[2].note": "run"}, rows(d.plan, "poll[1]", "poll[2].check", "poll[2].note"))
		require.Equal(t, with(third, "poll[2].note"), s.starts)
		s.ends(x, workflow.ExecutionSucceeded)
	})
}

const branches = `
name: w
tasks:
  - { name: a, type: noop, with: "${workflow.input.v}" }
  - { name: big, needs: [a], if: "${tasks.a.output > 5}", type: noop }
  - { name: bigger, needs: [big], type: noop }
  - { name: small, needs: [a], if: "${tasks.a.output <= 5}", type: noop }
  - { name: join, needs: [bigger, small], type: noop, with: ["${tasks.big.status}", "${tasks.small.status}"] }
  - { name: other, type: noop }
`

func TestSemantics10ConditionsAreEvaluatedAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("other")
	x := s.start(branches, `{"v": 9}`)
	s.settle()
	require.Equal(t, map[string]string{"a": "succeeded", "big": "succeeded", "bigger": "succeeded", "small": "skipped", "join": "succeeded", "other": "failed"}, s.tasks(x))
	s.run = nil
	d := s.retry(x, input(`{"v": 1}`))
	require.Equal(t, "keep", rows(d.plan)["small"], "its condition is not downstream of what failed")
	require.Equal(t, once("other"), s.starts)
	d = s.rerun(x, from("a"))
	require.Equal(t, map[string]string{"a": "run", "big": "undecided", "small": "undecided", "other": "keep"}, rows(d.plan, "a", "big", "small", "other"))
	require.Equal(t, once("a", "small", "join"), s.starts)
	require.Equal(t, map[string]string{"a": "succeeded", "big": "skipped", "bigger": "skipped", "small": "succeeded", "join": "succeeded", "other": "succeeded"}, s.tasks(x))
	require.Equal(t, []string{"succeeded"}, s.attempts(x, "bigger"), "what the other branch did stays as history")
	s.gave(x, "join", `["skipped","succeeded"]`)
	s.rerun(x, input(`{"v": 7}`))
	require.Equal(t, once("a", "big", "bigger", "join", "other"), s.starts)
	require.Equal(t, "skipped", s.tasks(x)["small"])
	require.Equal(t, 2, s.task(x, "bigger").Attempt)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics10WhatIsSkippedNowShowsNothingOfItsFormerAttempt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("may")
	x := s.start(`
name: stale
tasks:
  - { name: may, if: "${workflow.input.v > 5}", type: noop, with: { v: "${workflow.input.v}" }, on_failure: continue }
  - { name: ok, type: noop }
  - { name: join, needs: [may, ok], type: noop, with: ["${tasks.may.status}", "${tasks.may.error == null}"] }
`, `{"v": 9}`)
	s.settle()
	s.gave(x, "join", `["failed",false]`)
	s.rerun(x, input(`{"v": 1}`))
	s.gave(x, "join", `["skipped",true]`)
	may := s.task(x, "may")
	require.Equal(t, []any{workflow.TaskSkipped, 1}, []any{may.Status, may.Attempt})
	require.Nil(t, may.Error)
	require.Empty(t, may.Input)
	former, _, err := s.Attempts(s.ctx(), x.ID, "may", engine.Page{})
	require.NoError(t, err)
	require.Equal(t, "boom", former[0].Error.Code, "what happened stays readable")
	require.JSONEq(t, `{"v": 9}`, string(former[0].Input))
}

func TestSemantics11WaitsRearmInFull(t *testing.T) {
	t.Parallel()
	const nap = "name: w\ntasks: [{ name: nap, type: wait, with: { duration: 1h } }, { name: after, needs: [nap], type: noop }]"
	t.Run("one that waits", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(nap, `{}`)
		s.pass(50 * time.Minute)
		d := s.rerun(x, from("nap"))
		require.Equal(t, "cancel", rows(d.plan)["nap"])
		s.pass(50 * time.Minute)
		require.Equal(t, workflow.TaskWaiting, s.task(x, "nap").Status)
		s.Fire(s.ctx(), engine.TimerWake, engine.Fence{Execution: x.ID, Ref: "nap", Attempt: 1})
		require.Equal(t, workflow.TaskWaiting, s.task(x, "nap").Status, "the old deadline is gone")
		s.pass(11 * time.Minute)
		require.Equal(t, []string{"canceled", "succeeded"}, s.attempts(x, "nap"))
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("one that ended", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(nap, `{}`)
		s.pass(time.Hour)
		s.ends(x, workflow.ExecutionSucceeded)
		s.rerun(x)
		s.pass(59 * time.Minute)
		require.Equal(t, workflow.TaskWaiting, s.task(x, "nap").Status)
		s.pass(2 * time.Minute)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("an approval", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(approval, `{}`)
		s.pass(20 * time.Hour)
		answer := func(by string) {
			_, err := s.AnswerGate(s.ctx(), x.ID, engine.Answer{Input: json.RawMessage(`{"ok": true}`), AnsweredBy: by})
			require.NoError(t, err)
			s.settle()
		}
		answer("ann")
		s.ends(x, workflow.ExecutionSucceeded)
		s.rerun(x)
		require.Equal(t, workflow.TaskWaiting, s.task(x, "ask").Status)
		s.pass(20 * time.Hour)
		require.Equal(t, workflow.TaskWaiting, s.task(x, "ask").Status)
		answer("bob")
		s.gave(x, "ship", `"bob"`)
		s.rerun(x)
		s.pass(25 * time.Hour)
		require.Equal(t, []string{"succeeded", "succeeded", "timed_out"}, s.attempts(x, "ask"))
		s.ends(x, workflow.ExecutionFailed)
	})
	t.Run("its timeout", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(approval, `{}`)
		s.pass(25 * time.Hour)
		s.ends(x, workflow.ExecutionFailed)
		s.retry(x)
		s.pass(23 * time.Hour)
		require.Equal(t, workflow.TaskWaiting, s.task(x, "ask").Status)
		s.pass(2 * time.Hour)
		require.Equal(t, []string{"timed_out", "timed_out"}, s.attempts(x, "ask"))
		s.ends(x, workflow.ExecutionFailed)
	})
}
