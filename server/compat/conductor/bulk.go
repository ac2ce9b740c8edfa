package conductor

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
)

// maxBulk is how many ids a bulk request may have.
const maxBulk = 1000

// bulk is the route of an operation on many executions, one after the other.
func (h *handlers) bulk(ask func(c *gin.Context) operation) func(*gin.Context) error {
	return func(c *gin.Context) error {
		does := ask(c)
		return h.bulkAnswer(c, func(ctx context.Context, x *engine.Execution) (any, error) { return x.ID, does(ctx, x) })
	}
}

// bulkSearch answers many executions: POST /workflow/bulk/search.
func (h *handlers) bulkSearch(c *gin.Context) error {
	withTasks := boolean(c, "includeTasks", true)
	return h.bulkAnswer(c, func(ctx context.Context, x *engine.Execution) (any, error) { return h.wire(ctx, x, withTasks) })
}

func (h *handlers) bulkAnswer(c *gin.Context, does func(context.Context, *engine.Execution) (any, error)) error {
	var ids []string
	if err := read(c.Request, &ids); err != nil {
		return err
	}
	switch {
	case len(ids) == 0:
		return invalidDef{{Path: "workflowIds", Message: "WorkflowIds list cannot be null."}}
	case len(ids) > maxBulk:
		return invalidDef{{Path: "workflowIds", Message: "Cannot process more than 1000 workflows. Please use multiple requests."}}
	}
	ctx := c.Request.Context()
	answer := bulkAnswer{Errors: map[string]string{}, Successful: []any{}}
	for _, id := range ids {
		x, err := h.found(ctx, id)
		var done any
		if err == nil {
			done, err = does(ctx, x)
		}
		if err != nil {
			message, ok := told(err)
			if !ok {
				return err
			}
			answer.Errors[id] = message
			continue
		}
		answer.Successful = append(answer.Successful, done)
	}
	return answerJSON(c, answer)
}
