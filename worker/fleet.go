package worker

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/redrive/redrive/engine"
)

// callTimeout bounds one call of the engine.
const callTimeout = 5 * time.Second

func (w *Worker) self() engine.Worker {
	return engine.Worker{
		ID: w.o.ID, Host: hostname(), PID: os.Getpid(),
		Queues: w.o.Queues, Types: w.o.Types.Names(), Concurrency: w.o.Concurrency,
		Running: w.beats.count(), Draining: w.draining.Load(),
		Version: w.o.Version, StartedAt: w.startedAt, SeenAt: time.Now(),
	}
}

// announce tells the fleet every so often that the worker lives, and at once
// that it drains.
func (w *Worker) announce(ctx context.Context) {
	tick := time.NewTicker(w.o.Heartbeat)
	defer tick.Stop()
	drain := w.taking.Done()
	w.compare(ctx)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-drain:
			drain = nil
		case <-tick.C:
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		if err := w.o.Engine.Announce(call, w.self()); err != nil && ctx.Err() == nil {
			w.log.Warn("announcing the worker failed", "error", err)
		}
		cancel()
		if n%5 == 0 {
			w.compare(ctx)
		}
	}
}

// compare warns of workers that serve one of our queues with other task types:
// each job that the wrong one of them gets has to be handed on.
func (w *Worker) compare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	others, err := w.o.Engine.Workers(ctx)
	if err != nil {
		return // the next look will do
	}
	mine := w.o.Types.Names()
	for _, other := range others {
		types := slices.Sorted(slices.Values(other.Types))
		if other.ID == w.o.ID || other.Remote || other.Draining || w.known[other.ID] || slices.Equal(mine, types) {
			continue
		}
		for q := range w.o.Queues {
			if _, shared := other.Queues[q]; shared {
				w.known[other.ID] = true
				w.log.Warn("another worker serves the same queue with other task types; jobs make detours: give each set of types a queue of its own",
					"queue", q, "other", other.ID, "only_here", without(mine, types), "only_there", without(types, mine))
				break
			}
		}
	}
}

func without(list, remove []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(remove, s) })
}

// follow looks at once after the runs of executions that were canceled or
// redriven, so that their handlers need not wait for the next sign of life.
func (w *Worker) follow(ctx context.Context, canceled <-chan string) {
	for {
		select {
		case <-ctx.Done():
			return
		case id, ok := <-canceled:
			if ok {
				w.beats.beat(ctx, w.beats.of(id))
				continue
			}
		}
		if canceled = w.subscribe(ctx); canceled == nil {
			return
		}
	}
}

// subscribe asks for the cancellations until it gets them; nil when ctx ended.
func (w *Worker) subscribe(ctx context.Context) <-chan string {
	for {
		if !sleep(ctx, time.Second) {
			return nil
		}
		canceled, err := w.o.Engine.Cancellations(ctx)
		if err == nil {
			w.beats.beat(ctx, w.beats.of("")) // what was missed meanwhile
			return canceled
		}
		if ctx.Err() == nil {
			w.log.Warn("subscribing to cancellations failed", "error", err)
		}
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
