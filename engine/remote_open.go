package engine

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/workflow"
)

// RemoteToken answers the token of the run that holds an attempt now, for a protocol whose
// workers name what they report on by the attempt. KindConflict stale when there is none.
func (e *Engine) RemoteToken(ctx context.Context, f Fence) (string, error) {
	recs, err := e.store.States(ctx, []Fence{f})
	if err != nil {
		return "", err
	}
	rec := recs[0]
	f.Dispatch = rec.Dispatch
	if rec.Attempt != f.Attempt || rec.Deadline == 0 || rec.Status.Ended() {
		e.metrics.fenced("report")
		return "", errStaleRun(f)
	}
	d, _, err := e.document(ctx, f.Execution)
	if err != nil {
		return "", err
	}
	secret, err := e.remote.signer.load(ctx, e.store, false)
	if err != nil {
		return "", err
	}
	return ticket{
		Fence: f, Worker: rec.Worker, Fleet: rec.Worker, Epoch: d.Epoch, Try: rec.Try, Started: rec.Started,
		Lease: RemoteLease.Milliseconds(), Hash: rec.Hash,
	}.seal(secret)
}

// RemoteTake claims an attempt that waits to be handed out, for a protocol whose reports may be on what nobody was given.
// nil where it does not wait any more, or cannot start now.
func (e *Engine) RemoteTake(ctx context.Context, f Fence, worker string) (*RemoteRun, error) {
	recs, err := e.store.States(ctx, []Fence{f})
	if err != nil || recs[0].Attempt != f.Attempt || recs[0].Status != workflow.TaskQueued {
		return nil, err
	}
	f.Dispatch = recs[0].Dispatch
	return e.handOut(ctx, Poll{Worker: worker, Lease: RemoteLease}, f), nil
}

// RemotePostpone hands a remote run back: the same attempt is delivered again after the
// delay, and no try is used. KindConflict stale when the run is over.
func (e *Engine) RemotePostpone(ctx context.Context, id, ref, token string, delay time.Duration) error {
	t, err := e.openToken(ctx, id, ref, token)
	if err != nil {
		return err
	}
	if delay <= 0 {
		return e.reported(t, e.redispatch(ctx, t.Fence, WhyRelease))
	}
	delay = min(delay, maxSilence)
	next, relay, err := e.store.Redispatch(ctx, t.Fence, WhyPostpone, delay)
	if errors.Is(err, ErrStale) {
		e.metrics.fenced("postpone")
	}
	if err == nil && relay {
		e.timers.add(timerDeliver, next, delay)
	}
	return e.reported(t, err)
}

// Hasten makes the next attempt of a task whose back-off is not over, and delivers one that a worker handed back until later.
// KindConflict stale when the attempt waits for neither.
func (e *Engine) Hasten(ctx context.Context, f Fence) error {
	retrying, err := e.store.Hasten(ctx, f)
	switch {
	case errors.Is(err, ErrStale) || errors.Is(err, ErrGone):
		return errStaleRun(f)
	case err != nil:
		return err
	case retrying:
		return harmless(e.retryNow(ctx, f))
	}
	return harmless(e.deliver(ctx, f))
}

// timerDeliver is the kind of a timer that is not stored: a run that was handed back is sent out again. Where the
// process that took it back is gone by then, a sweep does so.
const timerDeliver TimerKind = "deliver"

func (e *Engine) deliver(ctx context.Context, f Fence) error {
	recs, err := e.store.States(ctx, []Fence{f})
	if err != nil || recs[0].Status != workflow.TaskQueued || recs[0].Attempt != f.Attempt {
		return err
	}
	if due := recs[0].Due; due > 0 { // it was handed back again since, until later than this timer says
		now, err := e.store.Time(ctx)
		if err != nil {
			return err
		}
		if in := msTime(due).Sub(now); in > 0 {
			return &NotDue{In: in}
		}
	}
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return err
	}
	f.Dispatch = recs[0].Dispatch
	e.relay(ctx, d, p, []Fence{f})
	return nil
}
