package api

import (
	"context"
	"strconv"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// POST /v1/executions/{id}/cancel
// POST /v1/executions/{id}/pause
// POST /v1/executions/{id}/resume

// Controls is what the control routes ask of the engine.
type Controls interface {
	Cancel(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Pause(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Resume(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	AnswerGate(ctx context.Context, id string, a engine.Answer) (*engine.Execution, error)
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
	q := engine.Request{Reason: r.Body.Reason, By: auth.From(ctx).By()}
	if text := r.Body.Deadline; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d == 0 {
			return nil, problem.Invalid(invalidRequest, "the execution cannot be paused so", workflow.Problem{
				Field: "deadline", Code: "format", Message: strconv.Quote(text) + " is not a duration that it can have", Allowed: engine.PauseDeadlines,
			})
		}
		q.Deadline = d
	}
	x, err := h.engine.Pause(ctx, r.ID, q)
	if err != nil {
		return nil, err
	}
	return PauseExecution200JSONResponse{ControlledJSONResponse(wireExecution(*x))}, nil
}

// ResumeExecution lifts a pause or, with an input, answers what waits for it.
func (h control) ResumeExecution(ctx context.Context, r ResumeExecutionRequestObject) (ResumeExecutionResponseObject, error) {
	b, by := r.Body, auth.From(ctx).By()
	resume := func() (*engine.Execution, error) {
		return h.engine.Resume(ctx, r.ID, engine.Request{Reason: b.Reason, By: by})
	}
	if b.Input != nil {
		resume = func() (*engine.Execution, error) {
			return h.engine.AnswerGate(ctx, r.ID, engine.Answer{Task: b.Task, Input: b.Input, AnsweredBy: b.AnsweredBy, Reason: b.Reason, By: by})
		}
	} else if wrong := withoutInput(b); wrong != nil {
		return nil, problem.Invalid(invalidRequest, "this goes with an answer, and there is none", wrong...)
	}
	x, err := resume()
	if err != nil {
		return nil, err
	}
	return ResumeExecution200JSONResponse{ControlledJSONResponse(wireExecution(*x))}, nil
}

// withoutInput lists the fields that mean nothing where no input is given.
func withoutInput(b *ResumeRequest) workflow.Problems {
	var wrong workflow.Problems
	for _, f := range []struct{ name, value string }{{"task", b.Task}, {"answered_by", b.AnsweredBy}} {
		if f.value != "" {
			wrong = append(wrong, workflow.Problem{
				Field: f.name, Code: "needs_input", Message: "is of an answer, but input is left out", Allowed: "with input only, which may be null",
			})
		}
	}
	return wrong
}

func request(ctx context.Context, body *ControlRequest) engine.Request {
	return engine.Request{Reason: body.Reason, By: auth.From(ctx).By()}
}
