package prefect

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// bulkSetState does to many flow runs what setState does to one.
func (h *handlers) bulkSetState(c *gin.Context) error {
	var q struct {
		setStateRequest
		Runs  *runFilter `json:"flow_runs"`
		Limit *int       `json:"limit"`
	}
	if err := read(c.Request, bulkShape, &q); err != nil {
		return err
	}
	limit := mostBulk
	if q.Limit != nil {
		limit = *q.Limit
	}
	ctx := c.Request.Context()
	found, err := h.first(ctx, &selection{Runs: q.Runs}, limit)
	if err != nil {
		return err
	}
	results := []bulkOutcome{}
	for _, w := range found {
		o, err := h.setOne(ctx, w.ID, &q.setStateRequest)
		if err != nil {
			return err
		}
		results = append(results, bulkOutcome{FlowRunID: w.ID, outcome: *o})
	}
	return answer(c, http.StatusOK, map[string]any{"results": results})
}

const mostBulk = 50

var bulkShape = shapeOf("flow_runs", runFilterKind, "state", shaped(stateShape).must(), "force", aBool, "limit", anInt.from(1).upTo(mostBulk)).embedded()

type bulkOutcome struct {
	FlowRunID string `json:"flow_run_id"`
	outcome
}

func (h *handlers) setOne(ctx context.Context, id string, q *setStateRequest) (*outcome, error) {
	for range tries {
		r, err := h.load(ctx, id)
		if err != nil {
			return nil, err
		}
		o, err := h.set(ctx, r, q)
		if !raced(err) {
			return o, err
		}
	}
	return nil, errBusy
}

// remove takes a flow run away that has ended.
func (h *handlers) remove(c *gin.Context) error {
	r, err := h.run(c, notFound)
	if err != nil {
		return err
	}
	if err := h.engine.Remove(c.Request.Context(), r.x.ID); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

var bulkDeleteShape = shapeOf("flow_runs", runFilterKind, "limit", anInt.from(1).upTo(mostBulk)).embedded()

type bulkDeleted struct {
	Deleted []string `json:"deleted"`
}

// bulkDelete takes those away of some flow runs that have ended.
func (h *handlers) bulkDelete(c *gin.Context) error {
	var q struct {
		Runs  *runFilter `json:"flow_runs"`
		Limit *int       `json:"limit"`
	}
	if err := read(c.Request, bulkDeleteShape, &q); err != nil {
		return err
	}
	limit := mostBulk
	if q.Limit != nil {
		limit = *q.Limit
	}
	ctx := c.Request.Context()
	found, err := h.first(ctx, &selection{Runs: q.Runs}, limit)
	if err != nil {
		return err
	}
	all := bulkDeleted{[]string{}}
	for _, w := range found {
		if _, err = compat.Execution(ctx, h.engine, w.ID); err == nil {
			err = h.engine.Remove(ctx, w.ID)
		}
		e, refused := errors.AsType[*engine.Error](err)
		switch {
		case err == nil:
			all.Deleted = append(all.Deleted, w.ID)
		case !refused || e.Kind != engine.KindConflict && e.Kind != engine.KindNotFound:
			return err
		}
	}
	return answer(c, http.StatusOK, all)
}
