package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/workflow"
)

// sight is what a task's expressions look at: where their names lead, and what
// they read. inside is set for those that are evaluated among what it holds.
type sight struct {
	at     workflow.Place
	reads  workflow.Reads
	inside bool
}

func (s sight) ref(name string) string {
	switch {
	case s.at.Node == nil: // the workflow's output
		return name
	case s.inside:
		return s.at.ReadRefInside(name)
	}
	return s.at.ReadRef(name)
}

// look reads what expressions of an execution see; extra tasks are read along
// and answered by their refs.
func (e *Engine) look(ctx context.Context, id string, d *Document, p *program, s sight, extra ...string) (workflow.Scope, map[string]Read, error) {
	refs := make([]string, 0, len(s.reads.Tasks)+len(extra))
	for _, name := range s.reads.Tasks {
		refs = append(refs, s.ref(name))
	}
	refs = append(refs, extra...)
	input, failure, reads, err := e.store.Values(ctx, id, refs, d.Input == nil && s.reads.Workflow)
	if err != nil {
		return workflow.Scope{}, nil, err
	}
	at := make(map[string]Read, len(refs))
	for i, ref := range refs {
		at[ref] = reads[i]
	}
	if d.Input == nil {
		withInput := *d
		withInput.Input = input
		d = &withInput
	}
	scope := d.scope(id)
	if s.at.Node == nil || workflow.Within(workflow.HandlersPath, s.at.Ref) { // others may be decided before or after it
		scope.Workflow.Error = failure
	}
	scope.Tasks = make(map[string]workflow.TaskScope, len(s.reads.Tasks))
	for i, name := range s.reads.Tasks {
		scope.Tasks[name] = taskScope(reads[i])
	}
	return scope, at, e.around(ctx, id, p, s, &scope)
}

// around adds to a scope what holds tasks gave, and the item and iteration that the task is in.
func (e *Engine) around(ctx context.Context, id string, p *program, s sight, scope *workflow.Scope) error {
	var names, refs []string
	for _, name := range s.reads.Tasks {
		if at, ok := p.Place(s.ref(name)); ok && at.Holds() {
			names, refs = append(names, name), append(refs, at.Ref)
		}
	}
	outputs, err := e.views(ctx, id, p, refs)
	if err != nil {
		return err
	}
	for i, name := range names {
		t := scope.Tasks[name]
		t.Output = outputs[i]
		scope.Tasks[name] = t
	}
	if s.at.Node == nil {
		return nil
	}
	if s.reads.Item {
		if scope.Item, err = e.store.Item(ctx, id, p.ItemOf(s.at.Ref)); err != nil {
			return err
		}
	}
	return e.iteration(ctx, id, p, s, scope)
}

func (e *Engine) iteration(ctx context.Context, id string, p *program, s sight, scope *workflow.Scope) error {
	ref, number := p.IterationOf(s.at.Ref)
	scope.Iteration = number
	if !s.reads.Previous || number < 2 {
		return nil
	}
	previous, err := e.views(ctx, id, p, []string{workflow.IterationRef(workflow.Outside(ref), number-1)})
	if err == nil {
		scope.Previous = previous[0]
	}
	return err
}

func taskScope(r Read) workflow.TaskScope {
	return workflow.TaskScope{Status: r.Status, Output: r.Output, Error: r.Error, Attempt: r.Attempt}
}

// tooLarge is the error of a task that reads more than may be read at once; nil for any other error.
func (e *Engine) tooLarge(err error) *workflow.Error {
	if !errors.Is(err, ErrTooLarge) {
		return nil
	}
	return &workflow.Error{
		Code:    workflow.CodeInputTooLarge,
		Message: fmt.Sprintf("it reads the outputs of a for_each, group or loop that together have more than %d bytes; let their tasks give less", e.o.Limits.ViewBytes),
	}
}
