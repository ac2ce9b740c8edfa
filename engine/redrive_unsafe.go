package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// replaced is a sub-execution that another one takes the place of.
type replaced struct {
	path string // the refs of the tasks that lead to it, each with a slash behind it
	id   string
}

// replacedAtOnce is how many sub-executions are looked at in one trip.
const replacedAtOnce = 100

// askOfReplaced adds to a plan what has unsafe effects in sub-executions that start anew:
// these tasks happen again, too, though the plan does not reach into them.
func (e *Engine) askOfReplaced(ctx context.Context, m *redriving) error {
	rows := map[string][]workflow.PlanRow{} // by the task of the outermost execution that they are behind
	request := m.within()
	for next := m.replaced(); len(next) > 0; {
		part := next[:min(replacedAtOnce, len(next))]
		next = next[len(part):]
		ids := make([]string, len(part))
		for i, r := range part {
			ids[i] = r.id
		}
		branches, err := e.store.Branches(ctx, ids)
		if err != nil {
			return err
		}
		for i, b := range branches {
			if b == nil {
				continue
			}
			inner, found, err := e.unsafeIn(ctx, part[i].path, b)
			if err != nil {
				return err
			}
			next = append(next, inner...)
			for _, row := range found {
				holder, _, _ := strings.Cut(row.Ref, "/")
				rows[holder] = append(rows[holder], row)
				m.planned.Plan.Asks(request, row.Ref)
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	var all []workflow.PlanRow
	for _, row := range m.planned.Plan.Tasks {
		all = append(all, row)
		all = append(all, rows[row.Ref]...)
	}
	m.planned.Plan.Tasks = all
	return nil
}

// replaced are the sub-executions of tasks that begin again with others.
func (m *redriving) replaced() (all []replaced) {
	goesOn := map[*workflow.Case]bool{}
	for _, p := range m.planned.Parts {
		goesOn[p.Case] = true
	}
	begins := map[string]bool{}
	for _, row := range m.planned.Plan.Tasks {
		begins[row.Ref] = row.Action == workflow.PlanRun || row.Action == workflow.PlanCancel || row.Action == workflow.PlanUndecided
	}
	for path, c := range m.paths {
		for ref, rec := range m.cases[c].recs {
			if child := c.Children[ref]; rec.Child != "" && begins[path+ref] && (child == nil || !goesOn[child]) {
				all = append(all, replaced{path + ref + "/", rec.Child})
			}
		}
	}
	slices.SortFunc(all, func(a, b replaced) int { return strings.Compare(a.path, b.path) })
	return all
}

// unsafeIn answers the tasks of a sub-execution that began and have unsafe effects, and its own sub-executions.
func (e *Engine) unsafeIn(ctx context.Context, path string, b *Branch) (inner []replaced, rows []workflow.PlanRow, err error) {
	p, err := e.program(ctx, b.Project, b.DefinitionHash, b.ID)
	if err != nil {
		return nil, nil, err
	}
	unsafe := len(b.Children) > 0
	p.Walk(func(n *workflow.Node) { unsafe = unsafe || n.Effects == workflow.EffectsUnsafe })
	if !unsafe {
		return nil, nil, nil
	}
	recs, err := e.store.Records(ctx, b.ID, nil)
	if err != nil {
		return nil, nil, err
	}
	for ref, rec := range recs {
		if rec.Child != "" {
			inner = append(inner, replaced{path + ref + "/", rec.Child})
		}
		if at, ok := p.Place(ref); ok && at.Effects == workflow.EffectsUnsafe && rec.Attempt > 0 && !at.Holds() {
			rows = append(rows, workflow.PlanRow{
				Ref: path + ref, Action: workflow.PlanUndecided, Reason: "its sub-execution starts anew", Status: rec.Status, Attempt: rec.Attempt, Effects: at.Effects,
			})
		}
	}
	slices.SortFunc(rows, func(a, b workflow.PlanRow) int { return strings.Compare(a.Ref, b.Ref) })
	return inner, rows, nil
}
