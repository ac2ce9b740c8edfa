package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Three levels: the one outermost calls mid, that calls leaf.
const (
	topOf3 = `
name: w
tasks:
  - { name: first, type: noop }
  - { name: sub, needs: [first], type: workflow, with: { name: mid } }
  - { name: after, needs: [sub], type: noop, with: "${tasks.sub.output}" }
`
	midOf3 = `
name: mid
tasks:
  - { name: m1, type: noop }
  - { name: inner, needs: [m1], type: workflow, with: { name: leaf } }
  - { name: m2, needs: [inner], type: noop }
output: "${tasks.inner.output}"
`
	leafOf3 = `
name: leaf
tasks:
  - { name: l1, type: noop }
  - { name: l2, needs: [l1], type: noop, with: 42 }
output: "${tasks.l2.output}"
`
)

// three lets a task in the innermost of three fail.
func three(t *testing.T) (s *stage, top, mid, leaf *engine.Execution) {
	t.Helper()
	s = newStage(t)
	s.publish(leafOf3, midOf3)
	s.run = failing("l2")
	top = s.start(topOf3, `{}`)
	s.settle()
	s.ends(top, workflow.ExecutionFailed)
	s.run = nil
	mid = s.child(top, "sub")
	leaf = s.child(mid, "inner")
	require.Equal(t, workflow.ExecutionFailed, leaf.Status)
	return s, top, mid, leaf
}

func TestSemantics12ARetryResumesTheChildInPlace(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	d := s.retry(top)
	require.Equal(t, map[string]string{
		"first": "keep", "sub": "run", "after": "run",
		"sub/m1": "keep", "sub/inner": "run", "sub/m2": "run",
		"sub/inner/l1": "keep", "sub/inner/l2": "run",
	}, rows(d.plan))
	require.Equal(t, once("l2", "m2", "after"), s.starts)
	s.gave(top, "after", `42`)
	require.Equal(t, mid.ID, s.task(top, "sub").Child)
	require.Equal(t, leaf.ID, s.task(mid, "inner").Child)
	for _, x := range []*engine.Execution{top, mid, leaf} {
		require.Equal(t, 1, s.ends(x, workflow.ExecutionSucceeded).Redrives)
	}
}

func TestSemantics12ARetryMayRestartTheChild(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	s.retry(top, restart)
	require.Equal(t, once("m1", "l1", "l2", "m2", "after"), s.starts)
	require.NotEqual(t, mid.ID, s.task(top, "sub").Child)
	s.ends(top, workflow.ExecutionSucceeded)
	for _, x := range []*engine.Execution{mid, leaf} {
		require.Zero(t, s.ends(x, workflow.ExecutionFailed).Redrives, "the former ones stay as they ended")
	}
}

const (
	bounded = `
name: bounded
tasks:
  - { name: sub, type: workflow, with: { name: within, input: { limit: "${workflow.input.limit}" } } }
`
	within = `
name: within
tasks:
  - { name: before, type: noop }
  - { name: check, needs: [before], type: noop, with: "${workflow.input.limit}" }
`
)

// tooLow lets a task fail in an execution of bounded whose limit is below 10.
func tooLow(r *engine.Run) (json.RawMessage, *workflow.Error) {
	if r.Ref == "check" && string(r.Input) != "10" {
		return nil, &workflow.Error{Code: "too_low", Message: "the limit is " + string(r.Input)}
	}
	return r.Input, nil
}

func TestSemantics12AnotherInputOfTheTaskStartsAFreshChild(t *testing.T) {
	t.Parallel()
	for _, asks := range [][]ask{nil, {from("sub")}} {
		s := newStage(t)
		s.publish(within)
		s.run = tooLow
		x := s.start(bounded, `{"limit": 1}`)
		s.settle()
		former := s.child(x, "sub")
		d := s.retry(x, append(asks, merge, taskInput("sub", `{"input": {"limit": 10}}`))...)
		require.Equal(t, map[string]string{"sub": "run"}, rows(d.plan))
		require.Equal(t, once("before", "check"), s.starts)
		require.NotEqual(t, former.ID, s.task(x, "sub").Child)
		s.ends(x, workflow.ExecutionSucceeded)
		require.Zero(t, s.ends(former, workflow.ExecutionFailed).Redrives)
	}
}

func TestSemantics12ANullThatTakesNothingAwayKeepsTheChild(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(within)
	s.run = tooLow
	x := s.start(bounded, `{"limit": 1}`)
	s.settle()
	plan, err := s.Plan(s.ctx(), x.ID, asked(workflow.OperationRetry, []ask{taskInput("sub", "null")}))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"sub": "run", "sub/before": "keep", "sub/check": "run"}, rows(plan))
}

func TestSemantics12AnInputThatIsGivenMayAskForTheID(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(within)
	s.run = tooLow
	x := s.start(bounded, `{"limit": 1}`)
	s.settle()
	s.retry(x, merge, taskInput("sub", `{"input": {"limit": 10}, "id_field": "run"}`))
	s.ends(x, workflow.ExecutionSucceeded)
	var output struct{ Run string }
	require.NoError(t, json.Unmarshal(s.task(x, "sub").Output, &output))
	require.Equal(t, s.task(x, "sub").Child, output.Run)
}

func TestSemantics12AFreshChildAndTasksOfTheFormerOneExcludeEachOther(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(within)
	s.run = tooLow
	x := s.start(bounded, `{"limit": 1}`)
	s.settle()
	_, err := s.Plan(s.ctx(), x.ID, asked(workflow.OperationRetry, []ask{from("sub/check"), taskInput("sub", `{"name": "within", "input": {"limit": 10}}`)}))
	var no *engine.Error
	require.ErrorAs(t, err, &no)
	require.Len(t, no.Problems, 1)
	require.Equal(t, []string{"task_input.sub", "conflict"}, []string{no.Problems[0].Field, no.Problems[0].Code})
}

func TestSemantics12APlanSaysThatAnInputDoesNotReachTheChild(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(within)
	s.run = tooLow
	x := s.start(bounded, `{"limit": 1}`)
	s.settle()
	plan, err := s.Plan(s.ctx(), x.ID, asked(workflow.OperationRetry, []ask{input(`{"limit": 10}`)}))
	require.NoError(t, err)
	require.Len(t, plan.Warnings, 1)
	require.Contains(t, plan.Warnings[0], "sub goes on in place")
	same, err := s.Plan(s.ctx(), x.ID, asked(workflow.OperationRetry, []ask{input(`{"limit": 1}`)}))
	require.NoError(t, err)
	require.Empty(t, same.Warnings)
	d := s.retry(x, input(`{"limit": 10}`), restart)
	require.Empty(t, d.plan.Warnings)
	s.ends(x, workflow.ExecutionSucceeded)
}

// TestSemantics12ARetryOfAFormerChildSaysThatItRunsAlone: nothing waits for one whose task began another.
func TestSemantics12ARetryOfAFormerChildSaysThatItRunsAlone(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	above := s.retry(leaf).plan.Warnings
	require.Len(t, above, 1)
	require.Contains(t, above[0], "goes on with it")
	s.rerun(top, from("sub"))
	s.ends(top, workflow.ExecutionSucceeded)
	before := s.shot(top)
	d := s.rerun(leaf, from("l2"))
	require.Len(t, d.plan.Warnings, 2)
	require.Contains(t, d.plan.Warnings[1], "execution "+mid.ID+" was made by task sub of "+top.ID+", which does not wait for it any more")
	require.Equal(t, once("l2", "m2"), s.starts)
	require.Equal(t, before["after"].String(), s.shot(top)["after"].String())
	s.audit(top)
}

// TestSemantics12RefusalsNameTasksAsTheyWereAsked: from inside the sub-execution, not from the outermost one.
func TestSemantics12RefusalsNameTasksAsTheyWereAsked(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	for x, want := range map[*engine.Execution]string{top: "sub/inner/nowhere", mid: "inner/nowhere", leaf: "nowhere"} {
		_, err := s.Plan(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{from(want)}))
		var no *engine.Error
		require.ErrorAs(t, err, &no)
		require.Len(t, no.Problems, 1)
		require.Contains(t, no.Problems[0].Message, `"`+want+`"`)
	}
}

func TestSemantics12ARetryOfAChildReopensItsAncestors(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	above := s.shot(top)
	s.begin(leaf, workflow.OperationRetry)
	for _, x := range []*engine.Execution{top, mid, leaf} {
		require.Equal(t, workflow.ExecutionRunning, s.at(x).Status)
		require.Equal(t, 1, s.at(x).Redrives)
	}
	require.Equal(t, "running", s.tasks(top)["sub"])
	require.Equal(t, "running", s.tasks(mid)["inner"])
	s.settle()
	require.Equal(t, once("l2", "m2", "after"), s.starts)
	for _, v := range above {
		s.remembers(v)
	}
	require.Equal(t, above["first"].String(), s.shot(top)["first"].String())
	require.Equal(t, above["sub/m1"].String(), s.shot(top)["sub/m1"].String())
	s.gave(top, "after", `42`)
	for _, x := range []*engine.Execution{top, mid, leaf} {
		s.ends(x, workflow.ExecutionSucceeded)
	}
}

func TestSemantics12ARedriveOfAChildTakesTasksAroundItAlong(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(leafOf3)
	s.run = failing("l2", "beside")
	top := s.start(`
name: w
tasks:
  - { name: beside, type: noop }
  - { name: sub, type: workflow, with: { name: leaf } }
  - { name: after, needs: [beside, sub], type: noop }
`, `{}`)
	s.settle()
	s.ends(top, workflow.ExecutionFailed)
	s.run = nil
	leaf := s.child(top, "sub")
	_, err := s.Plan(s.ctx(), leaf.ID, asked(workflow.OperationRerun, []ask{from("l2", "../nowhere")}))
	require.ErrorContains(t, err, "nowhere")
	s.rerun(leaf, from("l2", "../beside"))
	require.Equal(t, once("l2", "beside", "after"), s.starts)
	s.ends(top, workflow.ExecutionSucceeded)
}

func TestSemantics12AChildThatFailsAgainFailsItsAncestorsAgain(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	s.run = failing("l2")
	s.retry(leaf)
	require.Equal(t, once("l2"), s.starts)
	for _, x := range []*engine.Execution{top, mid, leaf} {
		require.Equal(t, 1, s.ends(x, workflow.ExecutionFailed).Redrives)
	}
	require.Equal(t, []string{"failed", "failed"}, s.attempts(leaf, "l2"))
	require.Equal(t, "boom", s.at(top).Error.Code)
}

func TestSemantics12AnAncestorThatSupersededItsChildIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	s.rerun(top, from("sub"))
	s.ends(top, workflow.ExecutionSucceeded)
	before := s.shot(top)
	s.retry(leaf)
	require.Equal(t, once("l2", "m2"), s.starts)
	s.ends(leaf, workflow.ExecutionSucceeded)
	s.ends(mid, workflow.ExecutionSucceeded)
	require.Equal(t, before, s.shot(top))
	require.Equal(t, 1, s.at(top).Redrives)
}

func TestSemantics12ACanceledParentIsReopened(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(leafOf3, midOf3)
	top := s.start(topOf3, `{}`)
	s.complete(s.claim(top, "first"))
	mid := s.child(top, "sub")
	zombie := s.claim(mid, "m1")
	_, err := s.Cancel(s.ctx(), top.ID, engine.Request{})
	require.NoError(t, err)
	s.ends(mid, workflow.ExecutionCanceled)
	s.retry(mid)
	s.stale(zombie)
	require.Equal(t, once("m1", "l1", "l2", "m2", "after"), s.starts)
	s.ends(mid, workflow.ExecutionSucceeded)
	s.ends(top, workflow.ExecutionSucceeded)
}

func TestSemantics12ARerunOfTheTaskStartsAFreshChild(t *testing.T) {
	t.Parallel()
	s, top, mid, _ := three(t)
	s.retry(top)
	before := s.see(mid.ID, "m1")
	d := s.rerun(top, from("sub"))
	require.Equal(t, map[string]string{"first": "keep", "sub": "run", "after": "run"}, rows(d.plan, "first", "sub", "after"))
	require.Equal(t, once("m1", "l1", "l2", "m2", "after"), s.starts)
	fresh := s.child(top, "sub")
	require.NotEqual(t, mid.ID, fresh.ID)
	require.Equal(t, &engine.Parent{Execution: top.ID, Task: "sub"}, fresh.Parent)
	require.Equal(t, before, s.see(mid.ID, "m1"), "the former one stays readable")
	s.ends(top, workflow.ExecutionSucceeded)
}

func TestSemantics12ARerunReachesIntoTheChild(t *testing.T) {
	t.Parallel()
	s, top, mid, leaf := three(t)
	s.retry(top)
	d := s.rerun(top, from("sub/inner/l2"))
	require.Equal(t, map[string]string{"sub/m1": "keep", "sub/inner/l1": "keep", "sub/inner/l2": "run", "sub/m2": "run", "after": "run"},
		rows(d.plan, "sub/m1", "sub/inner/l1", "sub/inner/l2", "sub/m2", "after"))
	require.Equal(t, once("l2", "m2", "after"), s.starts)
	require.Equal(t, mid.ID, s.task(top, "sub").Child)
	require.Equal(t, leaf.ID, s.task(mid, "inner").Child)
	s.ends(top, workflow.ExecutionSucceeded)
}

func TestSemantics12ARerunOfARunningChildSupersedesIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(leafOf3, midOf3)
	top := s.start(topOf3, `{}`)
	s.complete(s.claim(top, "first"))
	mid := s.child(top, "sub")
	zombie := s.claim(mid, "m1")
	d := s.begin(top, workflow.OperationRerun, from("sub"))
	require.Equal(t, "cancel", rows(d.plan)["sub"])
	s.settle()
	s.stale(zombie)
	require.Equal(t, []string{"canceled", "succeeded"}, s.attempts(top, "sub"))
	s.ends(mid, workflow.ExecutionCanceled)
	s.ends(top, workflow.ExecutionSucceeded)
}

func TestSemantics13TasksThatMayFailAreNotRetriedUnlessNamed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("extra", "main")
	x := s.start(`
name: w
tasks:
  - { name: extra, type: noop, on_failure: continue, with: 1 }
  - { name: use, needs: [extra], type: noop, with: "${tasks.extra.output}" }
  - { name: main, type: noop }
`, `{}`)
	s.settle()
	require.Equal(t, map[string]string{"extra": "failed", "use": "succeeded", "main": "failed"}, s.tasks(x))
	d := s.retry(x)
	require.Equal(t, map[string]string{"extra": "keep", "use": "keep", "main": "run"}, rows(d.plan))
	require.Equal(t, once("main"), s.starts)
	s.ends(x, workflow.ExecutionFailed)
	s.run = failing("main")
	s.retry(x, from("extra"))
	require.Equal(t, once("extra", "use"), s.starts)
	s.gave(x, "use", `1`)
	s.ends(x, workflow.ExecutionFailed)
	s.run = nil
	s.retry(x)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics14HandlersFireAgainAndTurnNothingGreen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("a")
	x := s.start(`
name: w
tasks: [{ name: a, type: noop }, { name: b, needs: [a], type: noop }]
on_failure: [{ name: alert, type: noop, with: "${workflow.error.message}" }]
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	for range 2 {
		s.retry(x)
		require.Equal(t, once("a", "on_failure.alert"), s.starts)
		require.Equal(t, "boom", s.ends(x, workflow.ExecutionFailed).Error.Code)
	}
	s.rerun(x)
	require.Equal(t, once("a", "on_failure.alert"), s.starts)
	require.Equal(t, 4, s.task(x, "on_failure.alert").Attempt)
	s.ends(x, workflow.ExecutionFailed)
	s.run = failing("b")
	s.retry(x)
	s.gave(x, "on_failure.alert", `"b broke"`)
	s.run = nil
	s.retry(x)
	require.Equal(t, once("b"), s.starts)
	require.Nil(t, s.ends(x, workflow.ExecutionSucceeded).Error)
}

func TestSemantics15TheDeadlineStartsAgain(t *testing.T) {
	t.Parallel()
	const timed = "name: w\ntimeout: 1h\ntasks: [{ name: a, type: noop }, { name: b, needs: [a], type: wait, with: { external: true } }]"
	for name, redrive := range map[string]func(*stage, *engine.Execution) *redone{
		"retry": func(s *stage, x *engine.Execution) *redone { return s.retry(x) },
		"rerun": func(s *stage, x *engine.Execution) *redone { return s.rerun(x, from("b")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			x := s.start(timed, `{}`)
			s.settle()
			started := s.at(x).StartedAt
			s.pass(61 * time.Minute)
			s.ends(x, workflow.ExecutionTimedOut)
			s.offset += time.Hour
			redrive(s, x)
			require.Equal(t, once(), s.starts)
			s.pass(59 * time.Minute)
			require.Equal(t, workflow.ExecutionRunning, s.at(x).Status)
			require.Equal(t, started, s.at(x).StartedAt)
			s.pass(2 * time.Minute)
			require.Equal(t, "timed_out", s.ends(x, workflow.ExecutionTimedOut).Error.Code)
			list, _, err := s.Redrives(s.ctx(), x.ID, engine.Page{})
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.WithinDuration(t, started.Add(121*time.Minute), list[0].At, time.Minute)
		})
	}
	t.Run("of one that runs", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(timed, `{}`)
		s.pass(50 * time.Minute)
		s.rerun(x)
		s.pass(50 * time.Minute)
		require.Equal(t, workflow.ExecutionRunning, s.at(x).Status)
		s.pass(11 * time.Minute)
		s.ends(x, workflow.ExecutionTimedOut)
	})
}
