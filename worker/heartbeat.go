package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
)

// live is a claimed run in this process.
type live struct {
	run    *engine.Run
	cancel context.CancelCauseFunc
	lease  time.Duration
	log    *runLog

	mu    sync.Mutex
	alive time.Time // when the last sign of life that arrived was sent, by the monotonic clock
	last  *time.Timer
}

// newLive starts the watch over a lease that was granted after sent. The run is
// canceled before the lease can end, however slow Redis is to answer.
func newLive(r *engine.Run, cancel context.CancelCauseFunc, sent time.Time, lease time.Duration) *live {
	l := &live{run: r, cancel: cancel, lease: lease, alive: sent}
	l.last = time.AfterFunc(time.Until(sent.Add(safe(lease))), func() { cancel(tasks.ErrLost) })
	return l
}

// safe is the part of a lease in which a handler may still run.
func safe(lease time.Duration) time.Duration { return lease * 8 / 10 }

func (l *live) extend(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.alive) {
		l.alive = sent
		l.last.Reset(time.Until(sent.Add(safe(l.lease))))
	}
}

// left is how long the lease holds at least.
func (l *live) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.alive.Add(l.lease))
}

// beats gives signs of life for all runs of the process, in one batch.
type beats struct {
	engine Runs
	every  time.Duration
	log    *slog.Logger

	mu   sync.Mutex
	runs map[engine.Fence]*live
}

func newBeats(e Runs, every time.Duration, log *slog.Logger) *beats {
	return &beats{engine: e, every: every, log: log, runs: make(map[engine.Fence]*live)}
}

func (b *beats) add(l *live) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[l.run.Fence] = l
}

func (b *beats) remove(l *live) {
	l.last.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.runs, l.run.Fence)
}

func (b *beats) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.runs)
}

// of lists the runs of one execution; "" means all.
func (b *beats) of(execution string) []*live {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*live, 0, len(b.runs))
	for f, l := range b.runs {
		if execution == "" || f.Execution == execution {
			list = append(list, l)
		}
	}
	return list
}

// loop beats until ctx ends.
func (b *beats) loop(ctx context.Context) {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.beat(ctx, b.of(""))
		}
	}
}

// beat extends the leases of the runs and cancels those that were superseded.
func (b *beats) beat(ctx context.Context, list []*live) {
	if len(list) == 0 {
		return
	}
	call, cancel := context.WithTimeout(ctx, b.every)
	defer cancel()
	runs := make([]*engine.Run, len(list))
	for i, l := range list {
		runs[i] = l.run
	}
	sent := time.Now()
	var trouble error
	for i, err := range b.engine.Heartbeat(call, runs) {
		switch {
		case err == nil:
			list[i].extend(sent)
		case errors.Is(err, engine.ErrStale), errors.Is(err, engine.ErrGone):
			list[i].cancel(tasks.ErrCanceled)
		default:
			trouble = err
		}
	}
	if trouble != nil && ctx.Err() == nil {
		b.log.Warn("sign of life failed; handlers are canceled when their lease comes close to its end", "error", trouble)
	}
}
