package engine

import (
	"context"
	"encoding/json"

	"github.com/redrive/redrive/workflow"
)

// Compared is two executions, or two attempts of a task, side by side. The diffs are JSON Patches
// (RFC 6902) that lead from the first to the second; nil = equal.
type Compared struct {
	A, B       Side
	Input      json.RawMessage
	Output     json.RawMessage
	Error      json.RawMessage
	Definition json.RawMessage // of the two canonical definitions; of attempts those of the task
	Tasks      []TaskPair      // of executions: those that differ, in order
}

// Side is one of two that are compared.
type Side struct {
	Execution string
	Ref       string // of attempts
	Attempt   int
	Redrive   int
	Version   int
	Status    string
	Duration  float64 // seconds from start to end; 0 where one of them is missing
	Error     *workflow.Error
}

// TaskPair is a task that differs between two executions. A status is "" where the task is not there.
type TaskPair struct {
	Ref                  string
	A, B                 workflow.TaskStatus
	Input, Output, Error bool // differ
	DurationA, DurationB float64
}

// CompareExecutions compares two executions of one project.
func (e *Engine) CompareExecutions(ctx context.Context, a, b string) (*Compared, error) {
	return nil, nil
}

// CompareAttempts compares two attempts of a task.
func (e *Engine) CompareAttempts(ctx context.Context, id, ref string, a, b int) (*Compared, error) {
	return nil, nil
}
