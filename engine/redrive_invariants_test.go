package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
	"github.com/redrive/redrive/workflow/workflowtest"
)

// TestInvariantsOfRedrivesOfRandomGraphs cuts random graphs at random tasks, after
// random failures, and holds what happens to a closure of its own:
//   - what the cut does not reach keeps status, output and attempts (1);
//   - every join starts once, after all that it waits for, and none is stuck (2);
//   - kept outputs are byte-equal and read by what runs again (3);
//   - a changed output reaches everything behind it (4);
//   - the handler's success turns nothing green (6);
//   - a plan that is executed twice has happened once (8);
//   - the input stays as it was given (10).
func TestInvariantsOfRedrivesOfRandomGraphs(t *testing.T) {
	t.Parallel()
	graphs := int64(10)
	if soak {
		graphs = 1000
	}
	s := newStage(t)
	for seed := range graphs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s.t = t
			(&carving{stage: s, r: rand.New(rand.NewPCG(uint64(seed), 7)), bad: map[string]bool{}}).live(seed)
		})
	}
}

// carving is one random graph, in which every task gives what it sees and which round it is.
type carving struct {
	*stage
	r     *rand.Rand
	d     *workflow.Definition
	x     *engine.Execution
	bad   map[string]bool // tasks that fail
	round int
	input string
}

func (c *carving) live(seed int64) {
	c.d = workflowtest.Random(seed, 3+c.r.IntN(6))
	c.d.OnFailure = []workflow.Task{{Name: "alert", Type: "noop"}}
	for i := range c.d.Tasks {
		task := &c.d.Tasks[i]
		reads := []string{}
		for _, need := range task.Needs {
			reads = append(reads, "${tasks."+need+".output}")
		}
		task.With = json.RawMessage(inJSON(reads))
	}
	c.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if c.bad[r.Ref] {
			return nil, &workflow.Error{Code: "boom"}
		}
		return fmt.Appendf(nil, `{"round": %d, "saw":%s}`, c.round, r.Input), nil
	}
	c.spoil()
	c.input = fmt.Sprintf(`{"seed":  %d, "big": 9007199254740993}`, seed)
	c.x = c.start(string(c.d.Canonical()), c.input)
	c.settle()
	c.ended()
	for c.round = 1; c.round <= 4; c.round++ {
		c.spoil()
		c.again()
	}
}

// spoil lets other tasks fail from now on, or none.
func (c *carving) spoil() {
	clear(c.bad)
	for range c.r.IntN(3) {
		c.bad[c.d.Tasks[c.r.IntN(len(c.d.Tasks))].Name] = true
	}
}

// again redrives, by a plan that is executed twice.
func (c *carving) again() {
	op, starts, asks := workflow.OperationRetry, c.unsuccessful(), []ask(nil)
	if len(starts) == 0 || c.r.IntN(2) == 0 {
		op, starts = workflow.OperationRerun, nil
		for _, task := range c.d.Tasks {
			if c.r.IntN(3) == 0 && c.possible(task) {
				starts = append(starts, task.Name)
			}
		}
		asks = append(asks, from(starts...))
		if len(starts) == 0 {
			starts = c.all()
		}
	}
	closure, before := c.reach(starts), c.shot(c.x)
	d := c.begin(c.x, op, asks...)
	_, err := c.Redrive(c.ctx(), c.x.ID, withHash(asked(op, asks), d.plan.PlanHash))
	require.NoError(c.t, err)
	require.Equal(c.t, c.round, c.at(c.x).Redrives, "executed twice, it happened once")
	c.settle()
	c.holds(d)
	for _, task := range c.d.Tasks {
		want := string(workflow.PlanKeep)
		if closure[task.Name] {
			want = string(workflow.PlanRun)
			if c.cutOff(before, closure, task) {
				want = string(workflow.PlanUndecided)
				require.Zero(c.t, c.starts[task.Name], task.Name)
			}
		}
		require.Equal(c.t, want, rows(d.plan)[task.Name], task.Name)
		require.LessOrEqual(c.t, c.starts[task.Name], 1, task.Name)
		if !closure[task.Name] {
			require.Equal(c.t, before[task.Name].String(), c.see(c.x.ID, task.Name).String())
		}
	}
	require.Equal(c.t, c.input, string(c.at(c.x).Input))
	c.ended()
}

// cutOff says whether a task needs one that ended badly and does not run again, directly or through others.
func (c *carving) cutOff(before shot, closure map[string]bool, task workflow.Task) bool {
	return slices.ContainsFunc(task.Needs, func(need string) bool {
		if !closure[need] {
			return before[need].task.Status != workflow.TaskSucceeded
		}
		i := slices.IndexFunc(c.d.Tasks, func(t workflow.Task) bool { return t.Name == need })
		return c.cutOff(before, closure, c.d.Tasks[i])
	})
}

func withHash(r engine.RedriveRequest, hash string) engine.RedriveRequest {
	r.PlanHash = hash
	return r
}

// possible says whether nothing that a task needs stays unsuccessful, so that it could run.
func (c *carving) possible(task workflow.Task) bool {
	status := c.tasks(c.x)
	return !slices.ContainsFunc(task.Needs, func(need string) bool { return status[need] != "succeeded" })
}

func (c *carving) unsuccessful() (refs []string) {
	for ref, status := range c.tasks(c.x) {
		if status != "succeeded" && !isHandler(ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (c *carving) all() (refs []string) {
	for _, task := range c.d.Tasks {
		refs = append(refs, task.Name)
	}
	return refs
}

// reach is the start set and everything behind it.
func (c *carving) reach(starts []string) map[string]bool {
	again := map[string]bool{}
	for _, ref := range starts {
		again[ref] = true
	}
	for _, task := range c.d.Tasks { // each behind what it needs
		again[task.Name] = again[task.Name] || slices.ContainsFunc(task.Needs, func(need string) bool { return again[need] })
	}
	return again
}

// ended expects every task to be what the graph and the failures make of it, and to have seen
// what the tasks before it give now.
func (c *carving) ended() {
	states, want := c.shot(c.x), workflow.ExecutionSucceeded
	for _, task := range c.d.Tasks {
		is := states[task.Name].task
		require.True(c.t, is.Status.Ended(), task.Name)
		if is.Status != workflow.TaskSucceeded {
			want = workflow.ExecutionFailed
			continue
		}
		saw := []json.RawMessage{}
		for _, need := range task.Needs {
			require.Equal(c.t, workflow.TaskSucceeded, states[need].task.Status, "%s ran before %s", task.Name, need)
			saw = append(saw, states[need].task.Output)
		}
		require.JSONEq(c.t, inJSON(saw), string(is.Input), task.Name)
		require.Contains(c.t, string(is.Output), string(is.Input))
	}
	c.ends(c.x, want)
	if want == workflow.ExecutionFailed {
		require.Equal(c.t, workflow.TaskSucceeded, c.task(c.x, "on_failure.alert").Status)
	}
}
