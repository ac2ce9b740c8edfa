package engine

import (
	"context"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Relation is what an execution is to the one that it comes from.
type Relation string

// The relations.
const (
	RelationSubWorkflow Relation = "sub_workflow" // it is a part of it
	RelationRetry       Relation = "retry"        // a redrive of it into a new execution made it
	RelationRerun       Relation = "rerun"
)

// Origin is the execution whose redrive made this one.
type Origin struct {
	Execution string   `json:"execution"`
	Relation  Relation `json:"relation"` // retry or rerun
}

// Lineage is a family of executions: those that redrives made from each other, with their sub-executions.
type Lineage struct {
	Root  string        `json:"root"`
	Nodes []LineageNode `json:"nodes"` // the root first, each behind the one that it comes from, older ones first
}

// LineageNode is one execution of a lineage.
type LineageNode struct {
	Execution string                   `json:"execution"`
	Number    int64                    `json:"number"`
	Workflow  string                   `json:"workflow"`
	Version   int                      `json:"version"`
	Status    workflow.ExecutionStatus `json:"status"`
	Parent    string                   `json:"parent,omitempty"`   // the execution that it comes from; "" for the root
	Relation  Relation                 `json:"relation,omitempty"` // to Parent
	Task      string                   `json:"task,omitempty"`     // of a sub-workflow: the ref of its task in Parent
	Redrives  int                      `json:"redrives"`
	CreatedAt time.Time                `json:"created_at"`
	EndedAt   *time.Time               `json:"ended_at"`
}

// Lineage answers the family that an execution belongs to.
func (e *Engine) Lineage(ctx context.Context, id string) (*Lineage, error) {
	return nil, nil
}
