package engine

import (
	"errors"
	"fmt"

	"github.com/redrive/redrive/workflow"
)

// Kind classes an Error by what the caller can do about it.
type Kind string

// The kinds of errors.
const (
	KindInvalid     Kind = "invalid"     // the request is malformed: change it
	KindNotFound    Kind = "not_found"   // there is no such thing
	KindConflict    Kind = "conflict"    // the state forbids it now
	KindDenied      Kind = "denied"      // the caller may not
	KindUnavailable Kind = "unavailable" // Redis cannot be reached: try again
)

// Error is an error in the domain's words. Code is stable and part of the API;
// Message says what to do next.
type Error struct {
	Kind     Kind
	Code     string
	Message  string
	Problems workflow.Problems // for KindInvalid: one per field
	Existing *Existing         // the execution that is there already
	Err      error
}

// Existing names an execution that stands in the way of another.
type Existing struct {
	ID     string                   `json:"id"`
	Number int64                    `json:"number"`
	Status workflow.ExecutionStatus `json:"status"`
}

func (e *Error) Error() string {
	if len(e.Problems) > 0 {
		return e.Message + ": " + e.Problems.Error()
	}
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// NotFound says that there is no such thing, with the stable code <what>_not_found.
func NotFound(what, id string) *Error {
	return &Error{Kind: KindNotFound, Code: what + "_not_found", Message: fmt.Sprintf("there is no %s %q", what, id)}
}

// Conflict says that the state forbids the operation.
func Conflict(code, format string, args ...any) *Error {
	return &Error{Kind: KindConflict, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid says that the request is malformed, field by field.
func Invalid(code, message string, problems ...workflow.Problem) *Error {
	return &Error{Kind: KindInvalid, Code: code, Message: message, Problems: problems}
}

// ErrTooLarge says that values together have more bytes than may be read at once.
var ErrTooLarge = errors.New("engine: the values are too large")

// The refusals of a fenced transition: the state moved on, and what the caller
// holds is no longer true. Nothing was written.
var (
	// ErrStale: another attempt or dispatch holds the task, or it already ended.
	ErrStale = errors.New("engine: superseded")
	// ErrPaused: the execution is paused; the task keeps its place.
	ErrPaused = errors.New("engine: execution is paused")
	// ErrGone: the execution does not exist (any more).
	ErrGone = errors.New("engine: execution is gone")
	// ErrFailedBefore: this very attempt already failed for good.
	ErrFailedBefore = errors.New("engine: attempt failed before")
	// ErrMemosFull: a memo is not taken, for the execution has as many, or as long ones, as it may.
	ErrMemosFull = errors.New("engine: the execution has too many memos")
	// ErrValuesFull: an output is not taken, for the execution holds ValuesBytes already.
	ErrValuesFull = errors.New("engine: the values of the execution are too large")
	// ErrMoved: what a decision rested on changed meanwhile; read again.
	ErrMoved = errors.New("engine: state moved on")
)
