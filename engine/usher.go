package engine

import (
	"context"
	"sync"
)

// usher lets executions begin whose turn came, as soon as this process knows of it.
// What it loses, a sweep finds: the slots themselves keep what is to be looked at.
type usher struct {
	e *Engine

	mu      sync.Mutex
	running bool
	turns   map[Turn]struct{}
	kick    chan struct{} // capacity 1: turns is not empty
}

const (
	usherBacklog = 10_000
	ushers       = 8   // at once
	fillStep     = 100 // let in by one call
)

func newUsher(e *Engine) *usher {
	return &usher{e: e, turns: map[Turn]struct{}{}, kick: make(chan struct{}, 1)}
}

// add hands turns over; where nobody runs who would take them, it does them itself.
func (u *usher) add(ctx context.Context, turns []Turn) {
	if len(turns) == 0 {
		return
	}
	u.mu.Lock()
	running := u.running
	for _, t := range turns {
		if running && len(u.turns) < usherBacklog {
			u.turns[t] = struct{}{}
		}
	}
	u.mu.Unlock()
	if running {
		select {
		case u.kick <- struct{}{}:
		default:
		}
		return
	}
	for _, t := range turns {
		u.do(ctx, t)
	}
}

func (u *usher) take() (all []Turn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for t := range u.turns {
		all = append(all, t)
	}
	clear(u.turns)
	return all
}

func (u *usher) run(ctx context.Context) {
	u.set(true)
	defer u.set(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.kick:
		}
		var wg sync.WaitGroup
		places := make(chan struct{}, ushers)
		for _, t := range u.take() {
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				u.do(ctx, t)
			})
		}
		wg.Wait()
	}
}

func (u *usher) set(running bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.running = running
}

func (u *usher) do(ctx context.Context, t Turn) {
	var err error
	if t.Execution == "" {
		err = u.e.fill(ctx, t.Project, t.Workflow)
	} else {
		err = u.e.begin(ctx, t.Execution, t.Epoch)
	}
	if err != nil && ctx.Err() == nil {
		u.e.log.Warn("a turn could not be given; a sweep will", "project", t.Project, "workflow", t.Workflow, "execution", t.Execution, "error", err)
	}
}
