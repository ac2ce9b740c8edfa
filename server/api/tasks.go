package api

import (
	"context"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

// GET  /v1/executions/{id}/tasks
// GET  /v1/executions/{id}/tasks/{ref}
// GET  /v1/executions/{id}/tasks/{ref}/attempts
// POST /v1/executions/{id}/tasks/{ref}/complete
// POST /v1/executions/{id}/tasks/{ref}/fail
// POST /v1/executions/{id}/tasks/{ref}/skip

// Tasks is what the task routes ask of the engine.
type Tasks interface {
	Tasks(ctx context.Context, id string, page engine.Page) ([]engine.Task, string, error)
	Task(ctx context.Context, id, ref string) (*engine.Task, error)
	Attempts(ctx context.Context, id, ref string, page engine.Page) ([]engine.Attempt, string, error)
	SettleByHand(ctx context.Context, id, ref string, r engine.HandRequest) (*engine.Task, error)
	PlanByHand(ctx context.Context, id, ref string, r engine.HandRequest) (*workflow.Plan, error)
}

type tasks struct{ engine Tasks }

// ListTasks lists the tasks of an execution, nested ones included.
func (h tasks) ListTasks(ctx context.Context, r ListTasksRequestObject) (ListTasksResponseObject, error) {
	list := placeOf("tasks", r.ID)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Tasks(ctx, r.ID, page)
	if err != nil {
		return nil, err
	}
	return ListTasks200JSONResponse{Items: each(found, wireTask), NextCursor: list.next(next)}, nil
}

// GetTask reads a task.
func (h tasks) GetTask(ctx context.Context, r GetTaskRequestObject) (GetTaskResponseObject, error) {
	t, err := h.engine.Task(ctx, r.ID, r.Ref)
	if err != nil {
		return nil, err
	}
	return GetTask200JSONResponse(wireTask(*t)), nil
}

// ListAttempts lists the attempts of a task, oldest first.
func (h tasks) ListAttempts(ctx context.Context, r ListAttemptsRequestObject) (ListAttemptsResponseObject, error) {
	list := placeOf("attempts", r.ID, r.Ref)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Attempts(ctx, r.ID, r.Ref, page)
	if err != nil {
		return nil, err
	}
	return ListAttempts200JSONResponse{Items: each(found, wireAttempt), NextCursor: list.next(next)}, nil
}

// CompleteTask ends a task as succeeded.
func (h tasks) CompleteTask(ctx context.Context, r CompleteTaskRequestObject) (CompleteTaskResponseObject, error) {
	q := engine.HandRequest{To: workflow.TaskSucceeded, Output: r.Body.Output, Reason: r.Body.Reason, Acknowledge: r.Body.Acknowledge, PlanHash: r.Body.PlanHash}
	a, err := h.settleOrPlan(ctx, r.ID, r.Ref, q, wanted(r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return CompleteTask200JSONResponse{a}, nil
}

// FailTask ends a task as failed.
func (h tasks) FailTask(ctx context.Context, r FailTaskRequestObject) (FailTaskResponseObject, error) {
	q := engine.HandRequest{To: workflow.TaskFailed, Reason: r.Body.Reason}
	if e := r.Body.Error; e != nil {
		q.Error = &workflow.Error{Code: e.Code, Message: e.Message}
	}
	t, err := h.settle(ctx, r.ID, r.Ref, q)
	if err != nil {
		return nil, err
	}
	return FailTask200JSONResponse{SettledJSONResponse(t)}, nil
}

// SkipTask skips a task.
func (h tasks) SkipTask(ctx context.Context, r SkipTaskRequestObject) (SkipTaskResponseObject, error) {
	q := engine.HandRequest{To: workflow.TaskSkipped, Reason: r.Body.Reason, Acknowledge: r.Body.Acknowledge, PlanHash: r.Body.PlanHash}
	a, err := h.settleOrPlan(ctx, r.ID, r.Ref, q, wanted(r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return SkipTask200JSONResponse{a}, nil
}

func (h tasks) settle(ctx context.Context, id, ref string, q engine.HandRequest) (Task, error) {
	q.By = auth.From(ctx).By()
	t, err := h.engine.SettleByHand(ctx, id, ref, q)
	if err != nil {
		return Task{}, err
	}
	return wireTask(*t), nil
}

// settleOrPlan answers the task or, for a dry run, the plan.
func (h tasks) settleOrPlan(ctx context.Context, id, ref string, q engine.HandRequest, dryRun bool) (SettledOrPlannedJSONResponse, error) {
	var answer TaskOrPlan
	if dryRun {
		q.By = auth.From(ctx).By()
		p, err := h.engine.PlanByHand(ctx, id, ref, q)
		if err == nil {
			err = answer.FromPlan(wirePlan(*p))
		}
		return SettledOrPlannedJSONResponse(answer), err
	}
	t, err := h.settle(ctx, id, ref, q)
	if err == nil {
		err = answer.FromTask(t)
	}
	return SettledOrPlannedJSONResponse(answer), err
}
