package workflow_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/workflow"
	"github.com/redrive/redrive/workflow/workflowtest"
)

// outcome is what happens to a task if it is run, fixed before the run.
type outcome struct {
	status    workflow.TaskStatus
	continued bool
	condition bool
}

// execution is an executor in memory: Decide and End choose, outcomes happen,
// and the order is random.
type execution struct {
	program  *workflow.Program
	outcomes map[string]outcome
	states   map[string]workflow.TaskState
	open     map[string]int // needs that have not ended well
	first    *workflow.Error
	t        require.TestingT
}

func run(t require.TestingT, p *workflow.Program, outcomes map[string]outcome, seed uint64) (map[string]workflow.TaskState, workflow.Ending) {
	r := rand.New(rand.NewPCG(seed, 2))
	x := &execution{program: p, outcomes: outcomes, states: map[string]workflow.TaskState{}, open: map[string]int{}, t: t}
	var ready, running []string
	for _, n := range p.Nodes {
		x.states[n.Path] = workflow.TaskState{Status: workflow.TaskPending}
		x.open[n.Path] = len(n.Needs)
	}
	for _, n := range p.Roots() {
		ready = append(ready, n.Path)
	}
	for len(ready)+len(running) > 0 {
		if i := r.IntN(len(ready) + len(running)); i < len(ready) {
			ref := ready[i]
			ready = slices.Delete(ready, i, i+1)
			if x.decide(ref) {
				running = append(running, ref)
			} else {
				ready = append(ready, x.after(ref)...)
			}
		} else {
			i -= len(ready)
			ref := running[i]
			running = slices.Delete(running, i, i+1)
			x.finish(ref)
			ready = append(ready, x.after(ref)...)
		}
	}
	end := p.End(x.states, x.first)
	for _, ref := range end.Unreached {
		x.states[ref] = workflow.TaskState{Status: workflow.TaskCanceled}
	}
	return x.states, end
}

// decide answers whether the task runs; a join must find all its needs ended well.
func (x *execution) decide(ref string) bool {
	n := x.program.Node(ref)
	require.Equal(x.t, workflow.TaskPending, x.states[ref].Status)
	for _, need := range n.Needs {
		require.True(x.t, x.states[need].EndedWell(), "%s was ready before %s", ref, need)
	}
	input := json.RawMessage(fmt.Sprint(x.outcomes[ref].condition))
	scope := workflow.Scope{Workflow: workflow.WorkflowScope{Input: input}}
	v := place(x.program, ref).Decide(func(r string) workflow.TaskState { return x.states[r] }, scope)
	switch v.Action {
	case workflow.ActionRun:
		x.states[ref] = workflow.TaskState{Status: workflow.TaskRunning, Attempt: 1}
		return true
	case workflow.ActionSkip:
		require.NotEmpty(x.t, v.Reason)
		x.states[ref] = workflow.TaskState{Status: workflow.TaskSkipped}
	default:
		require.Fail(x.t, "no expression can fail here", v.Error)
	}
	return false
}

func (x *execution) finish(ref string) {
	o := x.outcomes[ref]
	s := workflow.TaskState{Status: o.status, Attempt: 1}
	if o.status != workflow.TaskSucceeded {
		s.Continued = x.program.Node(ref).OnFailure == workflow.OnFailureContinue
		if x.first == nil && !s.Continued {
			x.first = &workflow.Error{Code: "boom", Message: ref}
		}
	}
	x.states[ref] = s
}

// after answers what became ready because the task ended well.
func (x *execution) after(ref string) (ready []string) {
	if !x.states[ref].EndedWell() {
		return nil
	}
	for _, d := range x.program.Node(ref).Dependents {
		if x.open[d]--; x.open[d] == 0 {
			ready = append(ready, d)
		}
	}
	return ready
}

func drawProgram(t *rapid.T) (*workflow.Program, map[string]outcome) {
	d := workflowtest.Definitions(14).Draw(t, "definition")
	outcomes := map[string]outcome{}
	for i := range d.Tasks {
		task := &d.Tasks[i]
		o := outcome{
			status:    rapid.SampledFrom([]workflow.TaskStatus{workflow.TaskSucceeded, workflow.TaskSucceeded, workflow.TaskFailed, workflow.TaskTimedOut}).Draw(t, "status"),
			continued: rapid.Bool().Draw(t, "continue"),
			condition: rapid.IntRange(0, 3).Draw(t, "condition") > 0,
		}
		if o.continued {
			task.OnFailure = workflow.OnFailureContinue
		}
		if !o.condition || rapid.Bool().Draw(t, "conditional") {
			task.If = "${workflow.input}"
		}
		outcomes[task.Name] = o
	}
	return workflowtest.Compile(d), outcomes
}

func TestOrderOfCompletionsNeverChangesTheResult(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, outcomes := drawProgram(t)
		seed := rapid.Uint64().Draw(t, "seed")
		one, end := run(t, p, outcomes, seed)
		other, otherEnd := run(t, p, outcomes, seed+1)
		require.Equal(t, one, other)
		require.Equal(t, end.Status, otherEnd.Status)
		require.Equal(t, end.Unreached, otherEnd.Unreached)
		require.Equal(t, end.Error == nil, otherEnd.Error == nil)
		checkEnding(t, p, one, end)
	})
}

// checkEnding compares the states with what the graph says they must be.
func checkEnding(t require.TestingT, p *workflow.Program, states map[string]workflow.TaskState, end workflow.Ending) {
	failed := false
	for _, n := range p.Nodes {
		s := states[n.Path]
		require.True(t, s.Status.Ended(), "%s is %s", n.Path, s.Status)
		failed = failed || !s.EndedWell() && s.Status != workflow.TaskCanceled
		blocked, allSkipped := false, len(n.Needs) > 0
		for _, need := range n.Needs {
			blocked = blocked || !states[need].EndedWell()
			allSkipped = allSkipped && states[need].Status == workflow.TaskSkipped
		}
		require.Equal(t, blocked, slices.Contains(end.Unreached, n.Path), "%s never, or early", n.Path)
		if allSkipped {
			require.Equal(t, workflow.TaskSkipped, s.Status)
		}
	}
	if failed {
		require.Equal(t, workflow.ExecutionFailed, end.Status)
		require.NotNil(t, end.Error)
	} else {
		require.Equal(t, workflow.ExecutionSucceeded, end.Status)
		require.Empty(t, end.Unreached)
	}
}

func TestGraphOfRandomWorkflows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := workflowtest.Definitions(30).Draw(t, "definition")
		p := workflowtest.Compile(d)
		place := map[string]int{}
		for i, n := range p.Nodes {
			place[n.Path] = i
		}
		require.Len(t, place, len(d.Tasks))
		for _, n := range p.Nodes {
			for _, need := range n.Needs {
				require.Less(t, place[need], place[n.Path])
				require.Contains(t, p.Node(need).Dependents, n.Path)
			}
			below := p.Descendants(n.Path)
			for _, other := range p.Nodes {
				reached := reaches(p, n.Path, other.Path)
				require.Equal(t, reached, below[other.Path])
				require.Equal(t, reached, slices.Contains(p.Ancestors(other.Path), n.Path))
			}
		}
	})
}

// reaches is the plainest definition there is: one needs the other, or something that does.
func reaches(p *workflow.Program, from, to string) bool {
	for _, need := range p.Node(to).Needs {
		if need == from || reaches(p, from, need) {
			return true
		}
	}
	return false
}

func TestRandomDefinitionsRoundTrip(t *testing.T) {
	for seed := range int64(20) {
		d := workflowtest.Random(seed, 50)
		require.Equal(t, d, workflowtest.Random(seed, 50))
		p := workflowtest.Compile(d)
		loaded, _, err := workflow.Load(d.Canonical(), nil, workflow.DefaultLimits())
		require.NoError(t, err)
		require.Equal(t, p.Hash, loaded.Hash)
		require.Equal(t, string(d.Canonical()), string(loaded.Definition.Canonical()))
	}
}

func TestEndings(t *testing.T) {
	p := workflowtest.Compile(workflowtest.Chain(3))
	first := &workflow.Error{Code: "http_500", Message: "down"}
	state := func(s ...workflow.TaskStatus) map[string]workflow.TaskState {
		m := map[string]workflow.TaskState{}
		for i, status := range s {
			m[fmt.Sprintf("t%d", i)] = workflow.TaskState{Status: status}
		}
		return m
	}
	require.Equal(t, workflow.Ending{Status: workflow.ExecutionSucceeded}, p.End(state(workflow.TaskSucceeded, workflow.TaskSkipped, workflow.TaskSkipped), nil))
	require.Equal(t, workflow.Ending{Status: workflow.ExecutionFailed, Error: first, Unreached: []string{"t2"}},
		p.End(state(workflow.TaskSucceeded, workflow.TaskTimedOut), first))
	require.Equal(t, workflow.ExecutionCanceled, p.End(state(workflow.TaskSucceeded, workflow.TaskCanceled, workflow.TaskCanceled), nil).Status)
	require.Equal(t, "unreached", p.End(state(workflow.TaskSucceeded), nil).Error.Code)
	continued := state(workflow.TaskFailed, workflow.TaskSucceeded, workflow.TaskSucceeded)
	continued["t0"] = workflow.TaskState{Status: workflow.TaskFailed, Continued: true}
	require.Equal(t, workflow.ExecutionSucceeded, p.End(continued, first).Status)
}

func place(p *workflow.Program, ref string) workflow.Place {
	at, _ := p.Place(ref)
	return at
}
