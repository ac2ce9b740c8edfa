package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Run is a claimed delivery: what a worker needs to run it and to report on it.
type Run struct {
	Fence
	Node              *workflow.Node
	Project, Workflow string
	Number            int64
	Try               int
	Input             json.RawMessage // resolved, with secrets
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
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return nil, err
	}
	var reads []string
	if n := p.Node(f.Ref); n != nil {
		reads = n.InputReads.Tasks
	}
	c, err := e.store.Claim(ctx, f, worker, e.o.Lease, d.Epoch, reads)
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
			if p, err = e.program(ctx, d.Project, d.Definition); err != nil {
				return nil, err
			}
			if c.Reads, reads, err = e.reread(ctx, f, p); err != nil {
				return nil, err
			}
		}
	}
	n := p.Node(f.Ref)
	if n == nil {
		return nil, fmt.Errorf("engine: definition %s has no task %q", d.Definition, f.Ref)
	}
	r := &Run{
		Fence: f, Node: n, Project: d.Project, Workflow: d.Workflow, Number: d.Number, Try: c.Try,
		StartedAt: c.Now, Sent: c.Sent, document: d, program: p,
	}
	e.resolve(r, reads, c.Reads)
	return r, nil
}

// reread reads what the task reads under the definition it really runs from.
func (e *Engine) reread(ctx context.Context, f Fence, p *program) ([]Read, []string, error) {
	n := p.Node(f.Ref)
	if n == nil {
		return nil, nil, nil
	}
	_, _, reads, err := e.store.Values(ctx, f.Execution, n.InputReads.Tasks)
	return reads, n.InputReads.Tasks, err
}

func (e *Engine) resolve(r *Run, refs []string, reads []Read) {
	s := r.document.scope(r.Execution)
	s.Tasks = taskScopes(refs, reads)
	s.Secret = e.o.Secrets
	if r.recorded, r.Err = r.Node.Recorded(s); r.Err == nil {
		r.Input = r.recorded
		if len(r.Node.InputReads.Secrets) > 0 {
			r.Input, r.Err = r.Node.Input(s)
		}
	}
	sum := sha256.Sum256(r.recorded)
	r.hash = hex.EncodeToString(sum[:])
	r.IdempotencyKey = r.document.Root + ":" + r.Ref + ":" + r.hash[:16]
}

func taskScopes(refs []string, reads []Read) map[string]workflow.TaskScope {
	if len(refs) == 0 {
		return nil
	}
	all := make(map[string]workflow.TaskScope, len(refs))
	for i, ref := range refs {
		all[ref] = workflow.TaskScope{Status: reads[i].Status, Output: reads[i].Output, Error: reads[i].Error, Attempt: reads[i].Attempt}
	}
	return all
}

func (r *Run) result() Result {
	x := Result{Fence: r.Fence, InputHash: r.hash, Simple: r.program.simple}
	if string(r.recorded) != "{}" { // what a task without input has
		x.Input = r.recorded
	}
	return x
}
