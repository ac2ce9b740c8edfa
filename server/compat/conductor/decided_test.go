package conductor

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

// undecided is an engine with one execution, in which a noop is queued as soon as it was redriven.
type undecided struct {
	Engine
	x        engine.Execution
	fails    error // to read tasks
	redriven int
	trees    int
}

func (e *undecided) Execution(context.Context, string) (*engine.Execution, error) {
	x := e.x
	return &x, nil
}

func (e *undecided) Redrive(context.Context, string, engine.RedriveRequest) (*engine.Execution, error) {
	e.redriven++
	e.x.Status = workflow.ExecutionRunning
	return &e.x, nil
}

func (e *undecided) Advance(context.Context, string) error { return nil }

func (e *undecided) Tasks(context.Context, string, engine.Page) ([]engine.Task, string, error) {
	e.trees++
	return []engine.Task{{Type: "noop", Status: workflow.TaskQueued}}, "", e.fails
}

func (e *undecided) Workers(context.Context) ([]engine.Worker, error) {
	return []engine.Worker{{Queues: map[string]int{"": 1}, Types: []string{"noop"}}}, nil
}

func undecidedOver(e Engine) *handlers {
	h := handlersOver(e)
	h.logger, h.waiters = slog.New(slog.DiscardHandler), make(chan struct{}, 1)
	return h
}

// TestDoneIsNoError: whoever asked for a rerun is told that it was done, whatever waiting for what comes of it does.
func TestDoneIsNoError(t *testing.T) {
	for _, full := range []bool{false, true} {
		e := &undecided{x: engine.Execution{ID: "x", Status: workflow.ExecutionFailed, TasksSummary: map[workflow.TaskStatus]int{workflow.TaskQueued: 1}}, fails: errors.New("no connection")}
		h := undecidedOver(e)
		if full {
			h.waiters <- struct{}{}
		}
		w := httptest.NewRecorder()
		c, _ := gin.CreateTestContext(w)
		c.Request = httptest.NewRequestWithContext(auth.With(t.Context(), &auth.Principal{}), "POST", "/", strings.NewReader("{}"))
		c.Params = gin.Params{{Key: "id", Value: "x"}}
		require.NoError(t, h.rerun(c))
		require.Equal(t, []any{200, "x", 1}, []any{w.Code, w.Body.String(), e.redriven})
	}
}

// TestHowMuchDecidedReads: the tasks only where something can be decided, and again only once something has changed.
func TestHowMuchDecidedReads(t *testing.T) {
	queued := map[workflow.TaskStatus]int{workflow.TaskQueued: 1}
	for name, c := range map[string]struct {
		x     engine.Execution
		most  time.Duration
		trees int
	}{
		"waits for a noop": {engine.Execution{Status: workflow.ExecutionRunning, TasksSummary: queued}, decideTime, 1},
		"paused":           {engine.Execution{Status: workflow.ExecutionPaused, TasksSummary: queued}, 0, 0},
		"ended":            {engine.Execution{Status: workflow.ExecutionFailed, TasksSummary: queued}, 0, 0},
		"waits its turn":   {engine.Execution{Status: workflow.ExecutionQueued, Waits: true, TasksSummary: queued}, 0, 0},
		"nothing queued":   {engine.Execution{Status: workflow.ExecutionRunning}, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := &undecided{x: c.x}
			began := time.Now()
			undecidedOver(e).decided(t.Context(), "x")
			require.Equal(t, []any{c.most, c.trees}, []any{time.Since(began), e.trees}, name)
		})
	}
}
