package api

import (
	"context"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

// GET, POST /v1/projects/{project}/executions
// GET       /v1/executions/{id}

// Executions is what the execution routes ask of the engine.
type Executions interface {
	Start(ctx context.Context, project string, r engine.StartRequest) (x *engine.Execution, created bool, err error)
	Executions(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error)
	ExecutionReader
}

type executions struct{ engine Executions }

// StartExecution starts an execution, or finds the one that the same
// idempotency key started.
func (h executions) StartExecution(ctx context.Context, r StartExecutionRequestObject) (StartExecutionResponseObject, error) {
	x, created, err := h.engine.Start(ctx, r.Project, engine.StartRequest{
		Workflow:       r.Body.Workflow,
		Version:        r.Body.Version,
		Input:          r.Body.Input,
		CorrelationID:  r.Body.CorrelationID,
		IdempotencyKey: r.Body.IdempotencyKey,
		Metadata:       r.Body.Metadata,
		Labels:         r.Body.Labels,
		Priority:       r.Body.Priority,
		SessionTime:    moment(r.Body.SessionTime),
		AttemptName:    r.Body.AttemptName,
		StartAt:        moment(r.Body.StartAt),
		WhenFull:       workflow.WhenFull(r.Body.WhenFull),
		By:             auth.From(ctx).By(),
	})
	if err != nil {
		return nil, err
	}
	if created {
		return StartExecution201JSONResponse(wireExecution(*x)), nil
	}
	return StartExecution200JSONResponse(wireExecution(*x)), nil
}

// ListExecutions lists executions, newest first.
func (h executions) ListExecutions(ctx context.Context, r ListExecutionsRequestObject) (ListExecutionsResponseObject, error) {
	filter := executionFilter(r.Params)
	list := placeOf("executions", r.Project, filter)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Executions(ctx, r.Project, filter, page)
	if err != nil {
		return nil, err
	}
	return ListExecutions200JSONResponse{Items: each(found, wireExecution), NextCursor: list.next(next)}, nil
}

// GetExecution reads an execution.
func (h executions) GetExecution(ctx context.Context, r GetExecutionRequestObject) (GetExecutionResponseObject, error) {
	x, err := h.engine.Execution(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return GetExecution200JSONResponse(wireExecution(*x)), nil
}

func executionFilter(p ListExecutionsParams) engine.ExecutionFilter {
	var f engine.ExecutionFilter
	if p.Status != nil {
		for _, s := range *p.Status {
			f.Status = append(f.Status, workflow.ExecutionStatus(s))
		}
	}
	if p.Label != nil {
		f.LabelKey, f.LabelValue, _ = strings.Cut(*p.Label, "=")
	}
	if p.Since != nil {
		f.Since = p.Since.UTC()
	}
	if p.Until != nil {
		f.Until = p.Until.UTC()
	}
	f.Workflow, f.CorrelationID, f.Fingerprint = given(p.Workflow), given(p.CorrelationID), given(p.Fingerprint)
	return f
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func given(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
