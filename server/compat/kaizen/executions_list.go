package kaizen

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

const (
	// scanned is how many pages of executions are read for one of a list: what the engine has no index for is filtered here.
	scanned = 20
	// counted is how many executions of a batch are read at once.
	counted = 1000
)

// list lists executions, newest first.
func (h *handlers) list(c *gin.Context) error {
	var q listRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	ctx := c.Request.Context()
	found, next, err := h.find(ctx, q)
	if err != nil {
		return err
	}
	answer := listAnswer{}
	if answer.Executions, err = h.wireAll(ctx, found); err != nil {
		return err
	}
	if next != "" {
		answer.NextCursor = &next
	}
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

// find answers a page and where the next one begins. A page may be short.
func (h *handlers) find(ctx context.Context, q listRequest) ([]engine.Execution, string, error) {
	filter := q.filter()
	page := engine.Page{Cursor: q.Cursor, Limit: q.limit()}
	var found []engine.Execution
	for range scanned {
		// No more than are missing: the cursor is behind the last that was read.
		page.Limit = q.limit() - len(found)
		some, next, err := h.engine.Executions(ctx, compat.Project(ctx), filter, page)
		if err != nil {
			return nil, "", err
		}
		for i := range some {
			if q.matches(&some[i]) {
				found = append(found, some[i])
			}
		}
		page.Cursor = next
		if next == "" || len(found) == q.limit() {
			break
		}
	}
	return found, page.Cursor, nil
}

// batch counts the executions of a batch.
func (h *handlers) batch(c *gin.Context) error {
	var q batchRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	ctx := c.Request.Context()
	answer := batchAnswer{Name: q.BatchID}
	filter := engine.ExecutionFilter{LabelKey: labelBatch, LabelValue: q.BatchID}
	for page := (engine.Page{Limit: counted}); ; {
		some, next, err := h.engine.Executions(ctx, compat.Project(ctx), filter, page)
		if err != nil {
			return err
		}
		for i := range some {
			answer.Statistics.count(some[i].Status)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if answer.Statistics.Total == 0 {
		return engine.NotFound("batch", q.BatchID)
	}
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

func (s *statistics) count(status workflow.ExecutionStatus) {
	s.Total++
	switch {
	case !status.Ended():
		s.InProgress++
	case status == workflow.ExecutionSucceeded:
		s.Completed++
	default:
		s.Failed++
	}
}
