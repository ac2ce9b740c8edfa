package engine

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// timers fires what becomes due to the millisecond. A process knows the ones it made
// itself at once, and those of the shards it leads from its sweeps; the stored
// timer is the truth, so that firing one twice or too early does nothing.
type timers struct {
	fire func(ctx context.Context, kind TimerKind, f Fence)

	mu    sync.Mutex
	queue timerQueue
	known map[timerKey]time.Time // when it is due
	kick  chan struct{}          // capacity 1: an earlier timer came
}

type timerKey struct {
	kind  TimerKind
	fence Fence
}

type timerEntry struct {
	timerKey
	due time.Time
}

type timerQueue []timerEntry

func (q timerQueue) Len() int           { return len(q) }
func (q timerQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q timerQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *timerQueue) Push(x any)        { *q = append(*q, x.(timerEntry)) }
func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

const (
	maxTimers     = 100_000     // in memory; more are found by sweeps
	timersAtATime = 16          // fired in parallel
	clockStep     = time.Second // a timer that is due so much earlier than thought replaces the one in memory: Redis' clock was set
)

func newTimers(fire func(context.Context, TimerKind, Fence)) *timers {
	return &timers{fire: fire, known: map[timerKey]time.Time{}, kick: make(chan struct{}, 1)}
}

func (t *timers) add(kind TimerKind, f Fence, in time.Duration) {
	f.Dispatch = 0 // a timer belongs to an attempt
	key := timerKey{kind, f}
	t.mu.Lock()
	defer t.mu.Unlock()
	due := time.Now().Add(in)
	known, ok := t.known[key]
	if ok && known.Sub(due) < clockStep || len(t.queue) >= maxTimers {
		return
	}
	t.known[key] = due
	heap.Push(&t.queue, timerEntry{key, due})
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// due takes what is due now and says how long until the next one is.
func (t *timers) due() (now []timerKey, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) > 0 {
		if in := time.Until(t.queue[0].due); in > 0 {
			return now, in
		}
		e := heap.Pop(&t.queue).(timerEntry)
		if !t.known[e.timerKey].Equal(e.due) {
			continue // an earlier one took its place
		}
		delete(t.known, e.timerKey)
		now = append(now, e.timerKey)
	}
	return now, time.Hour
}

func (t *timers) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, timersAtATime)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.kick:
		case <-timer.C:
		}
		now, next := t.due()
		for _, key := range now {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				t.fire(ctx, key.kind, key.fence)
			})
		}
		timer.Reset(next)
	}
}

// fire does what is due, if it is, and asks again where it is not yet.
func (e *Engine) fire(ctx context.Context, kind TimerKind, f Fence) {
	err := map[TimerKind]func(context.Context, Fence) error{
		TimerRetry: e.retryNow, TimerWake: e.wake, TimerLimit: e.timeOut, timerDeliver: e.deliver,
		TimerExpire:  func(ctx context.Context, f Fence) error { return e.expireExecution(ctx, kind, f.Execution) },
		TimerUnpause: func(ctx context.Context, f Fence) error { return e.expireExecution(ctx, kind, f.Execution) },
	}[kind](ctx, f)
	var early *NotDue
	switch {
	case errors.As(err, &early):
		e.timers.add(kind, f, early.In)
	case harmless(err) != nil:
		e.log.Warn("something that was due could not be done; a sweep will", "what", kind, "execution", f.Execution, "task", f.Ref, "error", err)
	}
}

// retryNow makes the next attempt of a task whose back-off is over.
func (e *Engine) retryNow(ctx context.Context, f Fence) error {
	next, then, err := e.store.Retry(ctx, f)
	switch {
	case err != nil:
		return err
	case then == NextDecide:
		return e.Advance(ctx, f.Execution)
	case then == NextNothing:
		return nil
	}
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return err
	}
	e.relay(ctx, d, p, []Fence{next})
	return nil
}
