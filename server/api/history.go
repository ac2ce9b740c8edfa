package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/executions/{id}/history

// Histories is what the history and event routes ask of the engine.
type Histories interface {
	History(ctx context.Context, id string, page engine.Page) ([]engine.Event, string, error)
	// Watch waits for events behind after, for the end of the execution, or for ctx.
	Watch(ctx context.Context, id, after string) (events []engine.Event, ended bool, err error)
	ExecutionReader
}

type history struct{ engine Histories }

// ListHistory lists what happened, oldest first.
func (h history) ListHistory(ctx context.Context, r ListHistoryRequestObject) (ListHistoryResponseObject, error) {
	list := placeOf("history", r.ID)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.History(ctx, r.ID, page)
	if err != nil {
		return nil, err
	}
	return ListHistory200JSONResponse{Items: each(found, wireEvent), NextCursor: list.next(next)}, nil
}
