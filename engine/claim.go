package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Run is a claimed delivery: what a worker needs to run it and to report on it.
type Run struct {
	Fence
	At                workflow.Place
	Project, Workflow string
	Number            int64
	Try               int
	Input             json.RawMessage // resolved, with secrets
	Secrets           []string        // the values of those that Input holds: to be kept out of all that is reported
	IdempotencyKey    string
	Err               *workflow.Error // the input could not be resolved: report it with Fail
	StartedAt         time.Time       // by Redis' clock
	Sent              time.Time       // when the claim was sent, by this process' monotonic clock

	recorded json.RawMessage // the input as it is stored: without secrets
	hash     string          // of recorded
	document *Document
	program  *program
}

// Claim takes a delivery for a worker, at most once, and resolves its input.
// Refusals: ErrStale, ErrPaused, ErrGone, *FailedBefore.
func (e *Engine) Claim(ctx context.Context, f Fence, worker string) (*Run, error) {
	return e.claim(ctx, f, worker, e.o.Lease)
}

func (e *Engine) claim(ctx context.Context, f Fence, worker string, lease time.Duration) (*Run, error) {
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return nil, err
	}
	at, _ := p.Place(f.Ref)
	reads := p.readsOf(at)
	c, err := e.store.Claim(ctx, f, worker, lease, d.Epoch, reads)
	if err != nil {
		if errors.Is(err, ErrStale) || errors.Is(err, ErrPaused) || errors.Is(err, ErrGone) {
			e.metrics.fenced("claim")
		}
		return nil, err
	}
	if c.Document != nil {
		guessed := d.Definition
		d = c.Document
		e.remember(f.Execution, d)
		if d.Definition != guessed {
			if p, err = e.program(ctx, d.Project, d.Definition, f.Execution); err != nil {
				return nil, err
			}
			at, _ = p.Place(f.Ref)
			if c.Reads, err = e.reread(ctx, f, p, at); err != nil {
				return nil, err
			}
		}
	}
	if at.Node == nil {
		return nil, fmt.Errorf("engine: definition %s has no task %q", d.Definition, f.Ref)
	}
	r := &Run{
		Fence: f, At: at, Project: d.Project, Workflow: d.Workflow, Number: d.Number, Try: c.Try,
		StartedAt: c.Now, Sent: c.Sent, document: d, program: p,
	}
	return r, e.resolve(ctx, r, c)
}

// readsOf answers the refs of what the input of a task reads.
func (p *program) readsOf(at workflow.Place) []string {
	if at.Node == nil || len(at.InputReads.Tasks) == 0 {
		return nil
	}
	if at.Ref == at.Task.Name { // names are refs out here
		return at.InputReads.Tasks
	}
	refs := make([]string, len(at.InputReads.Tasks))
	for i, name := range at.InputReads.Tasks {
		refs[i] = at.ReadRef(name)
	}
	return refs
}

// reread reads what the task reads under the definition it really runs from.
func (e *Engine) reread(ctx context.Context, f Fence, p *program, at workflow.Place) ([]Read, error) {
	if at.Node == nil {
		return nil, nil
	}
	_, _, reads, err := e.store.Values(ctx, f.Execution, p.readsOf(at), false)
	return reads, err
}

func (e *Engine) resolve(ctx context.Context, r *Run, c *Claimed) error {
	s := r.document.scope(r.Execution)
	s.Secret = func(name string) (string, error) {
		value, err := e.o.Secrets(name)
		if err == nil {
			r.Secrets = append(r.Secrets, value)
		}
		return value, err
	}
	if names := r.At.InputReads.Tasks; len(names) > 0 {
		s.Tasks = make(map[string]workflow.TaskScope, len(names))
		for i, name := range names {
			s.Tasks[name] = taskScope(c.Reads[i])
		}
	}
	err := e.around(ctx, r.Execution, r.program, sight{at: r.At, reads: r.At.InputReads}, &s)
	if err == nil && r.At.InputReads.Workflow && workflow.Within(workflow.HandlersPath, r.Ref) {
		_, s.Workflow.Error, _, err = e.store.Values(ctx, r.Execution, nil, false)
	}
	if r.Err = e.tooLarge(err); r.Err == nil && err != nil {
		return err
	}
	if r.Err == nil {
		r.Err = r.resolveInput(s, c.Given)
	}
	r.hash = inputHash(r.recorded)
	r.IdempotencyKey = r.document.Root + ":" + r.document.Path + r.Ref + ":" + r.hash[:16]
	return nil
}

func (r *Run) resolveInput(s workflow.Scope, given json.RawMessage) (bad *workflow.Error) {
	if given != nil {
		if r.recorded, bad = r.At.Given(s, false, given); bad == nil {
			r.Input, bad = r.At.Given(s, true, given)
		}
		return bad
	}
	if r.recorded, bad = r.At.Recorded(s); bad != nil {
		return bad
	}
	r.Input = r.recorded
	if len(r.At.InputReads.Secrets) > 0 {
		r.Input, bad = r.At.Input(s)
	}
	return bad
}

func (r *Run) result() Result {
	x := Result{Fence: r.Fence, InputHash: r.hash, Simple: r.program.simple}
	if string(r.recorded) != "{}" { // what a task without input has
		x.Input = r.recorded
	}
	return x
}
