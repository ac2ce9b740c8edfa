package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Compared is two executions, or two attempts of a task, side by side. The diffs are JSON Patches
// (RFC 6902) that lead from the first to the second; nil = equal.
type Compared struct {
	A, B       Side
	Input      json.RawMessage
	Output     json.RawMessage
	Error      json.RawMessage
	Definition json.RawMessage // of the two canonical definitions; of attempts those of the task
	Tasks      []TaskPair      // of executions: those that differ, in order
	Truncated  bool            // more tasks differ than are shown
}

// Side is one of two that are compared.
type Side struct {
	Execution string
	Ref       string // of attempts
	Attempt   int
	Redrive   int
	Version   int
	Status    string
	Duration  float64 // seconds from start to end; 0 where one of them is missing
	Error     *workflow.Error
}

// TaskPair is a task that differs between two executions. A status is "" where the task is not there.
// What holds others has no output of its own: theirs are compared.
type TaskPair struct {
	Ref                  string
	A, B                 workflow.TaskStatus
	Input, Output, Error bool // differ
	DurationA, DurationB float64
}

const (
	maxTaskPairs = 1000 // shown of two executions
	pairsAtATime = 100  // read at once, each up to four values
)

// CompareExecutions compares two executions of one project. One of another project is not found.
func (e *Engine) CompareExecutions(ctx context.Context, a, b string) (*Compared, error) {
	x, err := e.Execution(ctx, a)
	if err != nil {
		return nil, err
	}
	y, err := e.Execution(ctx, b)
	if err != nil {
		return nil, err
	}
	if x.Project != y.Project {
		return nil, NotFound("execution", b)
	}
	c := &Compared{A: x.side(), B: y.side()}
	from, to := TaskValue{Input: x.Input, Output: x.Output, Error: x.Error}, TaskValue{Input: y.Input, Output: y.Output, Error: y.Error}
	if err := c.values(from, to); err != nil {
		return nil, err
	}
	if x.DefinitionHash != y.DefinitionHash {
		if c.Definition, err = e.diffDefinitions(ctx, x, y); err != nil {
			return nil, err
		}
	}
	pairs, err := e.pairs(ctx, x, y)
	if err != nil {
		return nil, err
	}
	return c, e.diffTasks(ctx, c, pairs)
}

func (x *Execution) side() Side {
	return Side{
		Execution: x.ID, Redrive: x.Redrives, Version: x.Version, Status: string(x.Status),
		Duration: seconds(x.StartedAt, x.EndedAt), Error: x.Error,
	}
}

func seconds(from, to *time.Time) float64 {
	if from == nil || to == nil {
		return 0
	}
	return to.Sub(*from).Seconds()
}

// values fills in how two inputs, outputs and errors differ.
func (c *Compared) values(a, b TaskValue) (err error) {
	if c.Input, err = workflow.DiffJSON(a.Input, b.Input); err != nil {
		return err
	}
	if c.Output, err = workflow.DiffJSON(a.Output, b.Output); err != nil {
		return err
	}
	c.Error, err = diffValues(a.Error, b.Error)
	return err
}

// diffValues compares what is written as JSON.
func diffValues(a, b any) (json.RawMessage, error) {
	from, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("engine: encoding what is compared: %w", err)
	}
	to, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("engine: encoding what is compared: %w", err)
	}
	return workflow.DiffJSON(from, to)
}

func (e *Engine) diffDefinitions(ctx context.Context, x, y *Execution) (json.RawMessage, error) {
	from, err := e.store.Definition(ctx, x.Project, x.DefinitionHash, x.ID)
	if err != nil {
		return nil, err
	}
	to, err := e.store.Definition(ctx, y.Project, y.DefinitionHash, y.ID)
	if err != nil {
		return nil, err
	}
	return workflow.DiffJSON(from, to)
}

// pairing is a task of either of two executions, or of both.
type pairing struct {
	ref  string
	a, b *placed
}

// pairs answers the tasks of two executions in the order of the first, those that
// only the second has behind the one that they follow there.
func (e *Engine) pairs(ctx context.Context, x, y *Execution) ([]pairing, error) {
	var sides [2][]placed
	for i, of := range []*Execution{x, y} {
		p, err := e.program(ctx, of.Project, of.DefinitionHash, of.ID)
		if err != nil {
			return nil, err
		}
		if sides[i], err = e.placedTasks(ctx, of.ID, p); err != nil {
			return nil, err
		}
	}
	return merged(sides[0], sides[1]), nil
}

func merged(a, b []placed) []pairing {
	first := make(map[string]*placed, len(a))
	for i := range a {
		first[a[i].Ref] = &a[i]
	}
	second := make(map[string]*placed, len(b))
	behind := map[string][]pairing{} // by the ref in both that they follow, "" = none
	last := ""
	for i := range b {
		ref := b[i].Ref
		if second[ref] = &b[i]; first[ref] != nil {
			last = ref
			continue
		}
		behind[last] = append(behind[last], pairing{ref: ref, b: &b[i]})
	}
	all := behind[""]
	for i := range a {
		ref := a[i].Ref
		all = append(append(all, pairing{ref, &a[i], second[ref]}), behind[ref]...)
	}
	return all
}

// diffTasks fills in which tasks differ.
func (e *Engine) diffTasks(ctx context.Context, c *Compared, pairs []pairing) error {
	for part := range slices.Chunk(pairs, pairsAtATime) {
		from, err := e.presentValues(ctx, c.A.Execution, part, func(p pairing) *placed { return p.a })
		if err != nil {
			return err
		}
		to, err := e.presentValues(ctx, c.B.Execution, part, func(p pairing) *placed { return p.b })
		if err != nil {
			return err
		}
		for i, p := range part {
			t, differs := p.compare(from[i], to[i])
			switch {
			case !differs:
			case len(c.Tasks) == maxTaskPairs:
				c.Truncated = true
				return nil
			default:
				c.Tasks = append(c.Tasks, t)
			}
		}
	}
	return nil
}

// presentValues reads what one side of the pairs took and gave; nothing where it is not there.
func (e *Engine) presentValues(ctx context.Context, id string, pairs []pairing, side func(pairing) *placed) ([]TaskValue, error) {
	all := make([]TaskValue, len(pairs))
	var refs []string
	var attempts, at []int
	for i, p := range pairs {
		if t := side(p); t != nil {
			refs, attempts, at = append(refs, t.Ref), append(attempts, t.rec.Attempt), append(at, i)
		}
	}
	values, err := e.store.TaskValues(ctx, id, refs, attempts, true)
	for i, v := range values {
		if t := side(pairs[at[i]]); !t.rec.Begun() {
			v = TaskValue{Output: v.Output}
		}
		all[at[i]] = v
	}
	return all, err
}

func (p pairing) compare(a, b TaskValue) (TaskPair, bool) {
	t := TaskPair{
		Ref: p.ref, Input: !workflow.SameJSON(a.Input, b.Input), Output: !workflow.SameJSON(a.Output, b.Output), Error: !reflect.DeepEqual(a.Error, b.Error),
	}
	if p.a != nil {
		t.A, t.DurationA = p.a.rec.Status, seconds(at(p.a.rec.Started), at(p.a.rec.Ended))
	}
	if p.b != nil {
		t.B, t.DurationB = p.b.rec.Status, seconds(at(p.b.rec.Started), at(p.b.rec.Ended))
	}
	return t, t.A != t.B || t.Input || t.Output || t.Error
}
