package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const twins = `
name: w
tasks:
  - { name: one, type: workflow, with: { name: mid } }
  - { name: two, type: workflow, with: { name: other } }
  - { name: end, needs: [one, two], type: noop }
`

const otherOf2 = "name: other\ntasks: [{ name: o1, type: noop }, { name: o2, needs: [o1], type: noop }]"

func conductor18(t *testing.T, s *stage) {
	s.publish(leafOf3, midOf3, otherOf2)
	s.run = failing("l2", "o2")
	x := s.start(twins, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	one, two := s.task(x, "one").Child, s.task(x, "two").Child
	s.run = failing("o2")
	s.rerun(x, from("one/inner/l2"))
	require.Equal(t, once("l2", "m2"), s.starts, "two has failed still")
	s.ends(x, workflow.ExecutionFailed)
	s.ends(&engine.Execution{ID: one}, workflow.ExecutionSucceeded)
	s.run = nil
	s.retry(x)
	require.Equal(t, once("o2", "end"), s.starts)
	require.Equal(t, []string{one, two}, []string{s.task(x, "one").Child, s.task(x, "two").Child})
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor19(t *testing.T, s *stage) {
	s.publish(leafOf3, midOf3, otherOf2)
	x := s.start(twins, `{}`)
	two := s.child(x, "two")
	running := s.claim(two, "o1")
	one := s.child(x, "one")
	s.complete(s.claim(one, "m1"))
	leaf := s.child(one, "inner")
	s.complete(s.claim(leaf, "l1"))
	_, err := s.Fail(s.ctx(), s.claim(leaf, "l2"), &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err)
	require.Equal(t, workflow.TaskFailed, s.task(x, "one").Status)
	d := s.rerun(x, from("one/inner/l2"))
	require.Equal(t, "leave_running", rows(d.plan)["two"])
	require.Equal(t, once("l2", "m2"), s.starts)
	s.complete(running)
	s.settle()
	require.Equal(t, two.ID, s.task(x, "two").Child)
	s.ends(two, workflow.ExecutionSucceeded)
	s.ends(x, workflow.ExecutionSucceeded)

	s.run = failing("l2")
	x = s.start(`
name: never
tasks:
  - { name: one, type: workflow, with: { name: mid } }
  - { name: two, needs: [one], type: workflow, with: { name: other } }
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	s.refuses(x, workflow.OperationRerun, "unknown_ref", from("two/o1"))
	s.run = nil
	s.rerun(x, from("one/inner/l2"))
	require.Equal(t, once("l2", "m2", "o1", "o2"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor20(t *testing.T, s *stage) {
	s.publish(otherOf2)
	optional := `
name: w
tasks:
  - { name: sub, type: workflow, with: { name: other }, on_failure: continue }
  - { name: end, needs: [sub], type: noop, with: "${tasks.sub.status}" }
`
	s.run = failing("o2")
	x := s.start(optional, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	child, before := s.child(x, "sub"), s.see(x.ID, "end")
	s.run = nil
	s.retry(child)
	s.ends(child, workflow.ExecutionSucceeded)
	require.Equal(t, before, s.see(x.ID, "end"), "it went on without")
	require.Zero(t, s.at(x).Redrives)

	s.run = failing("o2")
	x = s.start(`name: v
tasks: [{ name: sub, type: workflow, with: { name: other } }]`, `{}`)
	s.settle()
	child = s.child(x, "sub")
	s.run = nil
	s.rerun(x, from("sub"))
	s.ends(x, workflow.ExecutionSucceeded)
	whole := s.shot(x)
	s.retry(child)
	s.rerun(child)
	s.ends(child, workflow.ExecutionSucceeded)
	require.Equal(t, whole, s.shot(x), "a superseded child does not touch it")
}

func conductor21(t *testing.T, s *stage) {
	s.run = failing("c")
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop, with: "${workflow.input.n}" }
  - { name: c, needs: [a], type: noop, retry: { max_attempts: 2, delay: 1s, jitter: 0 }, with: { n: "${workflow.input.n}", a: "${tasks.a.output}" } }
`, `{"n": 1}`)
	s.settle()
	s.pass(time.Second)
	s.ends(x, workflow.ExecutionFailed)
	s.retry(x, oneTry)
	require.Equal(t, []string{"failed", "failed", "failed"}, s.attempts(x, "c"), "one more")
	require.Equal(t, []int{0, 0, 1}, redrivesOf(s, x, "c"))
	s.rerun(x, from("a"), taskInput("a", `8`), only)
	s.run = nil
	s.retry(x, oneTry, input(`{"n": 2}`))
	s.gave(x, "c", `{"a":8,"n":2}`)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor22(t *testing.T, _ *stage) {
	for name, c := range map[string]struct {
		asks   []ask
		starts map[string]int
		fresh  bool
	}{
		"resumed": {nil, once("l2", "m2", "after"), false},
		"fresh":   {[]ask{restart}, once("m1", "l1", "l2", "m2", "after"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, top, mid, leaf := three(t)
			s.retry(top, c.asks...)
			require.Equal(t, c.starts, s.starts)
			require.Equal(t, c.fresh, mid.ID != s.task(top, "sub").Child)
			require.Equal(t, c.fresh, leaf.ID != s.task(s.child(top, "sub"), "inner").Child)
			require.Len(t, s.tasks(s.child(top, "sub")), 3, "none is there twice")
			s.ends(top, workflow.ExecutionSucceeded)
		})
	}
}

func conductor23(t *testing.T, s *stage) {
	timed := "name: w\ntimeout: 1h\ntasks: [{ name: a, type: noop }, { name: b, needs: [a], type: wait, with: { duration: 50m } }, { name: c, needs: [b], type: wait, with: { duration: 30m } }]"
	x := s.start(timed, `{}`)
	s.settle()
	s.pass(50 * time.Minute)
	s.pass(11 * time.Minute)
	s.ends(x, workflow.ExecutionTimedOut)
	require.Equal(t, map[string]string{"a": "succeeded", "b": "succeeded", "c": "canceled"}, s.tasks(x), "no task failed")
	s.retry(x)
	s.pass(30 * time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, from("b"))
	s.pass(50 * time.Minute)
	require.Equal(t, workflow.ExecutionRunning, s.at(x).Status)
	s.pass(11 * time.Minute)
	s.ends(x, workflow.ExecutionTimedOut)
}

func conductor24(t *testing.T, s *stage) {
	definition := `
name: w
tasks:
  - { name: good, type: noop }
  - { name: extra, type: noop, on_failure: continue }
  - { name: slow, type: noop }
  - { name: join, needs: [good, extra, slow], type: noop }
`
	x := s.start(definition, `{}`)
	s.complete(s.claim(x, "good"))
	_, err := s.Fail(s.ctx(), s.claim(x, "extra"), &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err)
	s.claim(x, "slow")
	s.refuses(x, workflow.OperationRetry, "not_retryable")
	_, err = s.Cancel(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.ends(x, workflow.ExecutionCanceled)
	s.retry(x)
	require.Equal(t, once("slow", "join"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	s.refuses(x, workflow.OperationRetry, "nothing_to_retry")
}

func conductor25(t *testing.T, s *stage) {
	x := s.start("name: w\ntasks: [{ name: a, type: noop, with: 1 }]", `{}`)
	s.settle()
	s.publish("name: w\ntasks: [{ name: a, type: noop, with: 2 }, { name: b, needs: [a], type: noop }]")
	s.rerun(x)
	s.gave(x, "a", `1`)
	require.Equal(t, 1, s.ends(x, workflow.ExecutionSucceeded).Version)
	s.rerun(x, latest)
	require.Equal(t, once("a", "b"), s.starts)
	s.gave(x, "a", `2`)
	require.Equal(t, 2, s.ends(x, workflow.ExecutionSucceeded).Version)

	s.publish(leafOf3, midOf3)
	x = s.start(topOf3, `{}`)
	s.settle()
	orphan := s.child(x, "sub")
	s.rerun(x)
	s.ends(x, workflow.ExecutionSucceeded)
	before := s.shot(x)
	s.rerun(orphan)
	s.ends(orphan, workflow.ExecutionSucceeded)
	require.Equal(t, before, s.shot(x), "an orphan does not touch it")
}

func conductor26(t *testing.T, s *stage) {
	s.publish(leafOf3, midOf3)
	for range 10 {
		s.run = failing("l2")
		x := s.start(topOf3, `{}`)
		s.settle()
		mid := s.child(x, "sub")
		leaf := s.child(mid, "inner")
		s.run = nil
		calls := []func() error{
			func() error { _, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRetry, nil)); return err },
			func() error { _, err := s.Redrive(s.ctx(), leaf.ID, asked(workflow.OperationRetry, nil)); return err },
			func() error {
				_, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{from("sub/m1")}))
				return err
			},
			func() error { return s.Advance(s.ctx(), mid.ID) },
			func() error { _, err := s.Cancel(s.ctx(), x.ID, engine.Request{}); return err },
		}
		errs := make([]error, len(calls))
		together(len(calls), func(i int) { errs[i] = calls[i]() })
		for i, err := range errs {
			require.True(t, lost(err), "call %d: %v", i, err)
		}
		s.repair()
		s.settle()
		for _, one := range []*engine.Execution{x, mid, leaf} {
			s.ends(one, s.at(one).Status)
			require.True(t, s.at(one).Status.Ended(), "%s: %v", one.ID, s.tasks(one))
		}
	}
}
