package engine

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// timers fires back-offs to the millisecond. A process knows the ones it made
// itself at once, and those of the shards it leads from its sweeps; the stored
// timer is the truth, so that firing one twice or too early does nothing.
type timers struct {
	fire func(ctx context.Context, f Fence)

	mu    sync.Mutex
	queue timerQueue
	known map[Fence]struct{}
	kick  chan struct{} // capacity 1: an earlier timer came
}

type timerEntry struct {
	fence Fence
	due   time.Time
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
	maxTimers     = 100_000 // in memory; more are found by sweeps
	timersAtATime = 16      // fired in parallel
)

func newTimers(fire func(context.Context, Fence)) *timers {
	return &timers{fire: fire, known: map[Fence]struct{}{}, kick: make(chan struct{}, 1)}
}

func (t *timers) add(f Fence, in time.Duration) {
	f.Dispatch = 0 // a back-off belongs to an attempt
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.known[f]; ok || len(t.queue) >= maxTimers {
		return
	}
	t.known[f] = struct{}{}
	heap.Push(&t.queue, timerEntry{f, time.Now().Add(in)})
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// due takes what is due now and says how long until the next one is.
func (t *timers) due() (now []Fence, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) > 0 {
		if in := time.Until(t.queue[0].due); in > 0 {
			return now, in
		}
		e := heap.Pop(&t.queue).(timerEntry)
		delete(t.known, e.fence)
		now = append(now, e.fence)
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
		for _, f := range now {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				t.fire(ctx, f)
			})
		}
		timer.Reset(next)
	}
}

// fireRetry makes the next attempt of a task whose back-off is over.
func (e *Engine) fireRetry(ctx context.Context, f Fence) {
	next, relay, err := e.store.Retry(ctx, f)
	var early *NotDue
	switch {
	case errors.As(err, &early):
		e.timers.add(f, early.In)
		return
	case errors.Is(err, ErrStale), errors.Is(err, ErrGone):
		return
	case err != nil:
		e.log.Warn("a retry could not be made; a sweep will", "execution", f.Execution, "task", f.Ref, "error", err)
		return
	case !relay:
		return
	}
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		e.log.Warn("a retry could not be sent out; a sweep will", "execution", f.Execution, "task", f.Ref, "error", err)
		return
	}
	e.relay(ctx, d, p, []Fence{next})
}
