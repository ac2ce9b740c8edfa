package workflow

import (
	"encoding/json"
	"time"
)

// Program is a definition compiled: its graph, its expressions and schemas,
// every default filled in. It is immutable and safe to share.
type Program struct {
	Hash       string // of the canonical definition, hex sha256
	Definition *Definition
	Nodes      []*Node // a topological order, stable for equal definitions

	limits Limits
	byRef  map[string]*Node
	input  *schema
	output *template
}

// Node is one task of a Program with its place in the graph and its defaults filled in.
type Node struct {
	Ref        string // the address of the task inside an execution
	Task       *Task
	Type       string
	Queue      string
	Priority   int // 1 to 9; 0 = the execution's
	Timeout    time.Duration
	Retry      RetryPolicy
	OnFailure  OnFailure
	Effects    Effects
	Needs      []string // refs of its predecessors, sorted
	Dependents []string // refs of its direct successors, sorted

	// Conditional is true where `if` must be evaluated before the task may run.
	Conditional bool
	// IfReads and InputReads are what the condition and `with` read.
	IfReads, InputReads Reads

	limits                    Limits
	index                     int // in the source
	condition                 *expression
	with                      *template
	inputSchema, outputSchema *schema
}

// Reads is what an expression reads from outside itself.
type Reads struct {
	Workflow bool     // the execution: its input, id, ...
	Tasks    []string // refs, sorted
	Secrets  []string // names, sorted
}

// RetryPolicy is a Retry with every default filled in.
type RetryPolicy struct {
	MaxAttempts  int
	Delay        time.Duration
	Backoff      Backoff
	MaxDelay     time.Duration
	Jitter       float64
	NonRetryable []string
}

// Scope is what the expressions of one evaluation can see.
type Scope struct {
	Workflow WorkflowScope
	Tasks    map[string]TaskScope // by name as the expression writes it
	Secret   func(name string) (string, error)
}

// WorkflowScope is the execution as expressions see it.
type WorkflowScope struct {
	ID          string
	Number      int64
	Name        string
	Version     int
	SessionTime string // RFC 3339, or empty
	Input       json.RawMessage
	Error       *Error
}

// TaskScope is a task that ended as expressions see it.
type TaskScope struct {
	Status  TaskStatus
	Output  json.RawMessage // nil reads as null
	Error   *Error
	Attempt int
}

// Catalog is what is known of the task types when a definition is published:
// by type name, the JSON Schema of its `with` (nil = anything).
type Catalog map[string]json.RawMessage
