package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// RetryRequest asks to run failed tasks of an ended execution again.
type RetryRequest struct {
	From       []string // refs; empty = every task that failed, timed out or was canceled
	Reason, By string
}

// Retry runs failed tasks again with all that depends on them; the rest keeps
// its results. KindConflict nothing_to_retry, not_retryable or plan_changed.
func (e *Engine) Retry(ctx context.Context, id string, r RetryRequest) (*Execution, error) {
	x, err := e.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	if !x.Status.Ended() {
		return nil, Conflict("not_retryable", "execution %s is %s; retry is possible when it is failed, timed_out or canceled", x.ID, x.Status)
	}
	if x.Parent != nil {
		return nil, Conflict("not_retryable", "execution %s is a part of execution %s; retry that one", x.ID, x.Parent.Execution)
	}
	if x.Status == workflow.ExecutionSucceeded {
		return nil, Conflict("nothing_to_retry", "execution %s has succeeded: of what failed in it, on_failure: continue let it go on without", x.ID)
	}
	p, err := e.program(ctx, x.Project, x.DefinitionHash)
	if err != nil {
		return nil, err
	}
	recs, err := e.store.Records(ctx, x.ID, nil)
	if err != nil {
		return nil, err
	}
	states := make(map[string]workflow.TaskState, len(recs))
	for ref, rec := range recs {
		states[ref] = workflow.TaskState{Status: rec.Status, Attempt: rec.Attempt, Continued: rec.Continued}
	}
	plan, problems := p.PlanRetry(r.From, states)
	if len(problems) > 0 {
		return nil, Invalid("request_invalid", "the execution cannot be retried so", problems...)
	}
	if err := e.redrive(ctx, x, p, plan, states, r); err != nil {
		return nil, err
	}
	e.deleteArchived(ctx, x, p, plan, recs)
	return e.Execution(ctx, x.ID)
}

func (e *Engine) redrive(ctx context.Context, x *Execution, p *program, plan workflow.RetryPlan, states map[string]workflow.TaskState, r RetryRequest) error {
	apply := Redrive{Execution: x.ID, Epoch: x.Redrives, Revision: x.Revision, By: r.By, Reason: r.Reason, Reset: plan.Reset, Deadline: time.Duration(p.Definition.Timeout)}
	for _, ref := range plan.Start {
		s := successor(p.Node(ref))
		s.Ref = ref
		s.Decide = s.Decide || len(apply.Run) >= StepSize // the rest goes one by one
		for _, need := range p.Node(ref).Needs {
			s.Decide = s.Decide || states[need].Status == workflow.TaskSkipped
		}
		apply.Run = append(apply.Run, s)
	}
	if states[workflow.HandlersPath].Status.Ended() { // they run again when it fails again
		apply.Reset[workflow.HandlersPath] = nil
	}
	got, err := e.enter(ctx, Entry{Project: x.Project, Workflow: x.Workflow, Execution: x.ID, Number: x.Number, Epoch: x.Redrives + 1, Tasks: len(plan.Reset)})
	if err != nil {
		return err
	}
	apply.Waits, apply.Till = got.Waits, got.Till
	settled, err := e.store.Redrive(ctx, apply)
	var status *StatusError
	switch {
	case errors.Is(err, ErrMoved), errors.As(err, &status):
		return Conflict("plan_changed", "execution %s changed meanwhile; look at it again", x.ID)
	case errors.Is(err, ErrGone):
		return NotFound("execution", x.ID)
	case err != nil:
		return fmt.Errorf("engine: retrying %s: %w", x.ID, err)
	}
	e.documents.Remove(x.ID)
	d, p, err := e.document(ctx, x.ID)
	if err != nil {
		return err
	}
	e.indexed(ctx, x.ID)
	e.follow(ctx, x.ID, d, p, settled)
	return nil
}

// deleteArchived removes the archived jobs of attempts that a retry superseded.
func (e *Engine) deleteArchived(ctx context.Context, x *Execution, p *program, plan workflow.RetryPlan, recs map[string]Record) {
	d := &Document{Priority: x.Priority}
	for ref := range plan.Reset {
		rec := recs[ref]
		if rec.Attempt == 0 || rec.Control != "" || (rec.Status != workflow.TaskFailed && rec.Status != workflow.TaskTimedOut) {
			continue
		}
		f := Fence{Execution: x.ID, Ref: ref, Attempt: rec.Attempt, Dispatch: rec.Dispatch}
		if err := e.store.DeleteJob(ctx, job(d, p.Node(ref), f)); err != nil {
			e.log.Debug("an archived job stays in asynq until it is purged", "job", f.JobID(), "error", err)
		}
	}
}

// RetryJob is what "run" on the archived job of a failed attempt means: retry that task.
func (e *Engine) RetryJob(ctx context.Context, f Fence, by string) error {
	recs, err := e.store.Records(ctx, f.Execution, []string{f.Ref})
	if err != nil {
		return err
	}
	if rec := recs[f.Ref]; rec.Attempt != f.Attempt {
		return Conflict("plan_changed", "attempt %d of task %s is not its newest: it was retried already", f.Attempt, f.Ref)
	}
	outermost := f.Ref // what runs again is the whole for_each, group or loop around it
	for up := workflow.Outside(outermost); up != ""; up = workflow.Outside(outermost) {
		outermost = up
	}
	_, err = e.Retry(ctx, f.Execution, RetryRequest{From: []string{outermost}, Reason: "run in asynqmon", By: by})
	return err
}
