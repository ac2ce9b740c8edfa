package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// BulkOperation is what a bulk operation does to each of its executions.
type BulkOperation string

// The operations.
const (
	BulkRetry  BulkOperation = "retry"
	BulkRerun  BulkOperation = "rerun"
	BulkResume BulkOperation = "resume"
	BulkPause  BulkOperation = "pause"
	BulkCancel BulkOperation = "cancel"
)

// BulkOperations lists every operation.
var BulkOperations = []BulkOperation{BulkRetry, BulkRerun, BulkResume, BulkPause, BulkCancel}

func (o BulkOperation) redrives() bool { return o == BulkRetry || o == BulkRerun }

// BulkState is where a bulk operation stands.
//
//	creating -> canary -> running -> completed
//	               \        /
//	                  held            and from each of them: aborted
type BulkState string

// The states.
const (
	BulkCreating  BulkState = "creating" // its executions are being collected
	BulkCanary    BulkState = "canary"   // the outcomes of the first ones are waited for
	BulkRunning   BulkState = "running"
	BulkHeld      BulkState = "held" // nothing more is taken, or sent out, until somebody lets it go on
	BulkAborted   BulkState = "aborted"
	BulkCompleted BulkState = "completed"
)

// BulkStates lists every state.
var BulkStates = []BulkState{BulkCreating, BulkCanary, BulkRunning, BulkHeld, BulkAborted, BulkCompleted}

// Over reports whether nothing more is taken, or sent out, ever.
func (s BulkState) Over() bool { return s == BulkAborted || s == BulkCompleted }

// goes reports whether executions are taken and sent out.
func (s BulkState) goes() bool { return s == BulkRunning || s == BulkCanary }

// BulkOutcome is what became of an execution, or what it waits for.
type BulkOutcome string

// The outcomes.
const (
	OutcomePending   BulkOutcome = "pending"
	OutcomeInFlight  BulkOutcome = "in_flight"
	OutcomeSucceeded BulkOutcome = "succeeded"
	OutcomeFailed    BulkOutcome = "failed"  // it failed again, or the operation could not be done
	OutcomeSkipped   BulkOutcome = "skipped" // it was no longer as it was when it was chosen
)

// BulkAction is what an operator does to a bulk operation.
type BulkAction string

// The actions.
const (
	BulkHold     BulkAction = "hold"
	BulkContinue BulkAction = "continue"
	BulkAbort    BulkAction = "abort"
)

// BulkLane says which lane of their queues the tasks of executions that run again go through.
type BulkLane string

// The lanes.
const (
	LaneLow  BulkLane = "low"  // others go first
	LaneSame BulkLane = "same" // as their priority says
)

// BulkFilter chooses executions. Zero fields do not narrow.
type BulkFilter struct {
	Status        []workflow.ExecutionStatus `json:"status,omitempty"`
	Workflow      string                     `json:"workflow,omitempty"`
	Version       int                        `json:"version,omitempty"`
	CorrelationID string                     `json:"correlation_id,omitempty"`
	LabelKey      string                     `json:"label_key,omitempty"`
	LabelValue    string                     `json:"label_value,omitempty"`
	Since         time.Time                  `json:"since,omitzero"` // of creation
	Until         time.Time                  `json:"until,omitzero"`
	SinceAgo      time.Duration              `json:"since_ago,omitempty"` // the same, before the operation is made
	UntilAgo      time.Duration              `json:"until_ago,omitempty"`
	Fingerprint   string                     `json:"fingerprint,omitempty"` // of a group of failures: those that are open
}

// BulkRequest asks for a bulk operation.
type BulkRequest struct {
	Operation      BulkOperation
	Filter         BulkFilter
	IDs            []string         // ids or numbers, instead of a filter
	Redrive        workflow.Redrive // of retry and rerun; its strings may hold expressions over the execution
	Rate           float64          // executions a second; 0 = any number
	MaxInFlight    int              // 1 to 1,000; 0 = 100
	Jitter         time.Duration    // each is put off by up to so long
	Lane           BulkLane         // "" = low
	Canary         int              // the outcomes of so many first; 0 = none
	MaxErrorRate   *float64         // 0 to 1; nil = with a canary 0.05, else no limit
	Reason         string
	By             string
	IdempotencyKey string
}

// BulkSpec is what was asked for, as it is kept.
type BulkSpec struct {
	Operation BulkOperation    `json:"operation"`
	Filter    BulkFilter       `json:"filter"`
	Named     int              `json:"named,omitempty"` // how many executions were named instead
	Redrive   workflow.Redrive `json:"redrive"`
	Jitter    time.Duration    `json:"jitter,omitempty"`
	Lane      BulkLane         `json:"lane"`
	Reason    string           `json:"reason,omitempty"`
	By        string           `json:"by,omitempty"`
}

// Bulk is a bulk operation.
type Bulk struct {
	BulkRecord
	BulkSpec
	Why string // it is held, or was aborted
}

func openBulk(r BulkRecord) (*Bulk, error) {
	b := &Bulk{BulkRecord: r, Why: r.Reason}
	if err := json.Unmarshal(r.Spec, &b.BulkSpec); err != nil {
		return nil, fmt.Errorf("engine: bulk operation %s cannot be read: %w", r.ID, err)
	}
	return b, nil
}

// BulkItem is an execution of a bulk operation.
type BulkItem struct {
	Place     int
	Execution string
	Outcome   BulkOutcome
	Before    string // its status before
	After     string
	Into      string // the new execution that a redrive made
	Code      string // why it failed, or was skipped
	Message   string
	At        *time.Time // of the outcome
}

// BulkPreview is what a bulk operation would do.
type BulkPreview struct {
	Count   int
	AtLeast bool // there may be more: the time was up
	Missing int  // of the ids that were named: nothing is there
	Groups  []BulkGroup
	Samples []BulkSample
}

// BulkGroup counts executions that look alike.
type BulkGroup struct {
	Workflow string
	Version  int
	Status   workflow.ExecutionStatus
	Count    int
}

// BulkSample is what the operation would do to one execution; Refused says why it would not.
type BulkSample struct {
	Execution string
	Status    workflow.ExecutionStatus
	Plan      *workflow.Plan // nil when it is refused, or the operation has no plans
	Refused   *Error
}

// The bounds of bulk operations.
const (
	MaxBulk        = 1_000_000 // executions of one
	MaxBulkNamed   = 100_000   // that are named one by one
	maxInFlight    = 1000
	maxCanary      = 10_000
	maxRate        = 10_000 // a second
	bulkJitter     = time.Hour
	defaultFlights = 100
	defaultErrors  = 0.05
)
