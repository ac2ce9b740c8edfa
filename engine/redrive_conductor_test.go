package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// What users of Conductor rely on or miss in its rerun, retry and restart, in our
// words: a fork is tasks without needs among them, a JOIN a task with needs, a
// DO_WHILE a loop, a SWITCH an `if`, a dynamic fork a for_each, TERMINATED canceled.
func TestConductorScenarios(t *testing.T) {
	t.Parallel()
	for name, scenario := range map[string]func(*testing.T, *stage){
		"01 whole rerun of a success, repeatedly":            conductor01,
		"02 rerun from a middle task":                        conductor02,
		"03 task input and workflow input":                   conductor03,
		"04 rerun while running":                             conductor04,
		"05 unknown task, unknown workflow":                  conductor05,
		"06 what needed an automatic retry stays":            conductor06,
		"07 late result after terminate and rerun":           conductor07,
		"08 rerun of one branch of a fork":                   conductor08,
		"09 canceled siblings over several cycles":           conductor09,
		"10 rerun from a fork, from a join":                  conductor10,
		"11 rerun from a dynamic fork":                       conductor11,
		"12 rerun from a switch":                             conductor12,
		"13 rerun from a loop":                               conductor13,
		"14 rerun of an inner task at an iteration":          conductor14,
		"15 rerun inside a completed loop":                   conductor15,
		"16 a wait re-arms its full timer":                   conductor16,
		"17 rerun of a sub-workflow task":                    conductor17,
		"18 rerun of a task of a grandchild":                 conductor18,
		"19 through the parent, with a sibling child":        conductor19,
		"20 optional, orphaned and superseded children":      conductor20,
		"21 retry after exhausted retries":                   conductor21,
		"22 retry of three levels, resumed or fresh":         conductor22,
		"23 retry of a timed-out workflow":                   conductor23,
		"24 retry of a terminated, completed or running one": conductor24,
		"25 restart with and without latest definitions":     conductor25,
		"26 races are linearizable":                          conductor26,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, newStage(t))
		})
	}
}

func conductor01(t *testing.T, s *stage) {
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	for n := 1; n <= 3; n++ {
		d := s.rerun(x)
		require.Equal(t, x.ID, d.now.ID)
		require.Equal(t, once("a", "b", "c", "d", "e", "f"), s.starts)
		require.Equal(t, n+1, s.task(x, "d").Attempt)
		require.Equal(t, n, s.ends(x, workflow.ExecutionSucceeded).Redrives)
	}
}

func conductor02(t *testing.T, s *stage) {
	s.run = giving(map[string]string{"a": `"first"`})
	x := s.start(chain, `{"n": 1}`)
	s.settle()
	s.run = nil
	s.rerun(x, from("b"))
	require.Equal(t, once("b", "c"), s.starts)
	s.gave(x, "a", `"first"`)
	s.gave(x, "c", `"first"`)
	require.Equal(t, []string{"succeeded", "succeeded"}, s.attempts(x, "c"))
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor03(_ *testing.T, s *stage) {
	x := s.start(inputs, `{"n": 1}`)
	s.settle()
	s.rerun(x, from("b"), taskInput("b", `{"n": 5}`), input(`{"n": 2}`))
	s.gave(x, "a", `{"n":1}`)
	s.gave(x, "b", `{"n":5}`)
	s.gave(x, "c", `{"b":5,"n":2}`)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor04(t *testing.T, s *stage) {
	x := s.start(fork, `{"n": 1}`)
	s.complete(s.claim(x, "a"))
	b, e := s.claim(x, "b"), s.claim(x, "e")
	s.begin(x, workflow.OperationRerun, from("b"))
	s.stale(b)
	s.complete(e)
	s.settle()
	require.Equal(t, once("b", "c", "d", "f"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor05(t *testing.T, s *stage) {
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	for _, ref := range []string{"nope", "", "a/b", "b[1]", "d "} {
		refused := s.refuses(x, workflow.OperationRerun, "unknown_ref", from(ref))
		require.Equal(t, engine.KindInvalid, refused.Kind)
	}
	nobody := &engine.Execution{ID: "0190a000-0000-7000-8000-000000000000"}
	for _, op := range []workflow.Operation{workflow.OperationRerun, workflow.OperationRetry} {
		require.Equal(t, engine.KindNotFound, s.refuses(nobody, op, "execution_not_found").Kind)
	}
}

func conductor06(t *testing.T, s *stage) {
	s.run = failing("a")
	x := s.start(flaky, `{}`)
	s.settle()
	s.run = failing("b")
	s.pass(time.Second)
	s.ends(x, workflow.ExecutionFailed)
	s.run = nil
	s.rerun(x, from("b"))
	s.pass(time.Minute)
	require.Equal(t, once("b", "c"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor07(t *testing.T, s *stage) {
	x := s.start(chain, `{"n": 1}`)
	zombie := s.claim(x, "a")
	_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.begin(x, workflow.OperationRerun, from("a"))
	s.stale(zombie)
	s.settle()
	s.gave(x, "a", `1`)
	s.stale(zombie)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor08(t *testing.T, s *stage) {
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	for _, branch := range []string{"b", "c"} { // the first and the last one
		s.rerun(x, from(branch))
		require.Equal(t, once(branch, "d"), s.starts)
		s.ends(x, workflow.ExecutionSucceeded)
	}
}

const branchesThatFail = `
name: w
fail_fast: true
tasks:
  - { name: left, type: noop }
  - { name: right, type: noop }
  - { name: each, type: noop, for_each: { items: [1, 2] }, with: "${item}" }
  - { name: poll, type: loop, max_iterations: 2, tasks: [{ name: check, type: noop }] }
  - { name: bad, type: noop }
  - { name: join, needs: [left, right, each, poll, bad], type: noop }
`

func conductor09(t *testing.T, s *stage) {
	x := s.start(branchesThatFail, `{}`)
	s.complete(s.claim(x, "left"))
	for cycle := range 3 {
		right, item, check := s.claim(x, "right"), s.claim(x, "each[2]"), s.claim(x, "poll[1].check")
		if cycle == 0 {
			s.complete(s.claim(x, "each[1]"))
		}
		_, err := s.Fail(s.ctx(), s.claim(x, "bad"), &workflow.Error{Code: "boom"}, false)
		require.NoError(t, err)
		s.ends(x, workflow.ExecutionFailed)
		require.Equal(t, map[string]string{
			"left": "succeeded", "right": "canceled", "each": "canceled", "each[1]": "succeeded", "each[2]": "canceled",
			"poll": "canceled", "poll[1]": "canceled", "poll[1].check": "canceled", "bad": "failed", "join": "canceled",
		}, s.tasks(x))
		s.begin(x, workflow.OperationRetry)
		for _, run := range []*engine.Run{right, item, check} {
			s.stale(run)
		}
	}
	s.settle()
	require.Equal(t, once("right", "each[2]", "poll[1].check", "poll[2].check", "bad", "join"), s.starts)
	require.Equal(t, 1, s.task(x, "each[1]").Attempt)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor10(t *testing.T, s *stage) {
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	s.rerun(x, from("a"))
	require.Equal(t, once("a", "b", "c", "d"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, from("d"))
	require.Equal(t, once("d"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, from("b", "c"))
	require.Equal(t, once("b", "c", "d"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor11(t *testing.T, s *stage) {
	x := s.start(fan, `{"list": [{"id":"x","n":1},{"id":"y","n":2}]}`)
	s.settle()
	s.rerun(x, from("each"))
	require.Equal(t, once("each[x]", "each[y]", "sum"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	s.begin(x, workflow.OperationRerun, from("each")) // and while its branches run
	y := s.claim(x, "each[y]")
	s.rerun(x, from("each"), input(`{"list": [{"id":"y","n":3},{"id":"z","n":4}]}`))
	s.stale(y)
	require.Equal(t, once("each[y]", "each[z]", "sum"), s.starts)
	s.gave(x, "sum", `[3,4]`)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor12(t *testing.T, s *stage) {
	x := s.start(`
name: w
tasks:
  - name: poll
    type: loop
    max_iterations: 2
    tasks:
      - { name: which, type: noop, with: left }
      - { name: left, needs: [which], if: "${tasks.which.output == 'left'}", type: noop }
      - { name: right, needs: [which], if: "${tasks.which.output == 'right'}", type: noop }
      - { name: join, needs: [left, right], type: noop, with: "${tasks.left.status}" }
  - { name: after, needs: [poll], type: noop, with: "${tasks.poll.output.join}" }
`, `{}`)
	s.settle()
	s.rerun(x, from("poll[2].which"), taskInput("poll[2].which", `"right"`))
	require.Equal(t, once("poll[2].which", "poll[2].right", "poll[2].join", "after"), s.starts)
	require.Equal(t, "skipped", s.tasks(x)["poll[2].left"])
	s.gave(x, "after", `"skipped"`)
	s.ends(x, workflow.ExecutionSucceeded)

	x = s.start(branches, `{"v": 9}`)
	s.settle()
	s.rerun(x, from("small", "big")) // nothing that they read changed
	require.Equal(t, once("big", "bigger", "join"), s.starts)
	s.rerun(x, from("a"), taskInput("a", `2`))
	require.Equal(t, once("a", "small", "join"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor13(t *testing.T, s *stage) {
	x := s.start(polls, `{}`)
	s.settle()
	s.begin(x, workflow.OperationRerun, from("poll"))
	require.Equal(t, 1, s.task(x, "poll").Size)
	require.Equal(t, map[string]string{"poll": "running", "poll[1]": "running", "poll[1].check": "queued", "poll[2]": "skipped"}, pick(s.tasks(x), "poll", "poll[1]", "poll[1].check", "poll[2]"))
	s.settle()
	require.Len(t, s.starts, 7)
	s.ends(x, workflow.ExecutionSucceeded)
}

// pick are some of the statuses.
func pick(all map[string]string, refs ...string) map[string]string {
	some := map[string]string{}
	for _, ref := range refs {
		some[ref] = all[ref]
	}
	return some
}

func conductor14(t *testing.T, s *stage) {
	x := s.start(polls, `{}`)
	s.settle()
	first := s.see(x.ID, "poll[1].check").String()
	d := s.begin(x, workflow.OperationRerun, from("poll[2].check"))
	require.Equal(t, "skipped", s.tasks(x)["poll[3]"], "later ones are dropped, and stay as history")
	s.settle()
	s.holds(d)
	require.Equal(t, first, s.see(x.ID, "poll[1].check").String())
	require.Equal(t, once("poll[2].check", "poll[2].note", "poll[3].check", "poll[3].note", "after"), s.starts)
	require.Len(t, s.tasks(x), 12, "no iteration is there twice")
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor15(t *testing.T, s *stage) {
	x := s.start(polls, `{}`)
	s.settle()
	s.begin(x, workflow.OperationRerun, from("poll[3].note"))
	require.Equal(t, workflow.TaskRunning, s.task(x, "poll").Status)
	require.Equal(t, workflow.TaskPending, s.task(x, "after").Status)
	s.settle()
	require.Equal(t, once("poll[3].note", "after"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor16(t *testing.T, s *stage) {
	x := s.start("name: w\ntasks: [{ name: a, type: noop }, { name: nap, needs: [a], type: wait, with: { duration: 10m } }]", `{}`)
	s.settle()
	s.pass(11 * time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
	s.rerun(x, from("nap"))
	require.NoError(t, s.Advance(s.ctx(), x.ID), "a look in between ends nothing")
	s.pass(9 * time.Minute)
	require.Equal(t, workflow.TaskWaiting, s.task(x, "nap").Status)
	s.pass(2 * time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
}

func conductor17(t *testing.T, s *stage) {
	s.publish(leafOf3, midOf3)
	x := s.start(topOf3, `{}`)
	s.settle()
	seen := map[string]bool{s.task(x, "sub").Child: true}
	for range 2 {
		s.rerun(x, from("sub"))
		fresh := s.child(x, "sub")
		require.False(t, seen[fresh.ID])
		seen[fresh.ID] = true
		s.ends(fresh, workflow.ExecutionSucceeded)
		s.ends(x, workflow.ExecutionSucceeded)
	}
	for id := range seen {
		require.Equal(t, json.RawMessage(`42`), s.at(&engine.Execution{ID: id}).Output)
	}
}
