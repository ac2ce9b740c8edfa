package engine

import (
	"context"
	"time"
)

// announceTTL is how long a worker is believed alive after it announced itself.
const announceTTL = 10 * time.Second

// Announce says that a worker lives and what it serves; repeat it every 2 s.
func (e *Engine) Announce(ctx context.Context, w Worker) error {
	if err := e.announce(ctx, &w, announceTTL); err != nil {
		return err
	}
	return e.lookAtFleet(ctx)
}

func (e *Engine) announce(ctx context.Context, w *Worker, ttl time.Duration) error {
	now, err := e.store.Time(ctx)
	if err != nil {
		return err
	}
	if !w.SeenAt.IsZero() {
		w.SkewMillis = w.SeenAt.Sub(now).Milliseconds()
	}
	w.SeenAt = now.UTC()
	var lanes []string
	for q := range w.Queues {
		lanes = append(lanes, Lanes(q)...)
	}
	// asynq's list has a queue from here on: without, nobody could look at it or pause it.
	if err := e.store.KeepQueues(ctx, lanes); err != nil {
		return err
	}
	return e.store.Announce(ctx, *w, ttl)
}

// Retire says that a worker is gone.
func (e *Engine) Retire(ctx context.Context, id string) error {
	if err := e.store.Retire(ctx, id); err != nil {
		return err
	}
	return e.lookAtFleet(ctx)
}

// Workers answers the live workers.
func (e *Engine) Workers(ctx context.Context) ([]Worker, error) { return e.store.Workers(ctx) }

// Cancellations answers executions whose tasks were just superseded, until ctx ends.
func (e *Engine) Cancellations(ctx context.Context) (<-chan string, error) {
	return e.store.Cancellations(ctx)
}

// Queues answers the queues with their lanes added up and the workers that serve them.
func (e *Engine) Queues(ctx context.Context) ([]Queue, error) {
	queues, err := e.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := e.store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	for i := range queues {
		for _, w := range workers {
			if _, ok := w.Queues[queues[i].Name]; ok {
				queues[i].Workers++
			}
		}
	}
	return queues, nil
}

// PauseQueue stops the delivery of a queue's jobs; those being run finish.
func (e *Engine) PauseQueue(ctx context.Context, name string) (*Queue, error) {
	return e.setQueuePaused(ctx, name, true)
}

// ResumeQueue lets a queue's jobs be delivered again.
func (e *Engine) ResumeQueue(ctx context.Context, name string) (*Queue, error) {
	return e.setQueuePaused(ctx, name, false)
}

func (e *Engine) setQueuePaused(ctx context.Context, name string, paused bool) (*Queue, error) {
	if err := e.store.SetQueuePaused(ctx, name, paused); err != nil {
		return nil, err
	}
	if !paused {
		if err := e.store.WakeRemote(ctx); err != nil {
			e.log.Warn("remote workers could not be woken; they look again by themselves", "queue", name, "error", err)
		}
	}
	queues, err := e.Queues(ctx)
	if err != nil {
		return nil, err
	}
	for i := range queues {
		if queues[i].Name == name {
			return &queues[i], nil
		}
	}
	return nil, NotFound("queue", name)
}
