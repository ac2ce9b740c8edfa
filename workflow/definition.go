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
	Concurrency *Concurrency    `json:"concurrency,omitempty"`
	Defaults    *Defaults       `json:"defaults,omitempty"`
	Tasks       []Task          `json:"tasks"`
	Output      json.RawMessage `json:"output,omitempty"` // a JSON value whose strings may hold ${...}
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
}

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
