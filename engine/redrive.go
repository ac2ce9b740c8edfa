package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redrive/redrive/workflow"
)

// RedriveRequest asks to run a part of an execution again.
type RedriveRequest struct {
	workflow.Redrive
	Reason         string
	By             string
	PlanHash       string // execute only if the plan is still this one
	IdempotencyKey string
}

// Redriven is one redrive of an execution, as its history keeps it.
type Redriven struct {
	Number     int                `json:"number"`
	Operation  workflow.Operation `json:"operation"`
	At         time.Time          `json:"at"`
	By         string             `json:"by,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	Request    json.RawMessage    `json:"request"`
	Plan       *workflow.Plan     `json:"plan"` // its rows without keep and leave_running
	Kept       int                `json:"kept"` // how many of these there were
	Definition string             `json:"definition"`
	Version    int                `json:"version"`
	Into       string             `json:"into,omitempty"` // of a redrive into a new execution: its id
}

// Plan answers what a redrive would do, and changes nothing. The refusals are those of Redrive.
func (e *Engine) Plan(ctx context.Context, id string, r RedriveRequest) (*workflow.Plan, error) {
	return nil, nil
}

// Redrive runs a part of an execution again and answers the execution that runs now.
// KindInvalid for a request that cannot be; KindConflict nothing_to_retry,
// not_retryable, plan_changed, acknowledge_required, history_full, execution_canceling.
func (e *Engine) Redrive(ctx context.Context, id string, r RedriveRequest) (*Execution, error) {
	return nil, nil
}

// Redrives answers the redrives of an execution, oldest first.
func (e *Engine) Redrives(ctx context.Context, id string, page Page) ([]Redriven, string, error) {
	return nil, "", nil
}
