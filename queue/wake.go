package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// wakeChannel carries the names of the queues that just got jobs.
const wakeChannel = "redrive:wake"

const (
	publishWait   = 5 * time.Second        // how long one PUBLISH may take
	publishRepeat = 100 * time.Millisecond // the pause after a PUBLISH that failed
	publishSpread = 3 * time.Millisecond   // under load, one PUBLISH speaks for all jobs of this time
)

// Waker tells idle workers that a queue got jobs, so that they need not poll.
//
// Notify wakes the hooks of this process at once and those of other processes
// by pub/sub: one PUBLISH is in flight at a time, and the queues named meanwhile
// go together in the next. A wake-up that gets lost delays a job by a second.
type Waker struct {
	client redis.UniversalClient
	log    *slog.Logger
	id     string // names this process in the messages: its own come back to it

	mu      sync.Mutex
	hooks   []*WakeHook
	pending map[string]struct{} // queues of the next PUBLISH
	kick    chan struct{}       // capacity 1: pending is not empty
	state   wakerState
	sub     *redis.PubSub
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

type wakerState int

const (
	wakerNew wakerState = iota
	wakerRunning
	wakerStopped
)

// NewWaker returns a Waker that publishes and subscribes through client.
func NewWaker(client redis.UniversalClient, log *slog.Logger) *Waker {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Waker{
		client:  client,
		log:     log,
		id:      uuid.NewString(),
		pending: make(map[string]struct{}),
		kick:    make(chan struct{}, 1),
	}
}

// Start subscribes to the wake-ups of other processes and returns once the
// subscription stands. Lost connections are made again without help.
func (w *Waker) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != wakerNew {
		return errors.New("queue: the waker was started before")
	}
	sub := w.client.Subscribe(ctx, wakeChannel)
	if _, err := sub.Receive(ctx); err != nil {
		return errors.Join(fmt.Errorf("queue: subscribing to %s: %w", wakeChannel, err), sub.Close())
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.state, w.sub, w.cancel = wakerRunning, sub, cancel
	messages := sub.ChannelWithSubscriptions()
	w.wg.Go(func() { w.listen(messages) })
	w.wg.Go(func() { w.publish(run) })
	return nil
}

// Stop ends the subscription and lets every waiting dequeue go. A wake-up not
// yet published is dropped.
func (w *Waker) Stop(ctx context.Context) error {
	w.mu.Lock()
	running := w.state == wakerRunning
	w.state = wakerStopped
	hooks := slices.Clone(w.hooks)
	w.mu.Unlock()
	for _, h := range hooks {
		h.Stop()
	}
	if !running {
		return nil
	}
	w.cancel()
	err := w.sub.Close()
	done := make(chan struct{})
	go func() { w.wg.Wait(); close(done) }()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("queue: stopping the waker: %w", ctx.Err()))
	}
}

// Notify says that the queues got jobs. It never blocks.
func (w *Waker) Notify(queues ...string) {
	if len(queues) == 0 {
		return
	}
	w.mu.Lock()
	hooks := w.hooks
	if w.state == wakerRunning {
		for _, q := range queues {
			w.pending[q] = struct{}{}
		}
		w.poke()
	}
	w.mu.Unlock()
	for _, h := range hooks {
		h.hint(queues)
	}
}

// Hook returns a hook for the client that is given to an asynq server which
// serves the queues.
func (w *Waker) Hook(queues []string) *WakeHook {
	h := newWakeHook(queues)
	h.detach = func() { w.forget(h) }
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks = append(slices.Clone(w.hooks), h)
	return h
}

func (w *Waker) forget(h *WakeHook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks = slices.DeleteFunc(slices.Clone(w.hooks), func(x *WakeHook) bool { return x == h })
}

func (w *Waker) poke() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// listen hands the messages of other processes to the hooks.
func (w *Waker) listen(messages <-chan any) {
	for m := range messages {
		w.mu.Lock()
		hooks := w.hooks
		w.mu.Unlock()
		switch m := m.(type) {
		case *redis.Subscription:
			// Subscribed again after a lost connection: what was published meanwhile is lost.
			for _, h := range hooks {
				h.hint(nil)
			}
		case *redis.Message:
			lines := strings.Split(m.Payload, "\n")
			if lines[0] == w.id || len(lines) < 2 {
				continue
			}
			for _, h := range hooks {
				h.hint(lines[1:])
			}
		}
	}
}

// publish sends what Notify left, one message at a time.
func (w *Waker) publish(ctx context.Context) {
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.kick:
		}
		w.mu.Lock()
		lines := make([]string, 1, len(w.pending)+1)
		lines[0] = w.id
		for q := range w.pending {
			lines = append(lines, q)
		}
		clear(w.pending)
		w.mu.Unlock()
		err := w.send(ctx, strings.Join(lines, "\n"))
		if err != nil && ctx.Err() == nil {
			if !failed {
				w.log.Warn("waking other workers failed; they find their jobs by polling", "error", err)
			}
			w.mu.Lock()
			for _, q := range lines[1:] {
				w.pending[q] = struct{}{}
			}
			w.poke()
			w.mu.Unlock()
			pause(ctx, publishRepeat)
		} else {
			pause(ctx, publishSpread)
		}
		failed = err != nil
	}
}

func (w *Waker) send(ctx context.Context, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	return w.client.Publish(ctx, wakeChannel, payload).Err()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
