package workflow

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"cel.dev/cel-go/common/types/ref"
)

// Program is a definition compiled: its graph, its expressions and schemas,
// every default filled in. It is immutable and safe to share.
type Program struct {
	Hash       string // of the canonical definition, hex sha256
	Definition *Definition
	Nodes      []*Node // of the outermost tasks, in a topological order that is stable for equal definitions
	// Handlers is the group of the tasks that run when an execution failed; nil where there are none.
	Handlers *Node

	limits Limits
	byPath map[string]*Node // all of them
	input  *schema
	output *template
}

// Node is one task of a Program with its place in the graph and its defaults
// filled in. A node in a for_each or loop stands for many tasks of an execution.
type Node struct {
	Path       string // names from the outside in, joined by dots: the ref of a task without its keys
	Task       *Task
	Type       string
	Queue      string
	Priority   int           // 1 to 9; 0 = the execution's
	Timeout    time.Duration // of one attempt; 0 = none, for control types only
	Retry      RetryPolicy
	OnFailure  OnFailure
	Effects    Effects
	Needs      []string // names of its predecessors among its siblings, sorted
	Dependents []string // names of its direct successors among its siblings, sorted

	// Body is what a group or loop runs, in a topological order.
	Body []*Node
	// Each is set where the task runs once per item of a list.
	Each *Each
	// Owner is the group or loop whose body it belongs to; nil for the outermost tasks.
	Owner *Node

	// Conditional is true where `if` must be evaluated before the task may run.
	Conditional bool
	// What the condition, `with`, `until` and the items of for_each read.
	IfReads, InputReads, UntilReads, ItemsReads Reads

	limits                    Limits
	index                     int   // in the source, among its siblings
	among                     *body // it and its siblings
	inner                     *body // its own body
	condition, until          *expression
	with, items, key          *template
	inputSchema, outputSchema *schema
}

// Each is a ForEach with its defaults filled in.
type Each struct {
	MaxParallel int
	Stop        bool // once an item failed, those that have not begun do not begin
}

// Field answers where the task stands in its definition: tasks[1].tasks[0].
func (n *Node) Field() string {
	list := "tasks"
	switch {
	case n.Owner == nil:
	case n.Owner.Path == HandlersPath:
		list = HandlersPath
	default:
		list = n.Owner.Field() + ".tasks"
	}
	return list + "[" + strconv.Itoa(n.index) + "]"
}

// Control reports whether the engine itself runs the task, and no worker.
func (n *Node) Control() bool { return slices.Contains(controlTypes, n.Type) }

// Reads is what an expression reads from outside itself.
type Reads struct {
	Workflow bool     // the execution: its input, id, ...
	Tasks    []string // names, sorted
	Secrets  []string // names, sorted
	Item     bool     // item, key or index
	Previous bool     // iteration.previous
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
	Item     *Item // of the innermost for_each around it
	// Iteration is the number of the innermost loop's iteration, Previous what
	// the tasks of the one before gave, by name; nil reads as null.
	Iteration int
	Previous  json.RawMessage
}

// WorkflowScope is the execution as expressions see it.
type WorkflowScope struct {
	ID          string
	Number      int64
	Name        string
	Version     int
	SessionTime string // RFC 3339, or empty: then there is no session
	Session     int64  // its number
	AttemptName string // in the session, or empty
	Input       json.RawMessage
	Error       *Error

	// Decoded, when not nil, keeps Input decoded for all who evaluate with it.
	Decoded *DecodedInput
}

// DecodedInput is the input of an execution, decoded when it is first read. One
// is for one Input only; several goroutines may share it.
type DecodedInput struct {
	once  sync.Once
	value ref.Val
	err   error
}

func (d *DecodedInput) of(raw json.RawMessage) (ref.Val, error) {
	d.once.Do(func() { d.value, d.err = decodeValue(raw) })
	return d.value, d.err
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
