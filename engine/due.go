package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

func msTime(ms int64) time.Time { return time.UnixMilli(ms) }

// waitingTask reads a task whose timer fired; ErrStale when it is another attempt by now.
func (e *Engine) waitingTask(ctx context.Context, f Fence) (*undecided, error) {
	x, p, err := e.open(ctx, f.Execution)
	var missing *Error
	if errors.As(err, &missing) && missing.Kind == KindNotFound {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	recs, err := e.store.Records(ctx, x.ID, []string{f.Ref})
	if err != nil {
		return nil, err
	}
	at, ok := p.Place(f.Ref)
	rec := recs[f.Ref]
	if !ok || rec.Attempt != f.Attempt || rec.Status.Ended() {
		return nil, ErrStale
	}
	a := &Agenda{Execution: *x, Epoch: x.Redrives}
	return &undecided{a: a, p: p, d: documentOf(a), at: at, rec: rec}, nil
}

// wake ends a wait whose time came.
func (e *Engine) wake(ctx context.Context, f Fence) error {
	u, err := e.waitingTask(ctx, f)
	if err != nil {
		return err
	}
	if u.a.Status == workflow.ExecutionPaused {
		return e.store.Postpone(ctx, TimerWake, f, lookAgain)
	}
	waited := time.Duration(u.rec.Due-u.rec.Started) * time.Millisecond
	output, err := json.Marshal(map[string]string{"waited": max(waited, 0).String()})
	if err != nil {
		return fmt.Errorf("engine: encoding how long %s waited: %w", f.Ref, err)
	}
	return e.closeDue(ctx, u, Close{When: CloseWoken, To: workflow.TaskSucceeded, Output: output})
}

// timeOut ends a wait or an approval whose time is over, or puts a task that
// holds others on the agenda: what is in it must end first.
func (e *Engine) timeOut(ctx context.Context, f Fence) error {
	u, err := e.waitingTask(ctx, f)
	if err != nil {
		return err
	}
	if u.rec.Status != workflow.TaskWaiting {
		if err := e.store.CutOff(ctx, f, nil); err != nil {
			return err
		}
		return e.Advance(ctx, f.Execution)
	}
	if u.a.Status == workflow.ExecutionPaused {
		return e.store.Postpone(ctx, TimerLimit, f, lookAgain)
	}
	failure := fingerprinted(u.at, &workflow.Error{Code: CodeTimedOut, Retryable: true, Message: "nothing ended it within its timeout"})
	now, err := e.store.Time(ctx)
	if err != nil {
		return err
	}
	if in := msTime(u.rec.Limit).Sub(now); in > 0 {
		return &NotDue{In: in}
	}
	if delay, again := u.at.Retry.Next(u.rec.Try, failure, e.o.Random()); again {
		fence := Fence{Execution: f.Execution, Ref: f.Ref, Attempt: f.Attempt, Dispatch: u.rec.Dispatch}
		due, err := e.store.BackOff(ctx, Result{Fence: fence, Error: failure, TimedOut: true}, delay)
		if err == nil {
			e.timers.add(TimerRetry, fence, due)
		}
		return err
	}
	return e.closeDue(ctx, u, Close{When: CloseLimit, To: workflow.TaskTimedOut, Error: failure})
}

// overdue fires what ended waits of an execution while it was paused.
func (e *Engine) overdue(ctx context.Context, x *Execution) error {
	if x.TasksSummary[workflow.TaskWaiting] == 0 {
		return nil
	}
	recs, err := e.store.Records(ctx, x.ID, nil)
	if err != nil {
		return err
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return err
	}
	for ref, rec := range recs {
		if rec.Status != workflow.TaskWaiting {
			continue
		}
		f := Fence{Execution: x.ID, Ref: ref, Attempt: rec.Attempt}
		if rec.Due > 0 {
			e.timers.add(TimerWake, f, msTime(rec.Due).Sub(now))
		}
		if rec.Limit > 0 {
			e.timers.add(TimerLimit, f, msTime(rec.Limit).Sub(now))
		}
	}
	return nil
}

// closeDue closes a waiting task, and does what follows.
func (e *Engine) closeDue(ctx context.Context, u *undecided, c Close) error {
	c.From = []workflow.TaskStatus{workflow.TaskWaiting}
	settled, err := e.store.CloseTask(ctx, u.a.ID, u.close(c))
	if _, ended := errors.AsType[*TaskStatusError](err); ended {
		return ErrStale
	}
	if err != nil {
		return err
	}
	e.metrics.task(u.at.Type, c.To, settled.Now.Sub(msTime(u.rec.Started)))
	e.follow(ctx, u.a.ID, u.d, u.p, settled)
	return nil
}

// expireExecution begins the end of an execution whose deadline, or whose pause's deadline, passed.
func (e *Engine) expireExecution(ctx context.Context, kind TimerKind, id string) error {
	x, p, err := e.open(ctx, id)
	var missing *Error
	if errors.As(err, &missing) && missing.Kind == KindNotFound {
		return ErrGone
	}
	if err != nil {
		return err
	}
	failure := &workflow.Error{Code: CodeTimedOut, Message: fmt.Sprintf("the execution did not end within its timeout of %s", x.timeout(p))}
	if kind == TimerUnpause {
		failure = &workflow.Error{Code: "pause_expired", Message: "the execution was paused and not resumed before its deadline"}
		if x.Reason != "" {
			failure.Message += "; it was paused because: " + x.Reason
		}
	}
	if err := e.store.Expire(ctx, id, kind, failure); err != nil {
		return err
	}
	e.indexed(ctx, id)
	return e.Advance(ctx, id)
}
