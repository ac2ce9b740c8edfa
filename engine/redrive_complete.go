package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// complete adds to a plan what is read for people: differences and warnings.
func (e *Engine) complete(ctx context.Context, m *redriving) error {
	p := &m.planned.Plan
	p.Execution, p.Revision = m.asked.ID, m.asked.Revision
	events, err := e.store.EventCount(ctx, m.asked.ID)
	if err != nil {
		return err
	}
	content := p.PlanHash
	if m.input != nil {
		content = hashOf(append([]byte(content), m.input...))[:32]
	}
	if m.r.Identity == workflow.NewExecution {
		if content, err = e.countBranches(ctx, m, content); err != nil {
			return err
		}
	}
	p.PlanHash = planHash(m.asked.Revision, events, content)
	for _, row := range p.Tasks {
		if row.Attempt >= e.o.Limits.Attempts && row.Action != workflow.PlanKeep && row.Action != workflow.PlanLeaveRunning {
			return Conflict("history_full", "task %s has %d attempts, and no more are kept; start a new execution", row.Ref, row.Attempt)
		}
	}
	if m.input != nil {
		if p.InputDiff, err = workflow.DiffJSON(m.asked.Input, m.input); err != nil {
			return fmt.Errorf("engine: comparing inputs: %w", err)
		}
	}
	if err := e.compareDefinitions(ctx, m); err != nil {
		return err
	}
	if err := e.askOfReplaced(ctx, m); err != nil {
		return err
	}
	m.warn()
	if err := e.compareInputs(ctx, m); err != nil {
		return err
	}
	for i := range p.Tasks {
		p.Tasks[i].Ref = m.relative(p.Tasks[i].Ref)
	}
	for i := range p.Acknowledge {
		p.Acknowledge[i] = m.relative(p.Acknowledge[i])
	}
	return nil
}

// countBranches tells a plan for a further new execution from one that made the former.
func (e *Engine) countBranches(ctx context.Context, m *redriving, content string) (string, error) {
	family, err := e.store.Family(ctx, m.asked.Project, m.asked.Root, maxFamily)
	if err != nil {
		return "", err
	}
	return hashOf(fmt.Appendf(nil, "%s %d", content, len(family)))[:32], nil
}

// maxFamily bounds how many executions of a lineage are looked at.
const maxFamily = 1000

// compareDefinitions says how the version that is to run differs.
func (e *Engine) compareDefinitions(ctx context.Context, m *redriving) error {
	if m.target.Hash == m.asked.DefinitionHash {
		return nil
	}
	d := &workflow.DefinitionDiff{From: m.asked.Version, To: m.version, Added: []string{}, Removed: []string{}, Changed: []string{}}
	former := m.caseOf(m.asked.ID).Program
	m.target.Walk(func(n *workflow.Node) {
		switch old := former.Node(n.Path); {
		case old == nil:
			d.Added = append(d.Added, n.Path)
		case nodeHash(old) != nodeHash(n):
			d.Changed = append(d.Changed, n.Path)
		}
	})
	former.Walk(func(n *workflow.Node) {
		if m.target.Node(n.Path) == nil {
			d.Removed = append(d.Removed, n.Path)
		}
	})
	m.planned.Plan.DefinitionDiff = d
	return e.warnOfKept(ctx, m, d.Changed)
}

// warnOfKept says which tasks keep a result that the version that is to run may not give.
func (e *Engine) warnOfKept(ctx context.Context, m *redriving, changed []string) error {
	p := &m.planned.Plan
	var refs []string
	for _, row := range p.Tasks {
		ref, mine := strings.CutPrefix(row.Ref, m.path)
		if at, ok := m.target.Place(ref); mine && ok && !at.Holds() && row.Action == workflow.PlanKeep && row.Status == workflow.TaskSucceeded && slices.Contains(changed, at.Path) {
			refs = append(refs, ref)
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is kept although version %d changes it; rerun from it to run it again", ref, m.version))
		}
	}
	outputs, err := e.store.Outputs(ctx, m.asked.ID, refs, ValuesBytes)
	if err != nil {
		return err
	}
	for i, ref := range refs {
		at, _ := m.target.Place(ref)
		if bad := at.CheckOutput(outputs[i]); outputs[i] != nil && bad != nil {
			p.Warnings = append(p.Warnings, fmt.Sprintf("what %s gave and keeps does not fit the output_schema of version %d: %s", ref, m.version, bad.Message))
		}
	}
	return nil
}

// ownHash is over what a definition says of a task itself; what a group or for_each holds is told by its tasks.
func ownHash(n *workflow.Node) string {
	own := *n
	task := *n.Task
	task.Description = ""
	if own.Type == workflow.TypeGroup {
		task.Tasks = nil
	}
	own.Task = &task
	return nodeHash(&own)
}

// nodeHash is over what a definition says of a task.
func nodeHash(n *workflow.Node) string {
	b, err := json.Marshal(n.Task)
	if err != nil {
		return ""
	}
	return hashOf(b)
}

func (m *redriving) caseOf(id string) *workflow.Case {
	for c := range m.cases {
		if c.Execution == id {
			return c
		}
	}
	return nil
}

func (m *redriving) factsOf(id string) *facts { return m.cases[m.caseOf(id)] }

func (m *redriving) warn() {
	p := &m.planned.Plan
	if m.path != "" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("execution %s is a part of %s, whose task %s goes on with it", m.asked.ID, m.top.ID, m.path[:len(m.path)-1]))
	}
	if m.alone {
		p.Warnings = append(p.Warnings, fmt.Sprintf("execution %s was made by task %s of %s, which does not wait for it any more: it runs by itself, and changes nothing there", m.top.ID, m.top.Parent.Task, m.top.Parent.Execution))
	}
	given := map[string]bool{}
	for ref := range m.within().TaskInput {
		given[ref] = true
	}
	begins := map[string]bool{} // tasks that a new execution has from the start; the others are made with what holds them
	for _, s := range m.planned.Parts[0].Steps {
		begins[s.Ref] = s.Mode != ""
	}
	keeps := map[string]bool{}
	for _, row := range p.Tasks {
		keeps[row.Ref] = row.Action != workflow.PlanRun && row.Action != workflow.PlanCancel && row.Action != workflow.PlanUndecided
	}
	for _, path := range slices.Sorted(maps.Keys(m.paths)) {
		f := m.cases[m.paths[path]]
		for _, ref := range slices.Sorted(maps.Keys(f.recs)) {
			had := f.recs[ref].Given != ""
			switch ref = path + ref; {
			case !had || given[ref] || keeps[ref]:
			case m.r.Identity == workflow.NewExecution && !begins[ref]:
				p.Warnings = append(p.Warnings, m.relative(ref)+" has no longer the input that an earlier redrive gave it: what holds it runs as a whole")
			default:
				p.Warnings = append(p.Warnings, m.relative(ref)+" keeps the input that an earlier redrive gave it; give null as its task_input to take that away")
			}
		}
	}
	for _, part := range m.planned.Parts {
		if part.Task == "" || part.Above.Case != m.caseOf(m.asked.ID) || len(p.InputDiff) == 0 || string(p.InputDiff) == "[]" {
			continue
		}
		if at, ok := part.Above.Case.Target.Place(part.Task); ok && at.InputReads.Workflow {
			p.Warnings = append(p.Warnings, part.Task+" goes on in place, and its sub-execution keeps the input that it has; should it take anything from the new one, ask for subworkflows: restart")
		}
	}
	if m.r.Identity == workflow.NewExecution && m.r.Subworkflows == workflow.SubworkflowsResume {
		p.Warnings = append(p.Warnings, "sub-workflows that run again start anew: a sub-execution goes on in place only")
	}
}

// compareInputs says what is given as inputs of tasks in the place of what they had, and refuses what cannot fit.
func (e *Engine) compareInputs(ctx context.Context, m *redriving) error {
	p := &m.planned.Plan
	given := m.within().TaskInput
	if len(given) == 0 {
		return nil
	}
	for i := range p.Tasks {
		row := &p.Tasks[i]
		value, ok := given[row.Ref]
		slash := strings.LastIndexByte(row.Ref, '/') + 1
		c := m.paths[row.Ref[:slash]]
		if !ok || c == nil {
			continue
		}
		ref, shown := row.Ref[slash:], m.relative(row.Ref)
		if row.Action == workflow.PlanLeaveRunning && (row.Status == workflow.TaskRunning || row.Status == workflow.TaskWaiting) {
			p.Warnings = append(p.Warnings, shown+" runs, and goes on with the input that it has; what is given counts if it is tried again")
		}
		switch _, there := m.cases[c].recs[ref]; {
		case !there || row.Attempt == 0:
			continue
		case bytes.Equal(value, []byte("null")):
			p.Warnings = append(p.Warnings, shown+" gets the input again that its definition gives it")
			continue
		}
		former, err := e.formerInput(ctx, c.Execution, ref, row.Attempt)
		if err != nil {
			return err
		}
		if m.r.InputMode == workflow.InputMerge {
			if value, err = workflow.MergeJSON(former, value); err != nil {
				return fmt.Errorf("engine: merging the input of %s: %w", row.Ref, err)
			}
			at, _ := c.Target.Place(ref)
			if problems := at.CheckGiven(value, "task_input."+shown); problems != nil && at.CheckGiven(former, "") == nil {
				return cannot(problems...)
			}
		}
		if row.InputDiff, err = workflow.DiffJSON(former, value); err != nil {
			return fmt.Errorf("engine: comparing inputs of %s: %w", row.Ref, err)
		}
	}
	return nil
}

// formerInput is what an attempt had as input; {} where none was recorded.
func (e *Engine) formerInput(ctx context.Context, id, ref string, attempt int) (json.RawMessage, error) {
	values, err := e.store.TaskValues(ctx, id, []string{ref}, []int{attempt}, false)
	if err != nil {
		return nil, err
	}
	if values[0].Input == nil {
		return json.RawMessage("{}"), nil
	}
	return values[0].Input, nil
}
