package api

import (
	"context"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
)

// POST /v1/executions/{id}/cancel
// POST /v1/executions/{id}/pause
// POST /v1/executions/{id}/resume

// Controls is what the control routes ask of the engine.
type Controls interface {
	Cancel(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Pause(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Resume(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
}

type control struct{ engine Controls }

// CancelExecution cancels.
func (h control) CancelExecution(ctx context.Context, r CancelExecutionRequestObject) (CancelExecutionResponseObject, error) {
	x, err := h.engine.Cancel(ctx, r.ID, request(ctx, r.Body))
	if err != nil {
		return nil, err
	}
	return CancelExecution200JSONResponse{ControlledJSONResponse(wireExecution(*x))}, nil
}

// PauseExecution pauses.
func (h control) PauseExecution(ctx context.Context, r PauseExecutionRequestObject) (PauseExecutionResponseObject, error) {
	x, err := h.engine.Pause(ctx, r.ID, request(ctx, r.Body))
	if err != nil {
		return nil, err
	}
	return PauseExecution200JSONResponse{ControlledJSONResponse(wireExecution(*x))}, nil
}

// ResumeExecution lifts a pause.
func (h control) ResumeExecution(ctx context.Context, r ResumeExecutionRequestObject) (ResumeExecutionResponseObject, error) {
	x, err := h.engine.Resume(ctx, r.ID, request(ctx, r.Body))
	if err != nil {
		return nil, err
	}
	return ResumeExecution200JSONResponse{ControlledJSONResponse(wireExecution(*x))}, nil
}

func request(ctx context.Context, body *ControlRequest) engine.Request {
	return engine.Request{Reason: body.Reason, By: auth.From(ctx).By()}
}
