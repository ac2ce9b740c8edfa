package engine

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redrive/redrive/workflow"
)

// checkPlace checks what a start says of its session and its turn.
func (e *Engine) checkPlace(r *StartRequest, add func(field, code, message, allowed string)) {
	if r.SessionTime.IsZero() && r.AttemptName != "" {
		add("attempt_name", "no_session", "is given without a session_time", "the name of an attempt of a session: give session_time, too")
	}
	if r.SessionTime.Nanosecond() != 0 {
		add("session_time", "not_whole_seconds", "has a fraction of a second", "whole seconds, as 2026-03-01T00:00:00Z")
	}
	if year := r.SessionTime.UTC().Year(); year < 1 || year > 9999 {
		add("session_time", "out_of_range", "is in the year "+itoa(year), "the years 1 to 9999")
	}
	r.SessionTime = r.SessionTime.UTC()
	switch r.WhenFull {
	case "", workflow.WhenFullQueue, workflow.WhenFullReject:
	default:
		add("when_full", "not_allowed", "is "+strconv.Quote(string(r.WhenFull)), "queue, or reject")
	}
}

// sessionExists refuses a start whose attempt of a session is there, naming the execution.
func (e *Engine) sessionExists(ctx context.Context, x Entry, taken *SessionTaken) error {
	there := &Existing{ID: taken.Execution, Number: taken.Number, Status: workflow.ExecutionQueued}
	known, err := e.store.Execution(ctx, taken.Execution, false)
	switch {
	case err == nil:
		there.Status = known.Status
	case !errors.Is(err, ErrGone): // it is being created
		return err
	}
	what := "an unnamed attempt"
	if x.Session.AttemptName != "" {
		what = "an attempt named " + strconv.Quote(x.Session.AttemptName)
	}
	refused := Conflict("session_exists", "workflow %s has %s in the session of %s: execution %d is %s; start another attempt of it under another attempt_name",
		x.Workflow, what, x.Session.Time.Format(time.RFC3339), there.Number, there.Status)
	refused.Existing = there
	return refused
}

// Sessions answers a page of sessions, newest first.
func (e *Engine) Sessions(ctx context.Context, project string, f SessionFilter, page Page) ([]Session, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	return e.store.Sessions(ctx, project, f, page.filled())
}

// Session answers a session by its number.
func (e *Engine) Session(ctx context.Context, project string, number int64) (*Session, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	s, err := e.store.Session(ctx, project, number)
	if err == nil && s == nil {
		return nil, NotFound("session", strconv.FormatInt(number, 10))
	}
	return s, err
}

// SessionAttempts answers a page of the executions of a session, oldest first.
func (e *Engine) SessionAttempts(ctx context.Context, project string, number int64, page Page) ([]Execution, string, error) {
	s, err := e.Session(ctx, project, number)
	if err != nil {
		return nil, "", err
	}
	return e.store.SessionAttempts(ctx, project, s, page.filled())
}

// AttemptNamed says of each time whether the session of a workflow at it has an attempt of that name; one that is only reserved counts.
func (e *Engine) AttemptNamed(ctx context.Context, project, workflow, name string, times []time.Time) ([]bool, error) {
	return e.store.AttemptNamed(ctx, project, workflow, name, times)
}
