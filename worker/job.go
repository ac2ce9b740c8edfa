package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

// errNotNow gives a job back to asynq without counting it as a failure.
var errNotNow = errors.New("redrive worker: not now")

const archivedPrefix = "redrive: "

// archived is the failure of an attempt as asynq keeps it. Its text is how a
// job that somebody ran again in asynqmon is told from a lost acknowledgement.
type archived struct {
	failure *workflow.Error
	again   bool // not to be archived but delivered again, with the text kept
}

func (a *archived) Error() string { return archivedPrefix + a.failure.Error() }

func (a *archived) Is(target error) bool { return target == asynq.SkipRetry && !a.again }

// process handles one delivery. nil acknowledges it.
func (w *Worker) process(ctx context.Context, t *asynq.Task) error {
	growStack(0)
	w.busy.Add(1)
	defer func() {
		w.busy.Add(-1)
		w.hook.Freed()
		w.o.Claims.Ended()
	}()
	// asynq's own deadline must not reach what reports to the engine.
	ctx = context.WithoutCancel(ctx)
	fence, err := queue.ReadJob(t)
	if err != nil {
		w.log.Error("a job that is not Redrive's is on one of its queues", "type", t.Type(), "error", err)
		return &archived{failure: &workflow.Error{Code: "foreign_job",
			Message: "the payload is none of Redrive's; use another queue for other asynq jobs"}}
	}
	log := w.log.With("execution", fence.Execution, "task", fence.Ref, "attempt", fence.Attempt)
	kind, ok := w.o.Types.Get(t.Type())
	if !ok {
		return w.decline(ctx, fence, t.Type(), log)
	}
	if !w.slots.acquire(w.taking) {
		if w.o.Claims.Drop(fence) {
			w.releaseClaim(fence)
			return nil
		}
		return errNotNow
	}
	run, err := w.o.Engine.Claim(ctx, fence, w.o.ID)
	w.hook.Freed() // the claim that came with the job counts no more
	if err != nil {
		w.slots.release()
		if w.o.Claims.Drop(fence) { // it was granted, and what it is for could not be read
			w.releaseClaim(fence)
			return nil
		}
		return w.refused(ctx, fence, err, log)
	}
	return w.run(run, kind.Handler, log)
}

func (w *Worker) decline(ctx context.Context, f engine.Fence, kind string, log *slog.Logger) error {
	log.Warn("this worker has no such task type; the job is handed on", "type", kind)
	w.o.Metrics.countRefused("declined")
	w.o.Claims.Drop(f)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := w.o.Engine.Decline(ctx, f); err != nil && !refusal(err) {
		return fmt.Errorf("redrive worker: handing on a job of type %q: %w", kind, err)
	}
	return nil
}

// refused decides about a job that could not be claimed.
func (w *Worker) refused(ctx context.Context, f engine.Fence, err error, log *slog.Logger) error {
	var before *engine.FailedBefore
	switch {
	case errors.As(err, &before):
		return w.failedBefore(ctx, f, before.Failure, log)
	case errors.Is(err, engine.ErrStale):
		w.o.Metrics.countRefused("stale")
	case errors.Is(err, engine.ErrPaused):
		w.o.Metrics.countRefused("paused")
	case errors.Is(err, engine.ErrGone):
		w.o.Metrics.countRefused("gone")
	default:
		return fmt.Errorf("redrive worker: claiming: %w", err)
	}
	log.Debug("delivery refused", "reason", err)
	return nil
}

// failedBefore decides about the job of an attempt that failed for good: it was
// either run again by hand, or its archiving got lost.
func (w *Worker) failedBefore(ctx context.Context, f engine.Fence, failure *workflow.Error, log *slog.Logger) error {
	w.o.Metrics.countRefused("failed_before")
	if failure == nil {
		failure = &workflow.Error{Code: tasks.CodeError, Message: "the attempt failed before"}
	}
	queue, _ := asynq.GetQueueName(ctx)
	id, _ := asynq.GetTaskID(ctx)
	info, err := w.look.GetTaskInfo(queue, id)
	if err != nil {
		return fmt.Errorf("redrive worker: looking at the last error of a failed job: %w", err)
	}
	if !strings.HasPrefix(info.LastErr, archivedPrefix) {
		return &archived{failure: failure}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch err := w.o.Engine.RetryJob(ctx, f, "asynqmon"); {
	case err == nil, errors.Is(err, engine.ErrStale), errors.Is(err, engine.ErrGone):
		log.Info("the job of a failed task was run again by hand: the task is retried")
		return nil
	case isEngineError(err):
		log.Warn("the job of a failed task was run again by hand, but the task cannot be retried", "error", err)
		return &archived{failure: failure}
	default:
		log.Warn("retrying a failed task did not reach Redis", "error", err)
		return &archived{failure: failure, again: true}
	}
}

// refusal reports whether the engine answered, and said no.
func refusal(err error) bool {
	return errors.Is(err, engine.ErrStale) || errors.Is(err, engine.ErrPaused) ||
		errors.Is(err, engine.ErrGone) || errors.Is(err, engine.ErrFailedBefore)
}

// isEngineError reports whether err is the domain's word and not Redis' trouble.
func isEngineError(err error) bool {
	var e *engine.Error
	return refusal(err) || errors.As(err, &e) && e.Kind != engine.KindUnavailable
}
