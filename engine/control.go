package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Pause starts nothing new in an execution; running tasks finish.
func (e *Engine) Pause(ctx context.Context, id string, r Request) (*Execution, error) {
	return e.control(ctx, id, OperationPause, r)
}

// Resume lets a paused execution go on; its tasks kept their place.
func (e *Engine) Resume(ctx context.Context, id string, r Request) (*Execution, error) {
	return e.control(ctx, id, OperationResume, r)
}

// Cancel cancels everything in an execution that has not ended. When it has
// answered, nothing of it starts any more and every late result is refused.
func (e *Engine) Cancel(ctx context.Context, id string, r Request) (*Execution, error) {
	return e.control(ctx, id, OperationCancel, r)
}

const maxReason = 4096 // bytes: 1,024 characters of any script

func checkReason(reason string) error {
	if len(reason) <= maxReason {
		return nil
	}
	return Invalid("request_invalid", "the request cannot be taken", workflow.Problem{
		Field: "reason", Code: "too_long", Message: fmt.Sprintf("has %d bytes", len(reason)), Allowed: fmt.Sprintf("at most %d", maxReason),
	})
}

const (
	minDeadline = time.Second
	maxDeadline = 30 * 24 * time.Hour
)

// PauseDeadlines says how long a pause may be.
const PauseDeadlines = "a duration of 1s to 720h such as 30m or 2h"

func (e *Engine) control(ctx context.Context, id string, op Operation, r Request) (*Execution, error) {
	x, err := e.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	if r.Deadline != 0 && (r.Deadline < minDeadline || r.Deadline > maxDeadline) {
		return nil, Invalid("request_invalid", "the request cannot be taken", workflow.Problem{
			Field: "deadline", Code: "range", Message: r.Deadline.String() + " is out of range", Allowed: PauseDeadlines,
		})
	}
	if err := checkMemos(r.Memos); err != nil {
		return nil, err
	}
	c, err := e.store.Control(ctx, x.ID, op, r)
	if errors.Is(err, ErrStale) { // its deadline passed: what that does is done before anybody hears of it
		if err := harmless(e.expireExecution(ctx, TimerUnpause, x.ID)); err != nil {
			return nil, err
		}
		return nil, Conflict("pause_expired", "the pause of execution %s ended at its deadline, before it was resumed; it fails", x.ID)
	}
	if err != nil {
		return nil, controlError(x.ID, op, err)
	}
	if op == OperationResume {
		d, p, err := e.document(ctx, x.ID)
		if err != nil {
			return nil, err
		}
		e.relay(ctx, d, p, c.Relay)
		if err := e.overdue(ctx, x); err != nil {
			e.log.Warn("what ended waits during the pause could not be read; a sweep will", "execution", x.ID, "error", err)
		}
	}
	if r.Deadline > 0 {
		e.timers.add(TimerUnpause, Fence{Execution: x.ID}, r.Deadline)
	}
	e.indexed(ctx, x.ID)
	if op != OperationPause || c.Cascades {
		if err := e.Advance(ctx, x.ID); err != nil {
			e.log.Warn("an execution could not be advanced; a sweep will", "execution", x.ID, "error", err)
		}
	}
	return e.Execution(ctx, x.ID)
}

// possible says what each operation needs, for the message of a refusal.
var possible = map[Operation][]workflow.ExecutionStatus{
	OperationPause:  {workflow.ExecutionQueued, workflow.ExecutionRunning},
	OperationResume: {workflow.ExecutionPaused},
	OperationCancel: {workflow.ExecutionQueued, workflow.ExecutionRunning, workflow.ExecutionPaused},
}

func controlError(id string, op Operation, err error) error {
	var status *StatusError
	switch {
	case errors.As(err, &status):
		var names []string
		for _, s := range possible[op] {
			names = append(names, string(s))
		}
		return Conflict("not_"+past[op], "execution %s is %s; %s is possible when it is %s", id, status.Status, op, strings.Join(names, " or "))
	case errors.Is(err, ErrGone):
		return NotFound("execution", id)
	case errors.Is(err, ErrMoved), errors.Is(err, ErrMemosFull):
		return memoError(id, err)
	}
	return fmt.Errorf("engine: %s of %s: %w", op, id, err)
}

var past = map[Operation]string{OperationPause: "pausable", OperationResume: "paused", OperationCancel: "cancelable"}
