package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

const (
	// settle is how long a handler whose context ended may take to return
	// before its end is reported without it.
	settle      = 250 * time.Millisecond
	reportPause = 100 * time.Millisecond
)

// outcome is what a handler answered.
type outcome struct {
	output  json.RawMessage
	failure *workflow.Error
}

// run executes a claimed run and reports how it ended. The slot is given back
// when the handler returns, which may be later.
func (w *Worker) run(r *engine.Run, h tasks.Handler, log *slog.Logger) error {
	cancelable, cancel := context.WithCancelCause(w.runs)
	defer cancel(nil)
	l := newLive(r, cancel, r.Sent, w.o.Lease)
	l.log = w.runLog(r.Fence)
	w.beats.add(l)
	defer w.beats.remove(l)
	defer w.endLog(l, log)
	w.o.Metrics.addRunning(1)
	defer w.o.Metrics.addRunning(-1)
	secrets, process := newRedactor(r), log
	log = secrets.log(log)
	if r.Err != nil {
		w.slots.release()
		return w.fail(l, secrets.failure(r.Err), false, log)
	}
	ctx, stop := context.WithTimeoutCause(cancelable, r.At.Timeout, tasks.ErrTimedOut)
	defer stop()
	got, returned := w.await(ctx, w.launch(ctx, r, h, secrets.log(runLogger(process, l.log))), log)
	cause := context.Cause(ctx)
	if cause != nil {
		w.o.Metrics.countCanceled(causeName(cause))
	}
	switch {
	case errors.Is(cause, tasks.ErrCanceled):
		log.Info("run superseded: the execution was canceled or another attempt took its place")
		w.o.Metrics.countRefused("superseded")
		return nil
	case returned && got.failure == nil:
		return w.complete(l, secrets.output(got.output), log)
	case errors.Is(cause, tasks.ErrDraining):
		return w.release(l, log)
	case errors.Is(cause, tasks.ErrLost):
		log.Warn("run given up: its lease came close to its end without a sign of life; it will run again")
		return nil
	case errors.Is(cause, tasks.ErrTimedOut):
		return w.fail(l, &workflow.Error{Code: tasks.CodeTimedOut, Retryable: true,
			Message: fmt.Sprintf("the attempt did not end within its timeout of %s", r.At.Timeout)}, true, log)
	default:
		return w.fail(l, secrets.failure(got.failure), false, log)
	}
}

// launch runs the handler in a goroutine that owns the slot.
func (w *Worker) launch(ctx context.Context, r *engine.Run, h tasks.Handler, log *slog.Logger) <-chan outcome {
	job := &tasks.Job{
		Execution: r.Execution, Number: r.Number, Project: r.Project, Workflow: r.Workflow,
		Ref: r.Ref, Attempt: r.Attempt, Try: r.Try, Worker: w.o.ID,
		IdempotencyKey: r.IdempotencyKey, Log: log, Input: r.Input,
	}
	answer := make(chan outcome, 1)
	go func() {
		defer close(answer)
		defer w.slots.release()
		output, failure := tasks.Run(ctx, h, job)
		answer <- outcome{output, failure}
	}()
	return answer
}

// await waits for the handler, but not for one that ignores the end of ctx.
func (w *Worker) await(ctx context.Context, answer <-chan outcome, log *slog.Logger) (got outcome, returned bool) {
	select {
	case got = <-answer:
		return got, true
	case <-ctx.Done():
	}
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case got = <-answer:
		return got, true
	case <-t.C:
	}
	log.Warn("the handler ignores the end of its context; it keeps its slot until it returns", "cause", context.Cause(ctx))
	w.count(1)
	go func() { // ends with the handler
		for range answer {
		}
		w.count(-1)
	}()
	return outcome{}, false
}

func (w *Worker) count(zombies int) {
	w.zombies.Add(int64(zombies))
	w.o.Metrics.addZombies(float64(zombies))
	w.slots.adjust(zombies)
}

func (w *Worker) complete(l *live, output json.RawMessage, log *slog.Logger) error {
	err := w.report(l, log, func(ctx context.Context) error { return w.o.Engine.Complete(ctx, l.run, output) })
	if failure, ok := errors.AsType[*workflow.Error](err); ok {
		return &archived{failure: failure}
	}
	return nil
}

func (w *Worker) fail(l *live, f *workflow.Error, timedOut bool, log *slog.Logger) error {
	var final bool
	err := w.report(l, log, func(ctx context.Context) (err error) {
		final, err = w.o.Engine.Fail(ctx, l.run, f, timedOut)
		return err
	})
	if err == nil && final {
		return &archived{failure: f}
	}
	return nil
}

func (w *Worker) release(l *live, log *slog.Logger) error {
	log.Info("run handed back: the worker drains")
	_ = w.report(l, log, func(ctx context.Context) error { return w.o.Engine.Release(ctx, l.run) })
	return nil
}

// endLog keeps what is left of a run's log, which was reported or given up.
func (w *Worker) endLog(l *live, log *slog.Logger) {
	lost, untold := l.log.giveUp()
	if untold > 0 {
		log.Warn("lines of a task's log were lost: Redis could not be reached", "lines", untold)
	}
	w.o.Metrics.countLostLines(lost)
}

// report tells the engine how a run ended, again and again while Redis cannot be
// asked and the lease holds. After that the run is the reconciler's.
func (w *Worker) report(l *live, log *slog.Logger, call func(context.Context) error) error {
	var once sync.Once
	pause := reportPause
	for begun := time.Now(); ; {
		_ = l.log.end() // first, so that the log is there when the task has ended; endLog tries again
		// Detached: a result must get through however its handler's context ended.
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		err := call(ctx)
		cancel()
		var failure *workflow.Error
		switch {
		case err == nil, errors.As(err, &failure):
			return err
		case isEngineError(err):
			log.Warn("the engine refused the result", "reason", err)
			w.o.Metrics.countRefused("fenced")
			return err
		}
		once.Do(func() { log.Warn("reporting the result failed; trying again while the lease holds", "error", err) })
		left := min(l.left(), 3*w.o.Lease-time.Since(begun))
		if left <= 0 {
			log.Error("the result could not be reported before the lease ended; the task will run again", "error", err)
			return err
		}
		w.o.Metrics.countReport()
		time.Sleep(min(pause, left))
		pause = min(2*pause, time.Second)
	}
}

func causeName(cause error) string {
	switch {
	case errors.Is(cause, tasks.ErrTimedOut):
		return "timed_out"
	case errors.Is(cause, tasks.ErrCanceled):
		return "canceled"
	case errors.Is(cause, tasks.ErrLost):
		return "lost"
	case errors.Is(cause, tasks.ErrDraining):
		return "draining"
	}
	return "other"
}
