package engine

import (
	"context"
	"errors"
	"time"
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
	_, _, err = e.store.Redispatch(ctx, t.Fence, WhyRelease, min(delay, maxSilence))
	if errors.Is(err, ErrStale) {
		e.metrics.fenced("postpone")
	}
	return e.reported(t, err)
}
