package engine

import (
	"context"
	"encoding/json"

	"github.com/redrive/redrive/workflow"
)

// view is the output of a task that holds others: it is not stored, but put
// together from theirs. Of a for_each it is a list in the order of its items, of
// a group an object by the names of its tasks, of a loop that of its last iteration.
type view struct {
	ref    string
	names  []string // of an object
	parts  []*view
	output json.RawMessage
	list   bool
	leaf   bool
	pass   bool // its output is that of its only part
}

// views answers the outputs of tasks, most of which hold others. ErrTooLarge.
func (e *Engine) views(ctx context.Context, id string, p *program, refs []string) ([]json.RawMessage, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	roots := make([]*view, len(refs))
	for i, ref := range refs {
		roots[i] = &view{ref: ref}
	}
	var leaves []*view
	for open := roots; len(open) > 0; {
		next, err := e.unfold(ctx, id, p, open)
		if err != nil {
			return nil, err
		}
		open = open[:0:0]
		for _, v := range next {
			if v.leaf {
				leaves = append(leaves, v)
			} else {
				open = append(open, v)
			}
		}
	}
	for _, v := range roots {
		if v.leaf {
			leaves = append(leaves, v)
		}
	}
	if err := e.readLeaves(ctx, id, leaves); err != nil {
		return nil, err
	}
	outputs := make([]json.RawMessage, len(roots))
	for i, v := range roots {
		outputs[i] = v.appendTo(nil)
		if len(outputs[i]) > e.o.Limits.ViewBytes {
			return nil, ErrTooLarge
		}
	}
	return outputs, nil
}

// unfold finds the parts of views, and answers them.
func (e *Engine) unfold(ctx context.Context, id string, p *program, open []*view) ([]*view, error) {
	var each, loops []*view
	var next []*view
	for _, v := range open {
		at, ok := p.Place(v.ref)
		switch {
		case !ok || !at.Holds():
			v.leaf = true
			continue
		case at.Role == workflow.RoleEach:
			v.list = true
			each = append(each, v)
		case at.Role == workflow.RoleLoop:
			v.pass = true
			loops = append(loops, v)
		default:
			for _, n := range at.Body {
				v.names = append(v.names, n.Task.Name)
				v.parts = append(v.parts, part(p, workflow.Inside(v.ref, n.Task.Name)))
			}
		}
	}
	keys, err := e.store.ItemKeys(ctx, id, refsOf(each))
	if err != nil {
		return nil, err
	}
	for i, v := range each {
		for _, key := range keys[i] {
			v.parts = append(v.parts, part(p, workflow.ItemRef(v.ref, key)))
		}
	}
	if len(loops) > 0 {
		recs, err := e.store.Records(ctx, id, refsOf(loops))
		if err != nil {
			return nil, err
		}
		for _, v := range loops {
			if n := recs[v.ref].Size; n > 0 {
				v.parts = []*view{part(p, workflow.IterationRef(v.ref, n))}
			}
		}
	}
	for _, v := range open {
		next = append(next, v.parts...)
	}
	return next, nil
}

func part(p *program, ref string) *view {
	at, ok := p.Place(ref)
	return &view{ref: ref, leaf: !ok || !at.Holds()}
}

func refsOf(views []*view) []string {
	refs := make([]string, len(views))
	for i, v := range views {
		refs[i] = v.ref
	}
	return refs
}

func (e *Engine) readLeaves(ctx context.Context, id string, leaves []*view) error {
	outputs, err := e.store.Outputs(ctx, id, refsOf(leaves), e.o.Limits.ViewBytes)
	if err != nil {
		return err
	}
	for i, v := range leaves {
		v.output = outputs[i]
	}
	return nil
}

// appendTo writes the view as JSON.
func (v *view) appendTo(out []byte) []byte {
	switch {
	case v.leaf && v.output != nil:
		return append(out, v.output...)
	case v.leaf, v.pass && len(v.parts) == 0:
		return append(out, "null"...)
	case v.pass:
		return v.parts[0].appendTo(out)
	}
	open, shut := byte('{'), byte('}')
	if v.list {
		open, shut = '[', ']'
	}
	out = append(out, open)
	for i, p := range v.parts {
		if i > 0 {
			out = append(out, ',')
		}
		if !v.list {
			out = append(out, '"')
			out = append(out, v.names[i]...) // a name needs no escapes
			out = append(out, '"', ':')
		}
		out = p.appendTo(out)
	}
	return append(out, shut)
}
