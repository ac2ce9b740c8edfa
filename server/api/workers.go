package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/workers

// Workers is what the worker route asks of the engine.
type Workers interface {
	Workers(ctx context.Context) ([]engine.Worker, error)
}

type workers struct{ engine Workers }

// ListWorkers lists the live workers.
func (h workers) ListWorkers(ctx context.Context, _ ListWorkersRequestObject) (ListWorkersResponseObject, error) {
	found, err := h.engine.Workers(ctx)
	if err != nil {
		return nil, err
	}
	return ListWorkers200JSONResponse{Items: each(found, wireWorker)}, nil
}
