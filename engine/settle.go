package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redrive/redrive/workflow"
)

// settleHolder says how a task goes on in which nothing moves any more, or that is to end all the same.
func (e *Engine) settleHolder(ctx context.Context, u *undecided) error {
	if u.rec.Timed != "" || u.rec.Hand != "" {
		return e.cutOff(ctx, u)
	}
	// What is in it is read when it rests: read before, it would be the state of a
	// body that another process just began.
	rests, err := e.store.Rests(ctx, u.a.ID, u.at.Ref)
	if err == nil && !rests {
		err = ErrMoved
	}
	if err != nil {
		return err
	}
	inner, err := e.inner(ctx, u)
	if err != nil {
		return err
	}
	var unread error
	closing := u.at.Close(inner, func() (ended bool, bad *workflow.Error) {
		ended, bad, unread = e.loopEnded(ctx, u)
		return ended, bad
	})
	if unread != nil {
		return unread
	}
	if closing.Again {
		if u.a.Status == workflow.ExecutionPaused {
			return errPostponed
		}
		return e.store.Again(ctx, u.a.ID, u.at.Ref, u.a.Epoch, u.rec.Attempt, u.rec.Size)
	}
	if _, err := e.dropRefs(ctx, u.a, u.drop(workflow.TaskCanceled, closing.Reason, DropIfRests, closing.Unreached)); err != nil {
		return err
	}
	if closing.Status == workflow.TaskSucceeded {
		return e.closeTask(ctx, u, Close{When: CloseRests, To: workflow.TaskSucceeded})
	}
	return e.failControl(ctx, u, closing.Error, false, CloseRests)
}

// drop is an end of what a task holds, as long as what it rests on is so.
func (u *undecided) drop(to workflow.TaskStatus, reason string, only DropIf, refs []string) Drop {
	return Drop{To: to, Reason: reason, If: only, Holder: u.at.Ref, Attempt: u.rec.Attempt, Refs: refs}
}

// inner reads what a task holds directly, in order; of a loop its last iteration.
func (e *Engine) inner(ctx context.Context, u *undecided) ([]workflow.Inner, error) {
	var refs []string
	switch u.at.Role {
	case workflow.RoleEach:
		keys, err := e.store.ItemKeys(ctx, u.a.ID, []string{u.at.Ref})
		if err != nil {
			return nil, err
		}
		for _, key := range keys[0] {
			refs = append(refs, workflow.ItemRef(u.at.Ref, key))
		}
	case workflow.RoleLoop:
		refs = []string{workflow.IterationRef(u.at.Ref, u.rec.Size)}
	default:
		for _, n := range u.at.Body {
			refs = append(refs, workflow.Inside(u.at.Ref, n.Task.Name))
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	recs, err := e.store.Records(ctx, u.a.ID, refs)
	if err != nil {
		return nil, err
	}
	inner := make([]workflow.Inner, len(refs))
	failed := -1
	for i, ref := range refs {
		rec := recs[ref]
		inner[i] = workflow.Inner{Ref: ref, TaskState: workflow.TaskState{Status: rec.Status, Attempt: rec.Attempt, Continued: rec.Continued}}
		if failed < 0 && !rec.Continued && (rec.Status == workflow.TaskFailed || rec.Status == workflow.TaskTimedOut) {
			failed = i
		}
	}
	if failed >= 0 {
		values, err := e.store.TaskValues(ctx, u.a.ID, refs[failed:failed+1], []int{inner[failed].Attempt}, true)
		if err != nil {
			return nil, err
		}
		inner[failed].Error = values[0].Error
	}
	return inner, nil
}

// loopEnded evaluates until after the iteration that just ended.
func (e *Engine) loopEnded(ctx context.Context, u *undecided) (bool, *workflow.Error, error) {
	at, _ := u.p.Place(workflow.IterationRef(u.at.Ref, u.rec.Size))
	scope, _, err := e.look(ctx, u.a.ID, u.d, u.p, sight{at: at, reads: u.at.UntilReads, inside: true})
	if bad := e.tooLarge(err); bad != nil {
		return false, bad, nil
	}
	if err != nil {
		return false, nil, err
	}
	ended, bad := u.at.Ended(scope)
	return ended, bad, nil
}

// failControl ends a task that no worker runs, or lets it be tried again.
func (e *Engine) failControl(ctx context.Context, u *undecided, failure *workflow.Error, timedOut bool, when CloseWhen) error {
	failure = fingerprinted(u.at, failure)
	if again := u.at.Role != workflow.RoleEach && u.at.Role != workflow.RoleIteration; again {
		if delay, yes := u.at.Retry.Next(u.rec.Try, failure, e.o.Random()); yes {
			f := Fence{Execution: u.a.ID, Ref: u.at.Ref, Attempt: u.rec.Attempt, Dispatch: u.rec.Dispatch}
			due, err := e.store.BackOff(ctx, Result{Fence: f, Error: failure, TimedOut: timedOut, Rests: when == CloseRests}, delay)
			if errors.Is(err, ErrStale) {
				return ErrMoved
			}
			if err == nil {
				e.timers.add(TimerRetry, f, due)
			}
			return err
		}
	}
	to := workflow.TaskFailed
	if timedOut {
		to = workflow.TaskTimedOut
	}
	return e.closeTask(ctx, u, Close{When: when, To: to, Error: failure})
}

// closeTask closes a task and does what follows.
func (e *Engine) closeTask(ctx context.Context, u *undecided, c Close) error {
	settled, err := e.store.CloseTask(ctx, u.a.ID, u.close(c))
	var status *TaskStatusError
	var early *NotDue
	switch {
	case errors.As(err, &status), errors.As(err, &early):
		return ErrMoved
	case errors.Is(err, ErrValuesFull):
		return e.failControl(ctx, u, valuesFull(fmt.Sprintf("the output has %d bytes", len(c.Output))), false, c.When)
	case err != nil:
		return err
	}
	e.metrics.task(u.at.Type, c.To, settled.Now.Sub(msTime(u.rec.Started)))
	e.relay(ctx, u.d, u.p, settled.Relay)
	if settled.State == StateEnded {
		e.ended(ctx, u.a.ID, u.d.Parent, workflow.ExecutionSucceeded)
	}
	return nil
}

// cutOff ends a task whose time is over, or that an operator ended, with all that is in it.
func (e *Engine) cutOff(ctx context.Context, u *undecided) error {
	reason := "timed_out"
	if u.rec.Hand != "" {
		reason = "superseded"
	}
	when := CloseAlways
	if u.at.Holds() {
		when = CloseRests
		if dropped, err := e.dropInside(ctx, u, reason); dropped || err != nil {
			return err // and looks again: something may have begun meanwhile
		}
	}
	if u.rec.Child != "" {
		if err := e.cancelChild(ctx, u.rec.Child, reason); err != nil {
			return err
		}
	}
	if u.rec.Hand == "" {
		return e.failControl(ctx, u, &workflow.Error{
			Code: CodeTimedOut, Retryable: true, Message: fmt.Sprintf("it did not end within its timeout of %s", u.at.Timeout),
		}, true, when)
	}
	var h hand
	if err := json.Unmarshal([]byte(u.rec.Hand), &h); err != nil {
		return fmt.Errorf("engine: what an operator said of %s cannot be read: %w", u.at.Ref, err)
	}
	c := h.close()
	c.When = when
	return e.closeTask(ctx, u, c)
}

// dropInside cancels what has not ended in a task that is to end all the same.
func (e *Engine) dropInside(ctx context.Context, u *undecided, reason string) (dropped bool, err error) {
	recs, err := e.store.Records(ctx, u.a.ID, nil)
	if err != nil {
		return false, err
	}
	within := func(ref string) bool { return workflow.Within(u.at.Ref, ref) }
	for ref, rec := range recs {
		dropped = dropped || !rec.Status.Ended() && within(ref)
	}
	if !dropped {
		return false, nil
	}
	return true, e.dropWhere(ctx, u.a, u.p, recs, u.drop(workflow.TaskCanceled, reason, DropIfCut, nil), within)
}

// CodeTimedOut is the code of an attempt that ran out of time.
const CodeTimedOut = "timed_out"
