package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/redrive/redrive/workflow"
)

// attempted is one attempt of a task, with what there is to compare.
type attempted struct {
	Side
	TaskValue
	definition *workflow.Task // nil where the task was not in it
}

// CompareAttempts compares two attempts of a task. The ref of one inside a
// sub-workflow stands behind its task and a slash.
func (e *Engine) CompareAttempts(ctx context.Context, id, ref string, a, b int) (*Compared, error) {
	x, _, t, err := e.innerTask(ctx, id, ref)
	if err != nil {
		return nil, err
	}
	former, err := e.store.Attempts(ctx, x.ID, t.Ref, min(max(a, b), t.rec.Attempt))
	if err != nil {
		return nil, err
	}
	var sides [2]attempted
	for i, number := range []int{a, b} {
		if sides[i], err = e.attempted(ctx, x, t, former, number); err != nil {
			return nil, err
		}
	}
	c := &Compared{A: sides[0].Side, B: sides[1].Side}
	if err := c.values(sides[0].TaskValue, sides[1].TaskValue); err != nil {
		return nil, err
	}
	c.Definition, err = diffValues(sides[0].definition, sides[1].definition)
	return c, err
}

// attempted reads an attempt that is among the former ones, or the present one.
func (e *Engine) attempted(ctx context.Context, x *Execution, t placed, former []Record, number int) (attempted, error) {
	rec, current := t.rec, true
	if i := slices.IndexFunc(former, func(r Record) bool { return r.Attempt == number }); i >= 0 {
		rec, current = former[i], false
	}
	if rec.Attempt != number {
		missing := NotFound("attempt", itoa(number))
		missing.Message = fmt.Sprintf("task %s has no attempt %d; its newest is %d", t.Ref, number, t.rec.Attempt)
		return attempted{}, missing
	}
	read, err := e.readAttempts(ctx, x, t.Place, []Record{rec}, current)
	if err != nil {
		return attempted{}, err
	}
	hash, version := x.definitionAt(rec.Redrive)
	p, err := e.program(ctx, x.Project, hash, x.ID)
	if err != nil {
		return attempted{}, err
	}
	one := read[0]
	a := attempted{
		Side: Side{
			Execution: x.ID, Ref: t.Ref, Attempt: one.Attempt, Redrive: one.Redrive, Version: version, Status: string(one.Status),
			Duration: seconds(one.StartedAt, one.EndedAt), Error: one.Error,
		},
		TaskValue: TaskValue{Input: one.Input, Output: one.Output, Error: one.Error},
	}
	if n := p.Node(t.Ref); n != nil {
		a.definition = n.Task
	}
	return a, nil
}
