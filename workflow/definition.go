package workflow

import (
	"encoding/json"
	"time"
)

// Definition is a workflow as its author wrote it, with nothing filled in.
// Its canonical JSON is what a version stores and what its hash is of.
type Definition struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"input_schema,omitempty"` // JSON Schema
	FailFast    bool            `json:"fail_fast,omitempty"`
	Timeout     Duration        `json:"timeout,omitempty"` // of a whole execution
	Concurrency *Concurrency    `json:"concurrency,omitempty"`
	Defaults    *Defaults       `json:"defaults,omitempty"`
	Tasks       []Task          `json:"tasks"`
	OnFailure   []Task          `json:"on_failure,omitempty"` // run when an execution failed or timed out
	Output      json.RawMessage `json:"output,omitempty"`     // a JSON value whose strings may hold ${...}

	Annotations map[string]string `json:"annotations,omitempty"` // whatever its tools keep with it; the engine does not read them
}

// Defaults apply to every task that says nothing of its own.
type Defaults struct {
	Queue   string   `json:"queue,omitempty"`
	Timeout Duration `json:"timeout,omitempty"`
	Retry   *Retry   `json:"retry,omitempty"`
}

// Concurrency bounds how many executions of a workflow run at once. Those of all
// its versions count, and what the newest version says holds for all.
type Concurrency struct {
	MaxRunning int      `json:"max_running"`
	WhenFull   WhenFull `json:"when_full,omitempty"`
}

// WhenFull says what becomes of an execution that comes when the limit is reached.
type WhenFull string

// What becomes of an execution that comes when the limit is reached.
const (
	WhenFullQueue  WhenFull = "queue"  // it waits for its turn (the default)
	WhenFullReject WhenFull = "reject" // it is refused
)

// Task is one node of the graph as its author wrote it.
type Task struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Type         string          `json:"type"`
	Needs        []string        `json:"needs,omitempty"`
	If           string          `json:"if,omitempty"`
	With         json.RawMessage `json:"with,omitempty"`
	Queue        string          `json:"queue,omitempty"`
	Priority     int             `json:"priority,omitempty"` // 1 to 9; 0 = the execution's
	Retry        *Retry          `json:"retry,omitempty"`
	Timeout      Duration        `json:"timeout,omitempty"` // of one attempt
	OnFailure    OnFailure       `json:"on_failure,omitempty"`
	Effects      Effects         `json:"effects,omitempty"`
	InputSchema  json.RawMessage `json:"input_schema,omitempty"`
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`

	ForEach       *ForEach `json:"for_each,omitempty"`
	Tasks         []Task   `json:"tasks,omitempty"`          // the body of a group or loop
	Until         string   `json:"until,omitempty"`          // of a loop: one ${...}, evaluated after each iteration
	MaxIterations int      `json:"max_iterations,omitempty"` // of a loop; 0 = as many as are allowed
}

// ForEach runs a task once per item of a list.
type ForEach struct {
	Items         json.RawMessage `json:"items"`         // a list, or a ${...} that gives one
	Key           string          `json:"key,omitempty"` // names an item in its ref; empty = a scalar item itself, else its index
	MaxParallel   int             `json:"max_parallel,omitempty"`
	OnItemFailure OnItemFailure   `json:"on_item_failure,omitempty"`
}

// OnItemFailure says what the failure of one item means for those that have not begun.
type OnItemFailure string

// What the failure of one item means for the others.
const (
	OnItemFailureFinish OnItemFailure = "finish" // they run all the same (the default)
	OnItemFailureStop   OnItemFailure = "stop"   // they do not begin
)

// The types of tasks that no worker runs: the engine itself does.
const (
	TypeGroup    = "group"    // its body once
	TypeLoop     = "loop"     // its body again and again
	TypeWorkflow = "workflow" // an execution of another workflow
	TypeWait     = "wait"     // until a time, or for a completion from outside
	TypeApproval = "approval" // for a person's answer
)

var controlTypes = []string{TypeApproval, TypeGroup, TypeLoop, TypeWait, TypeWorkflow}

// OnFailure says what a task's final failure means for what depends on it.
type OnFailure string

// What a task's final failure means.
const (
	OnFailureFail     OnFailure = "fail"     // dependents are never reached (the default)
	OnFailureContinue OnFailure = "continue" // dependents go on as if it had ended well
)

// Effects says what running a task twice does to the outside world.
type Effects string

// The classes of side effects.
const (
	EffectsIdempotent Effects = "idempotent"
	EffectsKeyed      Effects = "keyed" // safe as long as the idempotency key is honoured
	EffectsUnsafe     Effects = "unsafe"
)

// Retry is when and how often a failed attempt is tried again.
// Fields that are nil or zero fall back to the workflow's defaults.
type Retry struct {
	MaxAttempts  int       `json:"max_attempts,omitempty"` // 1 = no retry
	Delay        *Duration `json:"delay,omitempty"`        // nil = the default; 0 = at once
	Backoff      Backoff   `json:"backoff,omitempty"`
	MaxDelay     Duration  `json:"max_delay,omitempty"`
	Jitter       *float64  `json:"jitter,omitempty"`       // share of the delay, 0 to 1
	NonRetryable []string  `json:"non_retryable,omitzero"` // error codes; an empty list overrides the defaults
}

// Backoff is how the delay grows from try to try.
type Backoff string

// The kinds of backoff.
const (
	BackoffFixed       Backoff = "fixed"
	BackoffLinear      Backoff = "linear"
	BackoffExponential Backoff = "exponential"
)

// What holds where neither the task nor the workflow's defaults say anything.
const (
	DefaultQueue       = "default"
	DefaultTimeout     = 30 * time.Minute
	DefaultMaxAttempts = 1
	DefaultDelay       = time.Second
	DefaultBackoff     = BackoffExponential
	DefaultMaxDelay    = time.Minute
	DefaultJitter      = 0.2
	DefaultPriority    = 5
	DefaultMaxParallel = 100
)

// Duration is a time.Duration written as Go writes it: "1m30s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
