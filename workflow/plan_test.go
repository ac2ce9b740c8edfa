package workflow_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/workflow"
)

// nested has one of each kind of task that holds others.
const nested = `
name: nested
tasks:
  - { name: load, type: noop, with: "${workflow.input.n}" }
  - name: each
    needs: [load]
    for_each: { items: "${workflow.input.list}" }
    type: group
    tasks:
      - { name: get, type: noop, with: "${item}" }
      - { name: put, needs: [get], type: noop, effects: unsafe, with: "${tasks.get.output}" }
  - name: poll
    needs: [load]
    type: loop
    until: "${iteration.number == 3}"
    max_iterations: 5
    tasks: [{ name: check, type: noop }, { name: then, needs: [check], type: noop }]
  - { name: sub, needs: [load], type: workflow, with: { name: other } }
  - { name: maybe, needs: [load], if: "${workflow.input.n > 1}", type: noop }
  - { name: end, needs: [each, poll, sub, maybe], type: noop, with: "${tasks.each.output}" }
  - { name: aside, type: noop }
`

const other = "name: other\ntasks: [{ name: x, type: noop }, { name: y, needs: [x], type: noop }]"

func load(t require.TestingT, source string) *workflow.Program {
	p, _, err := workflow.Load([]byte(source), nil, workflow.DefaultLimits())
	require.NoError(t, err)
	return p
}

// done is a case in which everything succeeded.
func done(t require.TestingT, source string) *workflow.Case {
	p := load(t, source)
	c := &workflow.Case{
		Execution: p.Definition.Name, Status: workflow.ExecutionSucceeded, Program: p, Target: p,
		Tasks: map[string]workflow.Past{}, Items: map[string][]string{}, Children: map[string]*workflow.Case{},
	}
	var add func(holder string, nodes []*workflow.Node)
	one := func(ref string, size int) {
		c.Tasks[ref] = workflow.Past{
			TaskState: workflow.TaskState{Status: workflow.TaskSucceeded, Attempt: 1}, Try: 1, Size: size, Hash: "h", Same: true, Began: true,
		}
	}
	inside := func(ref string, n *workflow.Node) {
		switch n.Type {
		case workflow.TypeGroup:
			one(ref, len(n.Body))
			add(ref, n.Body)
		case workflow.TypeLoop:
			one(ref, 3)
			for i := range 3 {
				one(workflow.IterationRef(ref, i+1), len(n.Body))
				add(workflow.IterationRef(ref, i+1), n.Body)
			}
		default:
			one(ref, 0)
		}
		if n.Type == workflow.TypeWorkflow {
			c.Children[ref] = done(t, other)
		}
	}
	add = func(holder string, nodes []*workflow.Node) {
		for _, n := range nodes {
			ref := workflow.Inside(holder, n.Task.Name)
			if n.Each == nil {
				inside(ref, n)
				continue
			}
			c.Items[ref] = []string{"a", "b", "c"}
			one(ref, 3)
			for _, key := range c.Items[ref] {
				inside(workflow.ItemRef(ref, key), n)
			}
		}
	}
	add("", p.Nodes)
	return c
}

// fails lets a task, and what holds it, have failed, and what needs these never have run.
func fails(c *workflow.Case, ref string) {
	for ; ref != ""; ref = workflow.Outside(ref) {
		set(c, ref, workflow.TaskFailed)
		at, _ := c.Target.Place(ref)
		if at.Inner() {
			continue
		}
		for _, sibling := range at.Siblings(at.Dependents) {
			holder := strings.TrimSuffix(strings.TrimSuffix(ref, at.Task.Name), ".")
			cancels(c, workflow.Inside(holder, sibling.Task.Name))
		}
	}
	c.Status = workflow.ExecutionFailed
}

func set(c *workflow.Case, ref string, s workflow.TaskStatus) {
	past := c.Tasks[ref]
	past.Status = s
	c.Tasks[ref] = past
}

func cancels(c *workflow.Case, ref string) {
	for inner := range c.Tasks {
		if workflow.Within(ref, inner) {
			delete(c.Tasks, inner)
		}
	}
	delete(c.Children, ref)
	c.Tasks[ref] = workflow.Past{TaskState: workflow.TaskState{Status: workflow.TaskCanceled}, Same: true}
	at, _ := c.Target.Place(ref)
	for _, sibling := range at.Siblings(at.Dependents) {
		holder := strings.TrimSuffix(strings.TrimSuffix(ref, at.Task.Name), ".")
		cancels(c, workflow.Inside(holder, sibling.Task.Name))
	}
}

// moved are the actions of a plan other than keep.
func moved(p *workflow.Planned) map[string]workflow.PlanAction {
	out := map[string]workflow.PlanAction{}
	for _, row := range p.Plan.Tasks {
		if row.Action != workflow.PlanKeep {
			out[row.Ref] = row.Action
		}
	}
	return out
}

func TestPlansOfEveryConstruct(t *testing.T) {
	const run, undecided, pin, skip = workflow.PlanRun, workflow.PlanUndecided, workflow.PlanPin, workflow.PlanSkip
	type rows = map[string]workflow.PlanAction
	retry, rerun := workflow.OperationRetry, workflow.OperationRerun
	for name, c := range map[string]struct {
		fail string
		ask  workflow.Redrive
		want rows
	}{
		"an item that failed": {"each[b].get", workflow.Redrive{Operation: retry},
			rows{"each": run, "each[b]": run, "each[b].get": run, "each[b].put": run, "end": run}},
		"an iteration that failed": {"poll[3].check", workflow.Redrive{Operation: retry},
			rows{"poll": run, "poll[3]": run, "poll[3].check": run, "poll[3].then": run, "end": run}},
		"a task of an item": {"", workflow.Redrive{Operation: rerun, From: []string{"each[c].put"}, Acknowledge: []string{"each.put"}},
			rows{"each": run, "each[c]": run, "each[c].put": run, "end": run}},
		"an earlier iteration": {"", workflow.Redrive{Operation: rerun, From: []string{"poll[2].then"}},
			rows{"poll": run, "poll[2]": run, "poll[2].then": run, "poll[3]": undecided, "poll[3].check": undecided, "poll[3].then": undecided, "end": run}},
		"a task of a sub-workflow": {"", workflow.Redrive{Operation: rerun, From: []string{"sub/y"}},
			rows{"sub": run, "sub/y": run, "end": run}},
		"only itself":               {"", workflow.Redrive{Operation: rerun, From: []string{"load"}, Scope: workflow.ScopeOnly}, rows{"load": run}},
		"a branch with a condition": {"", workflow.Redrive{Operation: rerun, From: []string{"maybe"}}, rows{"maybe": run, "end": run}},
		"what is downstream of a condition": {"", workflow.Redrive{Operation: rerun, From: []string{"load"}, Acknowledge: []string{"each.put"}},
			rows{
				"load": run, "each": run, "poll": run, "sub": run, "maybe": undecided, "end": run,
				"each[a]": undecided, "each[a].get": undecided, "each[a].put": undecided, "each[b]": undecided, "each[b].get": undecided, "each[b].put": undecided,
				"each[c]": undecided, "each[c].get": undecided, "each[c].put": undecided, "poll[1]": undecided, "poll[1].check": undecided, "poll[1].then": undecided,
				"poll[2]": undecided, "poll[2].check": undecided, "poll[2].then": undecided, "poll[3]": undecided, "poll[3].check": undecided, "poll[3].then": undecided,
			}},
		"an output that is given": {"each[b].get", workflow.Redrive{Operation: retry, Outputs: map[string]json.RawMessage{"each[b].get": json.RawMessage("1")}},
			rows{"each": run, "each[b]": run, "each[b].get": pin, "each[b].put": run, "end": run}},
		"one that is skipped": {"aside", workflow.Redrive{Operation: workflow.OperationSkip, From: []string{"aside"}}, rows{"aside": skip}},
	} {
		t.Run(name, func(t *testing.T) {
			past := done(t, nested)
			if c.fail != "" {
				fails(past, c.fail)
			}
			if len(c.ask.Outputs) > 0 {
				c.ask.From = nil
			}
			p, problems := c.ask.Make(past)
			require.Empty(t, problems)
			require.Equal(t, c.want, moved(p))
			for _, row := range p.Plan.Tasks {
				if c.ask.Scope == workflow.ScopeOnly && row.Action == workflow.PlanKeep {
					require.Contains(t, row.Reason, "only the tasks that were named run", row.Ref)
				}
			}
		})
	}
}

func TestUnsafeTasksThatRunAgainMustBeAcknowledged(t *testing.T) {
	past := done(t, nested)
	r := workflow.Redrive{Operation: workflow.OperationRerun, From: []string{"each"}}
	p, problems := r.Make(past)
	require.Empty(t, problems)
	require.Equal(t, []string{"each.put"}, p.Plan.Acknowledge, "once for all items")
	hash := p.Plan.PlanHash
	r.Acknowledge = p.Plan.Acknowledge
	p, problems = r.Make(past)
	require.Empty(t, problems)
	require.Empty(t, p.Plan.Acknowledge)
	require.Equal(t, hash, p.Plan.PlanHash, "what is acknowledged is not a part of the plan")
}

// TestPlansAreSound holds plans of anything in anything to what is true of every plan.
func TestPlansAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		past := done(t, nested)
		refs := slices.Sorted(maps.Keys(past.Tasks))
		for range rapid.IntRange(0, 2).Draw(t, "failures") {
			if ref := rapid.SampledFrom(refs).Draw(t, "fails"); past.Tasks[ref].Status == workflow.TaskSucceeded {
				fails(past, ref)
			}
		}
		r := workflow.Redrive{
			Operation: rapid.SampledFrom([]workflow.Operation{workflow.OperationRetry, workflow.OperationRerun}).Draw(t, "operation"),
			Scope:     rapid.SampledFrom([]workflow.Reach{workflow.ScopeDownstream, workflow.ScopeOnly, workflow.ScopeChanged}).Draw(t, "scope"),
			Identity:  rapid.SampledFrom([]workflow.Identity{workflow.InPlace, workflow.NewExecution}).Draw(t, "identity"),
		}
		r.From = rapid.SliceOfNDistinct(rapid.SampledFrom(append(refs, "sub/x", "sub/y", "nope", "each[z]", "poll[9]")), 0, 3, rapid.ID).Draw(t, "from")
		first, problems := r.Make(past)
		again, _ := r.Make(past)
		require.Equal(t, first, again, "the same from the same")
		if len(problems) > 0 {
			require.Nil(t, first)
			for _, p := range problems {
				require.NotEmpty(t, p.Field)
				require.NotEmpty(t, p.Message)
			}
			return
		}
		sound(t, &r, past, first)
	})
}

func sound(t *rapid.T, r *workflow.Redrive, past *workflow.Case, p *workflow.Planned) {
	rows := map[string]workflow.PlanRow{}
	for _, row := range p.Plan.Tasks {
		require.NotContains(t, rows, row.Ref, "one row a task")
		require.NotEmpty(t, row.Reason)
		rows[row.Ref] = row
	}
	for ref := range past.Tasks {
		require.Contains(t, rows, ref, "every task has a row")
	}
	stepped := map[string]workflow.Step{}
	for _, s := range p.Parts[0].Steps {
		require.NotContains(t, stepped, s.Ref, "one step a task")
		stepped[s.Ref] = s
		require.Equal(t, past.Tasks[s.Ref].Attempt, s.Attempt)
		require.NotEqual(t, workflow.PlanKeep, rows[s.Ref].Action, "what stays has no step: %s", s.Ref)
	}
	for _, ref := range r.From {
		if _, mine := past.Tasks[ref]; mine && r.Scope != workflow.ScopeChanged {
			require.NotEqual(t, workflow.PlanKeep, rows[ref].Action, "%s was named", ref)
		}
	}
	for ref := range past.Tasks {
		at, _ := past.Target.Place(ref)
		for _, need := range at.SiblingRefs(at.Needs) {
			if r.Scope == workflow.ScopeDownstream && rows[need].Action == workflow.PlanRun {
				require.NotEqual(t, workflow.PlanKeep, rows[ref].Action, "%s needs %s, which runs again", ref, need)
			}
		}
		if holder := workflow.Outside(ref); holder != "" && rows[ref].Action == workflow.PlanRun {
			require.NotEqual(t, workflow.PlanKeep, rows[holder].Action, "%s runs again in %s", ref, holder)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("each[a].get", "sub/x", byte(0))
	f.Add("poll[2]", "", byte(1))
	f.Add("../x", "a//b", byte(2))
	past := done(f, nested)
	f.Fuzz(func(t *testing.T, a, b string, kind byte) {
		r := workflow.Redrive{
			Operation: []workflow.Operation{workflow.OperationRetry, workflow.OperationRerun, workflow.OperationSkip, workflow.OperationComplete}[kind%4],
			From:      []string{a}, TaskInput: map[string]json.RawMessage{b: json.RawMessage(a)}, Outputs: map[string]json.RawMessage{b: json.RawMessage(b)},
			Acknowledge: []string{b},
		}
		if p, problems := r.Make(past); p == nil && len(problems) == 0 {
			t.Fatal(fmt.Sprint("neither a plan nor a problem: ", a, b))
		}
	})
}
