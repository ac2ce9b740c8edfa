package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// What users of Digdag expect of a resume, as far as it means something here: a resume
// is a retry, or a rerun from a task, into the next attempt of the session. Not here:
// attempts that belong to another workflow (R16), a missing name of an attempt (R22:
// here it gets one) and limits that come before conflicts (R30) are matters of that
// wire; there are no store parameters to reset (R24); parameters that are left out are
// kept here and dropped there (R28); what is not upstream of a task but unrelated to it
// does not run again here (R20), a dialect names it.
func TestDigdagScenarios(t *testing.T) {
	t.Parallel()
	for name, scenario := range map[string]func(*testing.T, *stage){
		"R01 a failed task and what needs it":         digdag01,
		"R02 a failed task of a group":                digdag02,
		"R03 a changed task that is kept":             digdag03,
		"R04 added, renamed and removed tasks":        digdag04,
		"R05 a new task in a group that succeeded":    digdag05,
		"R06 a part of the items":                     digdag06,
		"R07 what was generated is carried over":      digdag07,
		"R08 handlers fire again":                     digdag08,
		"R09 R10 R11 a group that was tried again":    digdag09,
		"R12 a success":                               digdag12,
		"R13 one that was killed":                     digdag13,
		"R14 one that runs":                           digdag14,
		"R15 one that there is not":                   digdag15,
		"R17 from later than what failed":             digdag17,
		"R18 a ref that is none":                      digdag18,
		"R19 from a group, from everything":           digdag19,
		"R20 from inside a parallel group":            digdag20,
		"R21 from an iteration":                       digdag21,
		"R23 a retry of a retry":                      digdag23,
		"R25 a group that is tried again in the next": digdag25,
		"R26 one that waited":                         digdag26,
		"R27 what is kept is shown as it was":         digdag27,
		"R29 two at once with one name":               digdag29,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, newStage(t))
		})
	}
}

// attempt starts the first attempt of a session.
func (s *stage) attempt(source string) *engine.Execution {
	s.t.Helper()
	s.publish(source)
	x, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w", SessionTime: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(s.t, err)
	s.settle()
	return x
}

// resumed retries into the next attempt of the session, which ends so.
func (s *stage) resumed(x *engine.Execution, status workflow.ExecutionStatus, asks ...ask) *redone {
	s.t.Helper()
	d := s.retry(x, append(asks, anew)...)
	now := s.ends(d.now, status)
	require.Equal(s.t, x.Session.Time, now.Session.Time)
	require.Greater(s.t, now.Session.Attempt, x.Session.Attempt)
	return d
}

const threeSteps = `
name: w
tasks:
  - { name: a, type: noop, with: 1 }
  - { name: b, needs: [a], type: noop, with: "${tasks.a.output}" }
  - { name: c, needs: [b], type: noop, with: "${tasks.b.output}" }
`

func digdag01(t *testing.T, s *stage) {
	s.run = failing("b")
	x := s.attempt(threeSteps)
	s.run = nil
	d := s.resumed(x, workflow.ExecutionSucceeded)
	require.Equal(t, once("b", "c"), s.starts)
	s.gave(d.now, "c", `1`)
}

const grouped = `
name: w
tasks:
  - { name: g, type: group, tasks: [{ name: x, type: noop, with: 1 }, { name: y, needs: [x], type: noop, with: "${tasks.x.output}" }] }
  - { name: after, needs: [g], type: noop, with: "${tasks.g.output}" }
`

func digdag02(t *testing.T, s *stage) {
	s.run = failing("g.y")
	x := s.attempt(grouped)
	s.run = nil
	d := s.resumed(x, workflow.ExecutionSucceeded)
	require.Equal(t, map[string]string{"g": "run", "g.x": "keep", "g.y": "run", "after": "run"}, rows(d.plan))
	require.Equal(t, once("g.y", "after"), s.starts)
	require.JSONEq(t, `{"x":1,"y":1}`, string(s.task(d.now, "after").Output))
}

func digdag03(t *testing.T, s *stage) {
	s.run = failing("b")
	x := s.attempt(threeSteps)
	s.run = nil
	s.publish("name: w\ntasks:\n  - { name: a, type: noop, with: 100 }\n  - { name: b, needs: [a], type: noop, with: \"${tasks.a.output}\" }\n")
	d := s.resumed(x, workflow.ExecutionSucceeded, latest)
	require.Equal(t, once("b"), s.starts)
	require.Contains(t, d.plan.DefinitionDiff.Changed, "a")
	s.gave(d.now, "b", `1`)
}

func digdag04(t *testing.T, s *stage) {
	s.run = failing("c")
	x := s.attempt(threeSteps)
	s.run = nil
	s.publish(`
name: w
tasks:
  - { name: a, type: noop, with: 1 }
  - { name: renamed, needs: [a], type: noop, with: "${tasks.a.output + 1}" }
  - { name: c, needs: [renamed], type: noop, with: "${tasks.renamed.output}" }
  - { name: added, type: noop }
`)
	d := s.resumed(x, workflow.ExecutionSucceeded, latest)
	require.Equal(t, once("renamed", "c", "added"), s.starts)
	s.gave(d.now, "c", `2`)
	require.NotContains(t, s.tasks(d.now), "b")
}

func digdag05(t *testing.T, s *stage) {
	s.run = failing("last")
	x := s.attempt(`
name: w
tasks:
  - { name: g, type: group, tasks: [{ name: x, type: noop, with: 1 }] }
  - { name: after, needs: [g], type: noop, with: "${tasks.g.output}" }
  - { name: last, type: noop }
`)
	s.run = nil
	s.publish(`
name: w
tasks:
  - { name: g, type: group, tasks: [{ name: x, type: noop, with: 1 }, { name: new, type: noop, with: 2 }] }
  - { name: after, needs: [g], type: noop, with: "${tasks.g.output}" }
  - { name: last, type: noop }
`)
	d := s.begin(x, workflow.OperationRetry, latest, anew)
	require.Equal(t, workflow.TaskPending, s.task(d.now, "after").Status, "it waits for what is new")
	s.settle()
	require.Equal(t, once("g.new", "after", "last"), s.starts)
	require.JSONEq(t, `{"x":1,"new":2}`, string(s.task(d.now, "after").Output))
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag06(t *testing.T, s *stage) {
	s.run = failing("each[strawberry-2]", "each[fig]")
	x := s.attempt(`
name: w
tasks:
  - { name: each, type: noop, for_each: { items: [strawberry-1, strawberry-2, fig, kiwi] }, with: "${item}" }
  - { name: end, needs: [each], type: noop, with: "${tasks.each.output}" }
`)
	s.run = nil
	s.publish(`
name: w
tasks:
  - { name: each, type: noop, for_each: { items: [kiwi, strawberry-2, strawberry-1, plum] }, with: "${item}" }
  - { name: end, needs: [each], type: noop, with: "${tasks.each.output}" }
`)
	d := s.resumed(x, workflow.ExecutionSucceeded, latest)
	require.Equal(t, once("each[strawberry-2]", "each[plum]", "end"), s.starts, "the whole key counts, not its place")
	s.gave(d.now, "end", `["kiwi","strawberry-2","strawberry-1","plum"]`)
}

const generating = `
name: w
tasks:
  - { name: each, type: noop, for_each: { items: [1, 2] }, with: "${item}" }
  - { name: loop, type: loop, max_iterations: 2, tasks: [{ name: i, type: noop, with: "${iteration.number}" }] }
  - { name: sub, type: workflow, with: { name: other } }
  - { name: last, needs: [each, loop, sub], type: noop, with: ["${tasks.each.output}", "${tasks.loop.output.i}", "${tasks.sub.output}"] }
`

const otherThatGives = "name: other\ntasks: [{ name: o1, type: noop, with: 7 }]\noutput: '${tasks.o1.output}'"

func digdag07(t *testing.T, s *stage) {
	s.publish(otherThatGives)
	s.run = failing("last")
	x := s.attempt(generating)
	s.run = nil
	d := s.resumed(x, workflow.ExecutionSucceeded)
	require.Equal(t, once("last"), s.starts)
	s.gave(d.now, "last", `[[1,2],2,7]`)
	require.Equal(t, s.tasks(x)["each[2]"], s.tasks(d.now)["each[2]"])
	s.gave(d.now, "each[2]", `2`)
	s.gave(d.now, "loop[1].i", `1`)
}

func digdag08(t *testing.T, s *stage) {
	s.run = failing("a")
	x := s.attempt("name: w\ntasks: [{ name: a, type: noop }]\non_failure: [{ name: alert, type: noop }]")
	d := s.resumed(x, workflow.ExecutionFailed)
	require.Equal(t, once("a", "on_failure.alert"), s.starts)
	s.run = nil
	s.resumed(d.now, workflow.ExecutionSucceeded)
	require.Equal(t, once("a"), s.starts)
}

const retriedGroup = `
name: w
tasks:
  - name: g
    type: group
    retry: { max_attempts: 2, delay: 1s, jitter: 0 }
    tasks: [{ name: x, type: noop, with: 1 }, { name: y, needs: [x], type: noop, with: "${tasks.x.output}" }]
  - { name: after, needs: [g], type: noop, with: "${tasks.g.output}" }
  - { name: end, needs: [after], type: noop }
`

func digdag09(t *testing.T, s *stage) {
	s.run = failing("g.y")
	x := s.attempt(retriedGroup)
	s.pass(time.Second)
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, []string{"succeeded", "succeeded"}, s.attempts(x, "g.x"))
	s.run = nil
	d := s.resumed(x, workflow.ExecutionSucceeded)
	require.Equal(t, once("g.y", "after", "end"), s.starts, "its newest round counts")
	d = s.rerun(d.now, from("g.x"), anew)
	require.Equal(t, once("g.x", "g.y", "after", "end"), s.starts)
	s.ends(d.now, workflow.ExecutionSucceeded)

	s.run = failing("g.y")
	y := s.start(retriedGroup, `{}`)
	s.settle()
	s.run = failing("after")
	s.pass(time.Second)
	s.ends(y, workflow.ExecutionFailed)
	s.run = nil
	d = s.rerun(y, from("after"), anew)
	require.Equal(t, map[string]string{"g": "keep", "g.x": "keep", "g.y": "keep", "after": "run", "end": "run"}, rows(d.plan), "the group recovered")
	require.Equal(t, once("after", "end"), s.starts)
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag12(t *testing.T, s *stage) {
	x := s.attempt(threeSteps)
	s.refuses(x, workflow.OperationRetry, "nothing_to_retry", anew)
	d := s.rerun(x, from("b"), anew)
	require.Equal(t, once("b", "c"), s.starts)
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag13(t *testing.T, s *stage) {
	x := s.attempt("name: w\ntasks: [{ name: a, type: noop }, { name: nap, type: wait, with: { external: true } }, { name: c, needs: [a, nap], type: noop }]")
	_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	d := s.retry(x, anew)
	require.Equal(t, workflow.TaskWaiting, s.task(d.now, "nap").Status)
	_, err = s.AnswerGate(s.ctx(), d.now.ID, engine.Answer{Input: json.RawMessage(`1`)})
	require.NoError(t, err)
	s.settle()
	require.Equal(t, once("c"), s.starts)
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag14(t *testing.T, s *stage) {
	x := s.start(threeSteps, `{}`)
	s.complete(s.claim(x, "a"))
	s.refuses(x, workflow.OperationRetry, "not_retryable", anew)
	s.refuses(x, workflow.OperationRetry, "not_retryable")
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

func digdag15(_ *testing.T, s *stage) {
	for _, id := range []string{"0190a000-0000-7000-8000-000000000000", "12", "x"} {
		s.refuses(&engine.Execution{ID: id}, workflow.OperationRetry, "execution_not_found", anew)
		s.refuses(&engine.Execution{ID: id}, workflow.OperationRerun, "execution_not_found", anew, from("a"))
	}
}

func digdag17(t *testing.T, s *stage) {
	s.run = failing("b")
	x := s.attempt(threeSteps)
	for _, asks := range [][]ask{{from("c")}, {from("c"), anew}} {
		before := s.dump()
		_, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, asks))
		require.Contains(t, refusalOf(t, err).Error(), "b", "c could not run: it needs b")
		s.same(before, "nothing is created")
	}
	s.rerun(x, from("c"), output("c", `1`))
	require.Empty(t, s.starts, "what is given needs nothing")
}

func digdag18(t *testing.T, s *stage) {
	x := s.attempt(`
name: w
tasks:
  - { name: one, type: group, tasks: [{ name: a, type: noop }] }
  - { name: two, type: group, tasks: [{ name: a, type: noop }] }
`)
	for _, ref := range []string{"a", "three", "+"} {
		refused := s.refuses(x, workflow.OperationRerun, "unknown_ref", from(ref), anew)
		require.Contains(t, refused.Problems[0].Allowed, "one.a")
		require.Contains(t, refused.Problems[0].Allowed, "two.a")
	}
}

func digdag19(t *testing.T, s *stage) {
	x := s.attempt(grouped)
	s.ends(s.rerun(x, from("g"), anew).now, workflow.ExecutionSucceeded)
	require.Equal(t, once("g.x", "g.y", "after"), s.starts)
	s.ends(s.rerun(x, anew).now, workflow.ExecutionSucceeded)
	require.Equal(t, once("g.x", "g.y", "after"), s.starts)
}

func digdag20(t *testing.T, s *stage) {
	x := s.attempt(`
name: w
tasks:
  - { name: first, type: noop }
  - { name: g, needs: [first], type: group, tasks: [{ name: a, type: noop }, { name: b, type: noop }, { name: later, needs: [a], type: noop }] }
  - { name: end, needs: [g], type: noop }
`)
	s.ends(s.rerun(x, from("g.a"), anew).now, workflow.ExecutionSucceeded)
	require.Equal(t, once("g.a", "g.later", "end"), s.starts)
	s.ends(s.rerun(x, from("g.a", "g.b"), anew).now, workflow.ExecutionSucceeded)
	require.Equal(t, once("g.a", "g.b", "g.later", "end"), s.starts, "as that wire names them")
}

func digdag21(t *testing.T, s *stage) {
	x := s.attempt("name: w\ntasks: [{ name: loop, type: loop, max_iterations: 3, tasks: [{ name: i, type: noop, with: \"${iteration.number}\" }] }]")
	d := s.rerun(x, from("loop[2]"), anew)
	require.Equal(t, once("loop[2].i", "loop[3].i"), s.starts)
	s.gave(d.now, "loop[1].i", `1`)
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag23(t *testing.T, s *stage) {
	s.publish(otherThatGives)
	s.run = failing("last")
	x := s.attempt(generating)
	second := s.resumed(x, workflow.ExecutionFailed).now
	third := s.resumed(second, workflow.ExecutionFailed).now
	s.run = nil
	last := s.resumed(third, workflow.ExecutionSucceeded).now
	require.Equal(t, once("last"), s.starts)
	s.gave(last, "last", `[[1,2],2,7]`)
	require.Equal(t, x.ID, last.Root)
	require.Equal(t, 4, last.Session.Attempt)
}

func digdag25(t *testing.T, s *stage) {
	s.run = failing("g.y")
	x := s.attempt(retriedGroup)
	s.pass(time.Second)
	s.ends(x, workflow.ExecutionFailed)
	s.publish(`
name: w
tasks:
  - name: g
    type: group
    retry: { max_attempts: 2, delay: 1s, jitter: 0 }
    tasks: [{ name: x, type: noop, with: 2 }, { name: y, needs: [x], type: noop, with: "${tasks.x.output}" }]
`)
	d := s.retry(x, latest, anew)
	require.Equal(t, once("g.y"), s.starts)
	s.gave(d.now, "g.x", `1`)
	require.Equal(t, workflow.TaskRetrying, s.task(d.now, "g").Status)
	s.run = nil
	s.pass(time.Second)
	s.gave(d.now, "g.y", `2`)
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag26(t *testing.T, s *stage) {
	x := s.attempt("name: w\ntasks: [{ name: a, type: noop }, { name: nap, needs: [a], type: wait, with: { duration: 1h } }]")
	s.pass(50 * time.Minute)
	_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	d := s.retry(x, anew)
	s.pass(59 * time.Minute)
	require.Equal(t, workflow.TaskWaiting, s.task(d.now, "nap").Status)
	s.pass(2 * time.Minute)
	s.ends(d.now, workflow.ExecutionSucceeded)
}

func digdag27(t *testing.T, s *stage) {
	s.run = failing("b")
	x := s.attempt(threeSteps)
	s.run = nil
	was := s.task(x, "a")
	s.offset += time.Hour
	is := s.task(s.resumed(x, workflow.ExecutionSucceeded).now, "a")
	require.Equal(t, workflow.TaskSucceeded, is.Status)
	require.Equal(t, string(was.Output), string(is.Output))
	require.Equal(t, was.EndedAt, is.EndedAt, "when it really ended")
}

func digdag29(t *testing.T, s *stage) {
	s.run = failing("b")
	x := s.attempt(threeSteps)
	s.run = nil
	errs, ids := make([]error, 6), make([]string, 6)
	together(len(errs), func(i int) {
		now, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRetry, []ask{anew, func(r *engine.RedriveRequest) { r.AttemptName = "fix" }}))
		if errs[i] = err; err == nil {
			ids[i] = now.ID
		}
	})
	require.Equal(t, 1, won(t, errs, "session_exists"))
	for i, err := range errs {
		if err == nil {
			for _, other := range errs {
				if other != nil {
					require.Equal(t, ids[i], refusalOf(t, other).Existing.ID, "the winner is named")
				}
			}
			s.settle()
			s.ends(&engine.Execution{ID: ids[i]}, workflow.ExecutionSucceeded)
		}
	}
}
