package api

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

// POST /v1/executions/{id}/retry
// POST /v1/executions/{id}/rerun
// GET  /v1/executions/{id}/redrives

// Redrives is what the redrive routes ask of the engine.
type Redrives interface {
	Plan(ctx context.Context, id string, r engine.RedriveRequest) (*workflow.Plan, error)
	Redrive(ctx context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error)
	Redrives(ctx context.Context, id string, page engine.Page) ([]engine.Redriven, string, error)
}

type redrives struct{ engine Redrives }

// RetryExecution runs again what did not succeed.
func (h redrives) RetryExecution(ctx context.Context, r RetryExecutionRequestObject) (RetryExecutionResponseObject, error) {
	q := redrive(ctx, workflow.OperationRetry, r.Body)
	if wanted(r.Params.DryRun) {
		p, err := h.engine.Plan(ctx, r.ID, q)
		if err != nil {
			return nil, err
		}
		return RetryExecution200JSONResponse{PlannedJSONResponse(wirePlan(*p))}, nil
	}
	x, err := h.engine.Redrive(ctx, r.ID, q)
	if err != nil {
		return nil, err
	}
	return RetryExecution202JSONResponse{RedrivingJSONResponse(wireExecution(*x))}, nil
}

// RerunExecution runs chosen tasks again, or everything.
func (h redrives) RerunExecution(ctx context.Context, r RerunExecutionRequestObject) (RerunExecutionResponseObject, error) {
	q := redrive(ctx, workflow.OperationRerun, r.Body)
	if wanted(r.Params.DryRun) {
		p, err := h.engine.Plan(ctx, r.ID, q)
		if err != nil {
			return nil, err
		}
		return RerunExecution200JSONResponse{PlannedJSONResponse(wirePlan(*p))}, nil
	}
	x, err := h.engine.Redrive(ctx, r.ID, q)
	if err != nil {
		return nil, err
	}
	return RerunExecution202JSONResponse{RedrivingJSONResponse(wireExecution(*x))}, nil
}

// ListRedrives lists the redrives of an execution, oldest first.
func (h redrives) ListRedrives(ctx context.Context, r ListRedrivesRequestObject) (ListRedrivesResponseObject, error) {
	list := placeOf("redrives", r.ID)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Redrives(ctx, r.ID, page)
	if err != nil {
		return nil, err
	}
	return ListRedrives200JSONResponse{Items: each(found, wireRedriven), NextCursor: list.next(next)}, nil
}

// redrive is what is asked of the engine.
func redrive(ctx context.Context, operation workflow.Operation, b *RedriveRequest) engine.RedriveRequest {
	return engine.RedriveRequest{
		Redrive: workflow.Redrive{
			Operation: operation, From: b.From, Scope: workflow.Reach(b.Scope),
			WorkflowInput: b.WorkflowInput, InputMode: workflow.InputMode(b.InputMode), TaskInput: b.TaskInput, Outputs: b.Outputs,
			Definition: string(b.Definition), Identity: workflow.Identity(b.Identity), Budget: workflow.Budget(b.Budget),
			Subworkflows: workflow.Subworkflows(b.Subworkflows), Acknowledge: b.Acknowledge,
			CorrelationID: b.CorrelationID, AttemptName: b.AttemptName, Metadata: b.Metadata, Priority: b.Priority,
		},
		Reason: b.Reason, By: auth.From(ctx).By(), PlanHash: b.PlanHash, IdempotencyKey: b.IdempotencyKey,
	}
}

func wanted(dryRun *PlanOnly) bool { return dryRun != nil && *dryRun }

// VersionChoice is "same", "latest", or the number of a version. In JSON a number may be one.
type VersionChoice string

// UnmarshalJSON reads a string or a number; [Spec.Check] let nothing else pass.
func (v *VersionChoice) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(bytes.TrimSpace(raw))
	}
	*v = VersionChoice(text)
	return nil
}
