package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// enter reserves a slot of its workflow for an execution, or a place in the line
// for one, and its attempt of a session. What it reserved is given back by itself:
// when the execution ends, or when it was not created in time.
func (e *Engine) enter(ctx context.Context, x Entry) (Entered, error) {
	got, err := e.store.Enter(ctx, x)
	var full *SlotsFull
	var taken *SessionTaken
	var many *SessionFull
	switch {
	case errors.As(err, &full) && full.Line:
		return got, Conflict("concurrency_limit", "so many executions of workflow %s wait already that no more may; cancel some, or raise concurrency.max_running", x.Workflow)
	case errors.As(err, &full):
		return got, Conflict("concurrency_limit", "workflow %s runs at most %d executions at once, and as many run; try again when one has ended, start with when_full: queue, or raise concurrency.max_running", x.Workflow, full.Limit)
	case errors.As(err, &taken):
		return got, e.sessionExists(ctx, x, taken)
	case errors.As(err, &many):
		return got, Conflict("session_full", "the session has %d attempts and may have no more", many.Limit)
	}
	return got, err
}

// begin lets an execution run that has its slot.
func (e *Engine) begin(ctx context.Context, id string, epoch int) error {
	status, err := e.store.Begin(ctx, id, epoch)
	if _, ok := errors.AsType[*StatusError](err); ok {
		return nil // it was canceled; its end gives the slot back
	}
	if err != nil {
		return harmless(err)
	}
	if !e.lister.add(id, nil) {
		e.indexed(ctx, id)
	}
	if status != workflow.ExecutionRunning {
		return nil
	}
	return e.Advance(ctx, id)
}

// fill lets executions run that wait for a slot of their workflow, as far as there are any.
func (e *Engine) fill(ctx context.Context, project, name string) error {
	for {
		if more, err := e.fillSome(ctx, project, name); err != nil || !more {
			return err
		}
	}
}

func (e *Engine) fillSome(ctx context.Context, project, name string) (more bool, err error) {
	turns, more, err := e.store.Fill(ctx, project, name, fillStep)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, t := range turns {
		errs = append(errs, e.begin(ctx, t.Execution, t.Epoch))
	}
	return more, errors.Join(errs...)
}

// lines are the projects in which something was ever reserved.
type lines struct{ projects []string }

func (l *lines) refresh(ctx context.Context, e *Engine) error {
	all, err := e.store.Reserving(ctx)
	if err == nil {
		l.projects = all
	}
	return err
}

// led answers the projects that are this process' to look at.
func (l *lines) led(leads [groupCount]bool) []string {
	var mine []string
	for _, project := range l.projects {
		if leads[groupOf(project)] {
			mine = append(mine, project)
		}
	}
	return mine
}

// lookAtLines repairs what crashes left in the lines of projects: what was reserved
// and never created, given and not begun, freed and not given on.
func (e *Engine) lookAtLines(ctx context.Context, projects []string) error {
	if len(projects) == 0 {
		return nil
	}
	looks, err := e.store.Overdue(ctx, projects, dueLimit)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range looks {
		switch l.Kind {
		case LookFill:
			_, err = e.fillSome(ctx, l.Project, l.Workflow) // the next sweep goes on
		case LookSession:
			err = e.lookAtSession(ctx, l)
		default:
			err = e.lookAtSlot(ctx, l)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lookAgainAtSlot is between two looks at a slot that its execution holds and has not taken.
const lookAgainAtSlot = 5 * time.Second

func (e *Engine) lookAtSlot(ctx context.Context, l Look) error {
	x, err := e.store.Execution(ctx, l.Execution, false)
	line := 0
	if err == nil {
		if line = x.Redrives; x.Waits {
			line = x.Line
		}
	}
	switch {
	case errors.Is(err, ErrGone) || err == nil && line < l.Epoch: // reserved, and never created or redriven
		e.metrics.repaired("reservation")
		return e.leave(ctx, l, l.Due)
	case err != nil:
		return err
	case x.Status.Ended() || line > l.Epoch:
		return e.leave(ctx, l, 0)
	case x.Status == workflow.ExecutionCanceling:
		return e.store.Looked(ctx, l, lookAgainAtSlot)
	case !x.Waits:
		return e.store.Looked(ctx, l, 0)
	}
	has, err := e.store.Placed(ctx, l)
	if err != nil || !has {
		return err
	}
	e.metrics.repaired("slot")
	return e.begin(ctx, l.Execution, l.Epoch)
}

func (e *Engine) leave(ctx context.Context, l Look, seen int64) error {
	waits, err := e.store.Leave(ctx, l, seen)
	if err != nil {
		return harmless(err)
	}
	if waits {
		return e.fill(ctx, l.Project, l.Workflow)
	}
	return nil
}

func (e *Engine) lookAtSession(ctx context.Context, l Look) error {
	_, err := e.store.Execution(ctx, l.Execution, false)
	switch {
	case errors.Is(err, ErrGone):
		e.metrics.repaired("reservation")
		return harmless(e.store.Detach(ctx, l))
	case err != nil:
		return err
	}
	return e.store.Looked(ctx, l, 0)
}

// late is what a start or a redrive answers whose reservation ran out before it was used.
func late(what string) error {
	return &Error{Kind: KindUnavailable, Code: "too_slow", Message: fmt.Sprintf("the %s took too long and was not made; try again", what)}
}
