package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/executions/{id}/tasks
// GET /v1/executions/{id}/tasks/{ref}
// GET /v1/executions/{id}/tasks/{ref}/attempts

// Tasks is what the task routes ask of the engine.
type Tasks interface {
	Tasks(ctx context.Context, id string, page engine.Page) ([]engine.Task, string, error)
	Task(ctx context.Context, id, ref string) (*engine.Task, error)
	Attempts(ctx context.Context, id, ref string, page engine.Page) ([]engine.Attempt, string, error)
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
