package kaizen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

const (
	// usualWait is how long executeSync waits when no timeout is given: Kaizen's own.
	usualWait = 3 * time.Hour
	// waitGrace is how much longer than its timeout an execution may take to end, and the answer to be written.
	waitGrace = 30 * time.Second
)

// execute starts an execution.
func (h *handlers) execute(c *gin.Context) error {
	x, _, err := h.start(c)
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, executeAnswer{ExecutionID: x.ID, Status: begun(x.Status), Message: started})
}

// executeSync starts an execution and answers when it has ended; as it is, when that takes longer than its timeout or the server stops.
func (h *handlers) executeSync(c *gin.Context) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		p := problem.New(http.StatusServiceUnavailable, "too_many_waiters", "%d calls of executeSync wait here already: try again, or use /workflows/execute", cap(h.slots))
		p.RetryAfter = 5
		return p
	}
	x, wait, err := h.start(c)
	if err != nil {
		return err
	}
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(wait + 2*waitGrace)) // not every writer has deadlines
	ctx := c.Request.Context()
	if err := h.await(ctx, x.ID, wait+waitGrace); err != nil {
		return err
	}
	now, err := h.engine.Execution(ctx, x.ID)
	if err != nil {
		return err
	}
	answer, err := h.wire(ctx, *now)
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, executionAnswer{answer})
}

// start starts what a request asks for, and answers how long it may take.
func (h *handlers) start(c *gin.Context) (*engine.Execution, time.Duration, error) {
	var q executeRequest
	if err := read(c.Request, &q); err != nil {
		return nil, 0, err
	}
	ctx := c.Request.Context()
	project := compat.Project(ctx)
	r := q.startRequest()
	r.By = auth.From(ctx).By()
	if q.StartBlockID != "" {
		w, err := h.engine.Workflow(ctx, project, r.Workflow, 0)
		if err != nil {
			return nil, 0, err
		}
		var d workflow.Definition
		if err := json.Unmarshal(w.Definition, &d); err != nil {
			return nil, 0, fmt.Errorf("kaizen: reading a definition: %w", err)
		}
		blocks, err := beginning(d.Tasks)
		if err != nil {
			return nil, 0, err
		}
		if err := checkStartBlock(q.StartBlockID, blocks); err != nil {
			return nil, 0, err
		}
		r.Version = w.Version
	}
	x, _, err := h.engine.Start(ctx, project, r)
	if err == nil {
		compat.Started(ctx, x)
	}
	if r.Timeout == 0 {
		r.Timeout = usualWait
	}
	return x, r.Timeout, err
}

// await waits for the end of an execution, but not for longer than so.
func (h *handlers) await(request context.Context, id string, most time.Duration) error {
	ctx, cancel := context.WithTimeout(request, most)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	for after := ""; ; {
		events, ended, err := h.engine.Watch(ctx, id, after)
		if err != nil && ctx.Err() != nil {
			err = request.Err() // nil: the time is over, which is no error
			ended = true
		}
		if err != nil || ended {
			return err
		}
		if len(events) == 0 {
			return errors.New("kaizen: an execution that did not end has no news")
		}
		after = events[len(events)-1].Seq
	}
}
