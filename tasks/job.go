package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
)

// Job is one attempt of one task, as its handler sees it.
type Job struct {
	Execution string // id of the execution, a UUID
	Number    int64  // number of the execution
	Project   string
	Workflow  string
	Ref       string // address of the task in the execution
	Attempt   int    // counts over the task's whole life in the execution, from 1
	Try       int    // counts against max_attempts, from 1
	Worker    string // id of the worker that runs it

	// IdempotencyKey is the same for every try of the task.
	IdempotencyKey string
	// Log takes what the handler has to say; it is kept with the attempt.
	Log *slog.Logger
	// Input is `with` with every expression resolved.
	Input json.RawMessage
}

// Handler runs jobs of one type, several at a time.
type Handler interface {
	// Run does the work and answers the output as JSON; nil means null.
	// ctx ends when the task's timeout passed, when it was canceled, when the
	// worker drains or lost its lease: context.Cause tells which. Any error
	// will do; Error and Fatal give it a code and say whether trying again helps.
	Run(ctx context.Context, job *Job) (output json.RawMessage, err error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, job *Job) (json.RawMessage, error)

// Run calls f.
func (f HandlerFunc) Run(ctx context.Context, job *Job) (json.RawMessage, error) { return f(ctx, job) }

// Type is a task type: its name, what it accepts and answers, and what runs it.
type Type struct {
	Name        string          // [a-z0-9][a-z0-9._-]{0,127}
	Description string          // one sentence
	Input       json.RawMessage // JSON Schema of the resolved `with`; nil = anything
	Output      json.RawMessage // JSON Schema of the output; nil = anything
	Handler     Handler
}

// Why a handler's context ended, as context.Cause tells it. A passed timeout is
// context.DeadlineExceeded or ErrTimedOut.
var (
	ErrTimedOut = errors.New("the task's timeout passed")
	ErrCanceled = errors.New("the task was canceled")
	ErrLost     = errors.New("the worker lost its lease on the task")
	ErrDraining = errors.New("the worker is shutting down")
)
