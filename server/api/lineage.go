package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/executions/{id}/lineage
// GET /v1/executions/{id}/diff
// GET /v1/executions/{id}/tasks/{ref}/diff

// Lineages is what the routes about an execution's family ask of the engine.
type Lineages interface {
	Lineage(ctx context.Context, id string) (*engine.Lineage, error)
	CompareExecutions(ctx context.Context, a, b string) (*engine.Compared, error)
	CompareAttempts(ctx context.Context, id, ref string, a, b int) (*engine.Compared, error)
}

type lineages struct{ engine Lineages }

// GetLineage reads the family of an execution.
func (h lineages) GetLineage(ctx context.Context, r GetLineageRequestObject) (GetLineageResponseObject, error) {
	l, err := h.engine.Lineage(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return GetLineage200JSONResponse(wireLineage(*l)), nil
}

// DiffExecutions compares two executions.
func (h lineages) DiffExecutions(ctx context.Context, r DiffExecutionsRequestObject) (DiffExecutionsResponseObject, error) {
	c, err := h.engine.CompareExecutions(ctx, r.ID, r.Params.With)
	if err != nil {
		return nil, err
	}
	return DiffExecutions200JSONResponse(wireComparison(*c)), nil
}

// DiffAttempts compares two attempts of a task.
func (h lineages) DiffAttempts(ctx context.Context, r DiffAttemptsRequestObject) (DiffAttemptsResponseObject, error) {
	c, err := h.engine.CompareAttempts(ctx, r.ID, r.Ref, r.Params.From, r.Params.To)
	if err != nil {
		return nil, err
	}
	return DiffAttempts200JSONResponse(wireComparison(*c)), nil
}
