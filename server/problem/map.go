package problem

import (
	"context"
	"errors"
	"net/http"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// retryAfter is how long, in seconds, a caller is asked to wait for Redis.
const retryAfter = 2

// statusClientGone is what the log shows for a caller who hung up.
const statusClientGone = 499

// From maps any error to the problem that tells the caller. What is not known
// is a 500 that says nothing but "internal error"; its Cause is for the log.
func From(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		return fromEngine(e)
	}
	if fields, ok := errors.AsType[workflow.Problems](err); ok {
		return Invalid("invalid", "the request is malformed", fields...)
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return TooLarge(large.Limit)
	}
	if p := fromSentinel(err); p != nil {
		p.Cause = err
		return p
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "internal error", Cause: err}
}

// TooLarge refuses a body above the limit, in bytes.
func TooLarge(limit int64) *Problem {
	return New(http.StatusRequestEntityTooLarge, "body_too_large", "the body is larger than %d bytes: store large values elsewhere and pass a reference", limit)
}

func fromEngine(e *engine.Error) *Problem {
	p := &Problem{Code: e.Code, Detail: e.Message, Errors: e.Problems, Execution: e.Existing, Cause: e}
	switch e.Kind {
	case engine.KindInvalid:
		p.Status = http.StatusUnprocessableEntity
	case engine.KindNotFound:
		p.Status = http.StatusNotFound
	case engine.KindConflict:
		p.Status = http.StatusConflict
	case engine.KindDenied:
		p.Status = http.StatusForbidden
		if e.Code == "key_invalid" {
			p.Status, p.Challenge = http.StatusUnauthorized, true
		}
	case engine.KindUnavailable:
		p.Status, p.RetryAfter = http.StatusServiceUnavailable, retryAfter
	default:
		return &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "internal error", Cause: e}
	}
	return p
}

func fromSentinel(err error) *Problem {
	switch {
	case errors.Is(err, engine.ErrGone):
		return New(http.StatusNotFound, "execution_not_found", "the execution does not exist any more")
	case errors.Is(err, engine.ErrStale):
		return New(http.StatusConflict, "superseded", "another attempt has taken its place: read the task again")
	case errors.Is(err, engine.ErrPaused):
		return New(http.StatusConflict, "execution_paused", "the execution is paused: resume it first")
	case errors.Is(err, engine.ErrMoved):
		return New(http.StatusConflict, "state_moved", "the state changed meanwhile: read it again and repeat the request")
	case errors.Is(err, context.Canceled):
		return New(statusClientGone, "client_gone", "the caller hung up")
	case errors.Is(err, context.DeadlineExceeded):
		p := New(http.StatusServiceUnavailable, "timeout", "the answer took too long: try again")
		p.RetryAfter = retryAfter
		return p
	}
	return nil
}
