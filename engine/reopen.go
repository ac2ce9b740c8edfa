package engine

import (
	"context"
	"slices"

	"github.com/redrive/redrive/workflow"
)

// reopenBody lets a group or an iteration go on: what in it was made ready again,
// or is new, runs, and waits only for what has not ended well.
func (e *Engine) reopenBody(ctx context.Context, u *undecided, b Begin) error {
	refs := make([]string, len(u.at.Body))
	for i, n := range u.at.Body {
		refs[i] = workflow.Inside(u.at.Ref, n.Task.Name)
	}
	recs, err := e.store.Records(ctx, u.a.ID, refs)
	if err != nil {
		return err
	}
	var inside []Inside
	var roots []Successor
	for i, n := range u.at.Body {
		if rec, there := recs[refs[i]]; there && rec.Status != workflow.TaskPending {
			continue
		}
		t, s := Inside{Ref: refs[i], Waits: []string{}}, Successor{Ref: refs[i], Decide: needsGo(n)}
		for _, need := range n.Needs {
			ref := workflow.Inside(u.at.Ref, need)
			t.Needs = append(t.Needs, ref)
			if rec := recs[ref]; !(workflow.TaskState{Status: rec.Status, Continued: rec.Continued}).EndedWell() {
				t.Waits = append(t.Waits, ref)
			} else if rec.Status == workflow.TaskSkipped {
				s.Decide = true
			}
		}
		inside = append(inside, t)
		if len(t.Waits) == 0 {
			s.Decide = s.Decide || len(roots) >= StepSize
			roots = append(roots, s)
		}
	}
	b.Size, b.Roots = len(u.at.Body), roots
	return e.growAndBegin(ctx, u, b, inside, false)
}

// reopenLoop lets a loop go on at an iteration.
func (e *Engine) reopenLoop(ctx context.Context, u *undecided, b Begin) error {
	n := max(u.rec.Size, 1)
	ref := workflow.IterationRef(u.at.Ref, n)
	b.Size, b.Roots = n, []Successor{{Ref: ref, Decide: true}}
	return e.growAndBegin(ctx, u, b, []Inside{{Ref: ref}}, false)
}

// reopenEach lets a for_each go on with the list that it has.
func (e *Engine) reopenEach(ctx context.Context, u *undecided, b Begin) error {
	keys, err := e.store.ItemKeys(ctx, u.a.ID, []string{u.at.Ref})
	if err != nil {
		return err
	}
	items := make([]Inside, len(keys[0]))
	for i, key := range keys[0] {
		items[i] = Inside{Ref: workflow.ItemRef(u.at.Ref, key)}
	}
	turns, err := e.waiting(ctx, u.a.ID, items)
	if err != nil {
		return err
	}
	b.Size = len(items)
	return e.growAndBegin(ctx, u, b, turns, true)
}

// waiting are those of tasks that have not ended, or are not there yet.
func (e *Engine) waiting(ctx context.Context, id string, inside []Inside) ([]Inside, error) {
	var out []Inside
	for part := range slices.Chunk(inside, StepSize) {
		refs := make([]string, len(part))
		for i, t := range part {
			refs[i] = t.Ref
		}
		recs, err := e.store.Records(ctx, id, refs)
		if err != nil {
			return nil, err
		}
		for _, t := range part {
			if rec, there := recs[t.Ref]; !there || rec.Status == workflow.TaskPending {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

// relistEach lets a for_each go on with a list that was evaluated again: items
// that are on it and ended well stay, others run, and what is no longer on it goes.
func (e *Engine) relistEach(ctx context.Context, u *undecided, b Begin, inside []Inside) error {
	recs, err := e.store.Records(ctx, u.a.ID, nil)
	if err != nil {
		return err
	}
	listed := make(map[string]bool, len(inside))
	for _, t := range inside {
		listed[t.Ref] = true
	}
	var former []string
	for ref, rec := range recs {
		if !workflow.Within(u.at.Ref, ref) || rec.Status == workflow.TaskPending {
			continue
		}
		item := outermost(u.at.Ref, ref)
		if !listed[item] || recs[item].Reason == workflow.ReasonNotInside {
			former = append(former, ref)
		}
	}
	if err := e.roomFor(u, recs, inside); err != nil {
		return err
	}
	if err := e.renew(ctx, u, former, recs); err != nil {
		return err
	}
	if err := e.forget(ctx, u, recs, inside); err != nil {
		return err
	}
	turns, err := e.waiting(ctx, u.a.ID, inside)
	if err != nil {
		return err
	}
	if err := e.relabel(ctx, u, inside, turns); err != nil {
		return err
	}
	b.Size = len(inside)
	return e.growAndBegin(ctx, u, b, turns, true)
}

// relabel gives the items that stay their value and index in the new list: that is what
// they see should they run again.
func (e *Engine) relabel(ctx context.Context, u *undecided, inside, turns []Inside) error {
	runs := make(map[string]bool, len(turns))
	for _, t := range turns {
		runs[t.Ref] = true
	}
	stay := slices.DeleteFunc(slices.Clone(inside), func(t Inside) bool { return runs[t.Ref] })
	for part := range slices.Chunk(stay, StepSize) {
		if err := e.store.Grow(ctx, u.a.ID, u.at.Ref, u.a.Epoch, Part{Tasks: part}); err != nil {
			return err
		}
	}
	return nil
}

// reopenChild lets the sub-execution of a task go on in place.
func (e *Engine) reopenChild(ctx context.Context, u *undecided, b Begin) error {
	former, err := e.store.Attempts(ctx, u.a.ID, u.at.Ref, u.rec.Attempt)
	if err != nil {
		return err
	}
	if b.Input, err = e.formerInput(ctx, u.a.ID, u.at.Ref, u.rec.Attempt); err != nil {
		return err
	}
	if len(former) > 0 {
		b.InputHash = former[len(former)-1].Hash
	}
	b.Child, b.Plan = u.rec.Child, u.rec.Plan
	if err := e.commence(ctx, u, b); err != nil {
		return err
	}
	return e.settleChild(ctx, u)
}
