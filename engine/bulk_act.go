package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// onceAs makes a redrive, of an execution that was redriven so often, happen once under a token that is known before.
type onceAs struct {
	token string
	epoch int
}

// messageKept is how many bytes of the message of an error a result keeps.
const messageKept = 500

// lowPriority is that of executions in the low lane.
const lowPriority = 2

// notDone are the refusals that are failures of the operation, though the state of an execution makes them.
var notDone = []string{"acknowledge_required", "history_full", "values_limit", "execution_busy"}

// bulkOverrides compiles what a bulk operation changes in its executions.
func (e *Engine) bulkOverrides(b *Bulk) (*workflow.Overrides, error) {
	if !b.Operation.redrives() {
		return nil, nil
	}
	o, problems := workflow.CompileOverrides(b.Redrive, e.o.Limits)
	if len(problems) > 0 {
		return nil, fmt.Errorf("engine: bulk operation %s: %w", b.ID, problems)
	}
	return o, nil
}

// bulkRedrive is the request for one execution, or says why there is none.
func (e *Engine) bulkRedrive(ctx context.Context, id string, spec *BulkSpec, overrides *workflow.Overrides) (RedriveRequest, *Error, error) {
	r := RedriveRequest{Redrive: spec.Redrive, Reason: spec.Reason, By: spec.By}
	if spec.Lane == LaneLow {
		r.Priority = lowPriority
	}
	if overrides.Constant() {
		return r, nil, nil
	}
	x, err := e.store.Execution(ctx, id, true)
	if errors.Is(err, ErrGone) {
		return r, NotFound("execution", id), nil
	}
	if err != nil {
		return r, nil, err
	}
	scope := workflow.WorkflowScope{ID: x.ID, Number: x.Number, Name: x.Workflow, Version: x.Version, Input: x.Input, Error: x.Error}
	if s := x.Session; s != nil {
		scope.SessionTime, scope.Session, scope.AttemptName = s.Time.UTC().Format(time.RFC3339), s.Number, s.AttemptName
	}
	resolved, bad := overrides.Resolve(scope)
	if bad != nil {
		return r, &Error{Kind: KindInvalid, Code: bad.Code, Message: bad.Message}, nil
	}
	resolved.Priority = r.Priority
	r.Redrive = resolved
	return r, nil, nil
}

// actOn does what a bulk operation does to one execution. No result says that it goes on, and its end is awaited.
func (e *Engine) actOn(ctx context.Context, b *Bulk, f Flight, overrides *workflow.Overrides) (*BulkResult, error) {
	var after *Execution
	var err error
	var refused *Error
	request := Request{Reason: b.BulkSpec.Reason, By: b.By, Token: f.Token}
	switch b.Operation {
	case BulkPause:
		after, err = e.Pause(ctx, f.Execution, request)
	case BulkResume:
		after, err = e.Resume(ctx, f.Execution, request)
	case BulkCancel:
		_, err = e.Cancel(ctx, f.Execution, request)
	default:
		var r RedriveRequest
		r, refused, err = e.bulkRedrive(ctx, f.Execution, &b.BulkSpec, overrides)
		if err == nil && refused == nil {
			_, err = e.redriveAs(ctx, f.Execution, r, &onceAs{token: f.Token, epoch: f.Epoch})
		}
	}
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	if refused != nil && b.Operation.redrives() {
		// What was made of an execution that it was done to already, by a driver that died, says nothing.
		if done, err := e.doneTo(ctx, b, f); done || err != nil {
			return nil, err
		}
	}
	switch {
	case refused == nil && after == nil:
		return nil, nil
	case refused == nil:
		return &BulkResult{Outcome: OutcomeSucceeded, Before: f.Before, After: string(after.Status)}, nil
	case refused.Kind == KindUnavailable || refused.Code == "execution_busy":
		return nil, refused
	}
	r := &BulkResult{Outcome: OutcomeSkipped, Before: f.Before, Code: refused.Code, Message: shortened(refused.Error(), messageKept)}
	if refused.Kind != KindConflict && refused.Kind != KindNotFound || slices.Contains(notDone, refused.Code) {
		r.Outcome = OutcomeFailed
	}
	heads, err := e.store.Heads(ctx, []string{f.Execution})
	if err == nil && heads[0] != nil {
		r.After = string(heads[0].Status)
	}
	return r, err
}

// doneTo reports whether the operation was done to an execution, by whichever process: its token tells.
func (e *Engine) doneTo(ctx context.Context, b *Bulk, f Flight) (bool, error) {
	if !b.Operation.redrives() {
		return e.store.Controlled(ctx, f.Execution, f.Token)
	}
	once := &once{token: f.Token, anew: b.Redrive.Identity == workflow.NewExecution}
	x := &Execution{ID: f.Execution}
	if !once.anew {
		var err error
		if x, err = e.store.Execution(ctx, f.Execution, false); errors.Is(err, ErrGone) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	made, err := e.redrivenBefore(ctx, x, once)
	return made != nil, err
}

// outcomeOf answers what became of an execution that the operation was done to; nil as long as it goes on.
func (e *Engine) outcomeOf(ctx context.Context, b *Bulk, f Flight, x *Execution) (*BulkResult, error) {
	r := &BulkResult{Outcome: OutcomeFailed, Before: f.Before}
	anew := b.Redrive.Identity == workflow.NewExecution
	if anew {
		r.Into = f.Token
	}
	switch {
	case x == nil:
		r.Code, r.Message = "execution_not_found", "it was removed before its end was seen"
		return r, nil
	case !x.Status.Ended():
		return nil, nil
	case b.Operation == BulkCancel && x.Status == workflow.ExecutionCanceled:
		r.Outcome = OutcomeSucceeded
	case b.Operation == BulkCancel:
	case !anew && x.Redrives <= f.Epoch: // a part of another execution, whose task has not had its turn
		ended, err := e.endedAbove(ctx, x)
		if err != nil || !ended {
			return nil, err
		}
		r.Code, r.Message = "not_reached", "the execution that it is a part of ended before it went on"
	case x.Status == workflow.ExecutionSucceeded:
		r.Outcome = OutcomeSucceeded
	}
	r.After = string(x.Status)
	if r.Outcome == OutcomeFailed && r.Code == "" {
		full, err := e.store.Execution(ctx, x.ID, true)
		if err != nil && !errors.Is(err, ErrGone) {
			return nil, err
		}
		if err == nil && full.Error != nil {
			r.Code, r.Message = full.Error.Code, shortened(full.Error.Message, messageKept)
		}
	}
	return r, nil
}

// endedAbove reports whether all that an execution is a part of has ended.
func (e *Engine) endedAbove(ctx context.Context, x *Execution) (bool, error) {
	for x.Parent != nil {
		above, err := e.store.Execution(ctx, x.Parent.Execution, false)
		if errors.Is(err, ErrGone) {
			return true, nil
		}
		if err != nil || !above.Status.Ended() {
			return false, err
		}
		x = above
	}
	return true, nil
}
