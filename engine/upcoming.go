package engine

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/redrive/redrive/workflow"
)

// UpcomingInput answers what a task that waits to be handed out will be given, as that is recorded then: secrets as their expressions. nil
// where the task waits for no worker, or what it would be given cannot be told.
func (e *Engine) UpcomingInput(ctx context.Context, f Fence) (json.RawMessage, error) {
	recs, err := e.store.States(ctx, []Fence{f})
	if err != nil {
		return nil, err
	}
	rec := recs[0]
	if rec.Status != workflow.TaskQueued || rec.Attempt != f.Attempt {
		return nil, nil
	}
	if d, ok := e.documents.Get(f.Execution); ok && d.Epoch < rec.Redrive {
		e.documents.Remove(f.Execution) // it was redriven at another server
	}
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return nil, err
	}
	at, ok := p.Place(f.Ref)
	if !ok || at.Holds() {
		return nil, nil
	}
	scope, _, err := e.look(ctx, f.Execution, d, p, sight{at: at, reads: at.InputReads})
	if errors.Is(err, ErrTooLarge) { // it fails with that when it is handed out, as with what is below
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var input json.RawMessage
	var bad *workflow.Error
	if rec.Given == "" {
		input, bad = at.Recorded(scope)
	} else {
		var given json.RawMessage
		if given, err = e.store.Given(ctx, f.Execution, f.Ref); err != nil {
			return nil, err
		}
		input, bad = at.Given(scope, false, given)
	}
	if bad != nil {
		input = nil
	}
	return input, nil
}
