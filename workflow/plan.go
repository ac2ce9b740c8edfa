package workflow

import "encoding/json"

// Operation is what a redrive does.
type Operation string

// The operations.
const (
	OperationRetry    Operation = "retry"    // runs again what did not succeed, and what depends on it
	OperationRerun    Operation = "rerun"    // runs chosen tasks again, or everything
	OperationComplete Operation = "complete" // an operator says what a task gives, and what depends on it goes on
	OperationSkip     Operation = "skip"     // an operator says that a task is not needed
)

// Operations lists every operation.
var Operations = []Operation{OperationRetry, OperationRerun, OperationComplete, OperationSkip}

// Redrive asks to run a part of an execution again. Zero fields mean their defaults.
type Redrive struct {
	Operation     Operation                  `json:"operation"`
	From          []string                   `json:"from,omitempty"` // refs; those inside a sub-workflow behind its task and a slash
	Scope         Reach                      `json:"scope,omitempty"`
	WorkflowInput json.RawMessage            `json:"workflow_input,omitempty"`
	InputMode     InputMode                  `json:"input_mode,omitempty"`
	TaskInput     map[string]json.RawMessage `json:"task_input,omitempty"` // by ref
	Outputs       map[string]json.RawMessage `json:"outputs,omitempty"`    // by ref: taken instead of a run
	Definition    string                     `json:"definition,omitempty"` // same, latest, or the number of a version
	Identity      Identity                   `json:"identity,omitempty"`
	Budget        Budget                     `json:"budget,omitempty"`
	Subworkflows  Subworkflows               `json:"subworkflows,omitempty"`
	Acknowledge   []string                   `json:"acknowledge,omitempty"` // refs with unsafe effects that may run again
	CorrelationID *string                    `json:"correlation_id,omitempty"`
	AttemptName   string                     `json:"attempt_name,omitempty"` // of a new execution in a session
	Metadata      map[string]string          `json:"metadata,omitempty"`     // nil = as it is
	Priority      int                        `json:"priority,omitempty"`     // of the execution from then on, 1 to 9; 0 = as it is, as that of one that has not ended stays
}

// Reach is how far a redrive reaches from where it starts.
type Reach string

// The scopes.
const (
	ScopeDownstream Reach = "downstream" // the default: the tasks and all that depends on them
	ScopeOnly       Reach = "only"       // just the tasks
	ScopeChanged    Reach = "changed"    // of these, what would see something else than last time
)

// InputMode is what an input that is given does to the former one.
type InputMode string

// The modes.
const (
	InputReplace InputMode = "replace" // the default
	InputMerge   InputMode = "merge"   // it is a JSON merge patch (RFC 7396)
)

// Identity is which execution runs.
type Identity string

// The identities.
const (
	InPlace      Identity = "in_place" // the default: the same execution
	NewExecution Identity = "new_execution"
)

// Budget is how many tries a task has that runs again.
type Budget string

// The budgets.
const (
	BudgetFull Budget = "full" // the default: they start again
	BudgetOne  Budget = "one"  // one more for a task that had used all of its own
)

// Subworkflows is what becomes of the execution of a sub-workflow whose task runs again.
type Subworkflows string

// What becomes of it.
const (
	SubworkflowsResume  Subworkflows = "resume"  // it goes on in place: the default of a retry
	SubworkflowsRestart Subworkflows = "restart" // a fresh one takes its place: the default of a rerun
)

// PlanAction is what a redrive does to a task.
type PlanAction string

// The actions.
const (
	PlanRun          PlanAction = "run"
	PlanKeep         PlanAction = "keep"
	PlanCancel       PlanAction = "cancel" // the attempt that runs is superseded, and the task runs again
	PlanLeaveRunning PlanAction = "leave_running"
	PlanSkip         PlanAction = "skip"
	PlanPin          PlanAction = "pin"       // takes the output that was given
	PlanUndecided    PlanAction = "undecided" // depends on what will be evaluated again
)

// PlanRow is what a redrive does to one task.
type PlanRow struct {
	Ref       string          `json:"ref"`
	Action    PlanAction      `json:"action"`
	Reason    string          `json:"reason"`
	Status    TaskStatus      `json:"status"`               // before
	Attempt   int             `json:"attempt"`              // the newest before; 0 = none
	InputDiff json.RawMessage `json:"input_diff,omitempty"` // JSON Patch (RFC 6902), of what was given as task_input
	Effects   Effects         `json:"effects"`
	Stays     bool            `json:"-"` // undecided only as to whether it is still there: then it is kept
}

// Plan is the exact effect of a redrive.
type Plan struct {
	Operation      Operation       `json:"operation"`
	Execution      string          `json:"execution"`
	Revision       int64           `json:"revision"` // of the execution that it rests on
	Identity       Identity        `json:"identity"`
	PlanHash       string          `json:"plan_hash"`
	Tasks          []PlanRow       `json:"tasks"`
	InputDiff      json.RawMessage `json:"input_diff,omitempty"` // JSON Patch (RFC 6902)
	DefinitionDiff *DefinitionDiff `json:"definition_diff,omitempty"`
	Warnings       []string        `json:"warnings"`
	Acknowledge    []string        `json:"acknowledge"` // refs that must be acknowledged before it is executed
}

// DefinitionDiff is how the version that a redrive runs differs from the one before.
type DefinitionDiff struct {
	From    int      `json:"from"` // versions
	To      int      `json:"to"`
	Added   []string `json:"added"` // paths of tasks
	Removed []string `json:"removed"`
	Changed []string `json:"changed"`
}
