package engine

import (
	"context"
	"sync"
	"time"
)

// lister brings the list entries of executions up to date, many in one trip.
// What it loses, the sweep finds: the transition itself marked the execution.
type lister struct {
	e *Engine

	mu      sync.Mutex
	running bool
	ids     map[string]struct{}
	waiting []chan<- struct{}
	kick    chan struct{} // capacity 1: ids is not empty
	hurry   chan struct{} // capacity 1: somebody waits
}

const (
	listLinger  = 10 * time.Millisecond
	listBatch   = 200
	listBacklog = 10_000
)

func newLister(e *Engine) *lister {
	return &lister{e: e, ids: map[string]struct{}{}, kick: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
}

// add asks for an execution to be listed; done, when given, is closed after it was tried.
// It answers false when nobody runs who would.
func (l *lister) add(id string, done chan<- struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return false
	}
	if len(l.ids) < listBacklog {
		l.ids[id] = struct{}{}
	}
	if done != nil {
		l.waiting = append(l.waiting, done)
		select {
		case l.hurry <- struct{}{}:
		default:
		}
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
	return true
}

func (l *lister) awaited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

func (l *lister) take() (ids []string, waiting []chan<- struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.ids {
		if len(ids) == listBatch {
			select { // the rest, and who waits for it
			case l.kick <- struct{}{}:
			default:
			}
			return ids, nil
		}
		ids = append(ids, id)
		delete(l.ids, id)
	}
	waiting, l.waiting = l.waiting, nil
	return ids, waiting
}

func (l *lister) run(ctx context.Context) {
	l.set(true)
	defer func() {
		l.set(false)
		_, waiting := l.take()
		for _, done := range waiting {
			close(done)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		}
		if !l.awaited() { // nobody waits: let more come together
			select {
			case <-ctx.Done():
				return
			case <-time.After(listLinger):
			case <-l.hurry:
			}
		}
		ids, waiting := l.take()
		if len(ids) > 0 {
			turns, err := l.e.store.Index(ctx, ids)
			l.e.usher.add(ctx, turns)
			if err != nil && ctx.Err() == nil {
				l.e.log.Warn("executions could not be listed; a sweep will", "executions", len(ids), "error", err)
			}
		}
		for _, done := range waiting {
			close(done)
		}
	}
}

func (l *lister) set(running bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = running
}

// indexed brings an execution's list entries up to date before it returns, so
// that whoever asked for a change finds it in the lists.
func (e *Engine) indexed(ctx context.Context, id string) {
	done := make(chan struct{})
	if e.lister.add(id, done) {
		select {
		case <-done:
		case <-ctx.Done():
		}
		return
	}
	turns, err := e.store.Index(ctx, []string{id})
	e.usher.add(ctx, turns)
	if err != nil {
		e.log.Warn("an execution could not be listed; a sweep will", "execution", id, "error", err)
	}
}
