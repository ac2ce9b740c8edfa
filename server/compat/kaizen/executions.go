package kaizen

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// retry runs an execution that has ended again, from its start, as a new one. What the
// state forbids is an answer of this operation, not an error.
func (h *handlers) retry(c *gin.Context) error {
	var q idRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	ctx := c.Request.Context()
	made, err := h.redrive(ctx, q.ID)
	var refused *engine.Error
	if errors.As(err, &refused) && refused.Kind == engine.KindConflict {
		return compat.Answer(c.Writer, http.StatusOK, failure{Message: refused.Message})
	}
	if err != nil {
		return err
	}
	x, err := h.wire(ctx, *made)
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, retryAnswer{Success: true, Message: retried, Execution: executionAnswer{x}})
}

func (h *handlers) redrive(ctx context.Context, id string) (*engine.Execution, error) {
	x, err := compat.Execution(ctx, h.engine, id)
	if err != nil {
		return nil, err
	}
	if !x.Status.Ended() {
		return nil, engine.Conflict("not_ended", "execution %s is %s: it can be retried when it has ended", x.ID, status(x.Status))
	}
	return h.engine.Redrive(ctx, x.ID, engine.RedriveRequest{
		Redrive: workflow.Redrive{Operation: workflow.OperationRerun, Identity: workflow.NewExecution, Budget: workflow.BudgetFull},
		By:      auth.From(ctx).By(),
	})
}

func (h *handlers) get(c *gin.Context) error {
	var q idRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	ctx := c.Request.Context()
	found, err := compat.Execution(ctx, h.engine, q.ID)
	if err != nil {
		return err
	}
	x, err := h.wire(ctx, *found)
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, executionAnswer{x})
}

// wire turns an execution into Kaizen's, with what has to be read for that.
func (h *handlers) wire(ctx context.Context, x engine.Execution) (execution, error) {
	all, err := h.wireAll(ctx, []engine.Execution{x})
	if err != nil {
		return execution{}, err
	}
	return all[0], nil
}

// wireAll reads each definition once.
func (h *handlers) wireAll(ctx context.Context, found []engine.Execution) ([]execution, error) {
	type definition struct{ project, hash string }
	begins := map[definition][]block{}
	all := make([]execution, 0, len(found))
	for i := range found {
		x := &found[i]
		of := definition{x.Project, x.DefinitionHash}
		if _, read := begins[of]; !read {
			d, err := h.engine.ExecutionDefinition(ctx, x)
			if err != nil {
				return nil, err
			}
			if begins[of], err = beginning(d.Tasks); err != nil {
				return nil, err
			}
		}
		chain, err := h.engine.Chain(ctx, x)
		if err != nil {
			return nil, err
		}
		all = append(all, wireExecution(x, chain, begins[of][0]))
	}
	return all, nil
}
