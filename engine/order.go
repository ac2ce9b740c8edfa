package engine

import (
	"context"
	"slices"
	"strings"

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

// placedTask reads a task, also one that only a former definition of the execution has.
func (e *Engine) placedTask(ctx context.Context, x *Execution, p *program, ref string) (placed, error) {
	at, ok := p.Place(ref)
	for i := len(x.Definitions) - 1; !ok && i >= 0; i-- {
		old, err := e.program(ctx, x.Project, x.Definitions[i].Hash, x.ID)
		if err != nil {
			return placed{}, err
		}
		at, ok = old.Place(ref)
	}
	if !ok {
		return placed{}, NotFound("task", ref)
	}
	recs, err := e.store.Records(ctx, x.ID, []string{ref})
	if err != nil {
		return placed{}, err
	}
	rec, there := recs[ref]
	if !there {
		return placed{}, NotFound("task", ref)
	}
	return placed{at, rec}, nil
}

// innerTask finds a task of an execution, or of the sub-executions that its ref leads through.
func (e *Engine) innerTask(ctx context.Context, id, ref string) (*Execution, *program, placed, error) {
	x, p, err := e.open(ctx, id)
	if err != nil {
		return nil, nil, placed{}, err
	}
	rest := ref
	for {
		name, inner, deeper := strings.Cut(rest, "/")
		t, err := e.placedTask(ctx, x, p, name)
		if err != nil || !deeper {
			return x, p, t, err
		}
		if t.rec.Child == "" {
			return nil, nil, placed{}, NotFound("task", ref)
		}
		if x, p, err = e.open(ctx, t.rec.Child); err != nil {
			return nil, nil, placed{}, err
		}
		rest = inner
	}
}
