package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET  /v1/queues
// POST /v1/queues/{queue}/pause
// POST /v1/queues/{queue}/resume

// Queues is what the queue routes ask of the engine.
type Queues interface {
	Queues(ctx context.Context) ([]engine.Queue, error)
	PauseQueue(ctx context.Context, name string) (*engine.Queue, error)
	ResumeQueue(ctx context.Context, name string) (*engine.Queue, error)
}

type queues struct{ engine Queues }

// ListQueues lists all queues.
func (h queues) ListQueues(ctx context.Context, _ ListQueuesRequestObject) (ListQueuesResponseObject, error) {
	found, err := h.engine.Queues(ctx)
	if err != nil {
		return nil, err
	}
	return ListQueues200JSONResponse{Items: each(found, wireQueue)}, nil
}

// PauseQueue pauses a queue for all projects.
func (h queues) PauseQueue(ctx context.Context, r PauseQueueRequestObject) (PauseQueueResponseObject, error) {
	q, err := h.engine.PauseQueue(ctx, r.Queue)
	if err != nil {
		return nil, err
	}
	return PauseQueue200JSONResponse(wireQueue(*q)), nil
}

// ResumeQueue resumes a queue.
func (h queues) ResumeQueue(ctx context.Context, r ResumeQueueRequestObject) (ResumeQueueResponseObject, error) {
	q, err := h.engine.ResumeQueue(ctx, r.Queue)
	if err != nil {
		return nil, err
	}
	return ResumeQueue200JSONResponse(wireQueue(*q)), nil
}
