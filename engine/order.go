package engine

import (
	"context"
	"slices"

	"github.com/redrive/redrive/workflow"
)

// placed is a task of an execution with its state.
type placed struct {
	workflow.Place
	rec Record
}

// placedTasks reads every task of an execution: in a topological order, those
// inside another behind it, items and iterations in theirs.
func (e *Engine) placedTasks(ctx context.Context, id string, p *program) ([]placed, error) {
	recs, err := e.store.Records(ctx, id, nil)
	if err != nil {
		return nil, err
	}
	var each []string
	for ref, rec := range recs {
		if at, ok := p.Place(ref); ok && at.Role == workflow.RoleEach && rec.Attempt > 0 {
			each = append(each, ref)
		}
	}
	slices.Sort(each)
	lists, err := e.store.ItemKeys(ctx, id, each)
	if err != nil {
		return nil, err
	}
	o := ordering{program: p, recs: recs, keys: make(map[string][]string, len(each))}
	for i, ref := range each {
		o.keys[ref] = lists[i]
	}
	for _, n := range p.Nodes {
		o.add(n.Path)
	}
	o.add(workflow.HandlersPath)
	return o.all, nil
}

type ordering struct {
	*program
	recs map[string]Record
	keys map[string][]string
	all  []placed
}

func (o *ordering) add(ref string) {
	rec, there := o.recs[ref]
	at, ok := o.Place(ref)
	if !there || !ok {
		return
	}
	o.all = append(o.all, placed{at, rec})
	switch at.Role {
	case workflow.RoleEach:
		for _, key := range o.keys[ref] {
			o.add(workflow.ItemRef(ref, key))
		}
	case workflow.RoleLoop:
		for n := 1; ; n++ {
			next := workflow.IterationRef(ref, n)
			if _, there := o.recs[next]; !there {
				return
			}
			o.add(next)
		}
	case workflow.RoleGroup, workflow.RoleIteration:
		for _, n := range at.Body {
			o.add(workflow.Inside(ref, n.Task.Name))
		}
	}
}
