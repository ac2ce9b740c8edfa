package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
)

// Worker is one process of the fleet. Make it with New, then Start, then Stop.
type Worker struct {
	o         Options
	log       *slog.Logger
	startedAt time.Time

	client redis.UniversalClient // of the asynq server, with the wake hook
	hook   *queue.WakeHook
	acks   *queue.Acks
	server *asynq.Server
	look   *asynq.Inspector
	slots  *slots
	beats  *beats
	busy   atomic.Int64 // deliveries in process
	places int          // of deliveries: those whose handler is done and whose result is on its way need no slot any more

	// runs ends with tasks.ErrDraining when handlers have to end. Each handler's
	// context comes from it, and on purpose not from asynq's: the engine decides
	// about timeouts and cancellation.
	runs       context.Context
	cancelRuns context.CancelCauseFunc
	// taking ends when Stop begins.
	taking     context.Context
	stopTaking context.CancelFunc
	// services ends when the last run was reported.
	services     context.Context
	stopServices context.CancelFunc
	wg           sync.WaitGroup // the services

	draining    atomic.Bool
	zombies     atomic.Int64
	waitingLogs atomic.Int64    // bytes of log lines that were not sent yet
	known       map[string]bool // other workers that were warned about; of the announcer

	mu    sync.Mutex
	state state
	done  chan struct{} // closed when Stop has finished
	err   error         // of Stop
}

type state int

const (
	stateNew state = iota
	stateRunning
	stateStopped
)

// New checks the options and wires the worker. Nothing runs yet.
func New(o Options) (*Worker, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	client, err := serverClient(o)
	if err != nil {
		return nil, err
	}
	queues := lanes(o.Queues)
	w := &Worker{
		o:      o,
		log:    o.Logger.With("worker", o.ID),
		client: client,
		hook:   o.Waker.Hook(slices.Collect(maps.Keys(queues))),
		look:   asynq.NewInspectorFromRedisClient(o.Client),
		known:  make(map[string]bool),
		done:   make(chan struct{}),
	}
	w.hook.Claim(o.Claims)
	w.acks = queue.NewAcks(o.Client, w.log)
	client.AddHook(w.hook)
	client.AddHook(w.acks)
	w.slots = newSlots(o.Concurrency, w.hook.Hold, w.hook.Resume, w.hook.Freed)
	o.Claims.TakeAhead(w.free, w.releaseClaim)
	w.places = o.Concurrency
	if o.Claims != nil {
		w.places += reportsPerHandler * o.Concurrency
		w.hook.While(func() bool { return w.free() > o.Claims.Outstanding() })
	}
	w.beats = newBeats(o.Engine, o.Heartbeat, w.log)
	w.runs, w.cancelRuns = context.WithCancelCause(context.Background())
	w.taking, w.stopTaking = context.WithCancel(context.Background())
	w.services, w.stopServices = context.WithCancel(context.Background())
	w.server = asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency:       w.places,
		Queues:            queues,
		TaskCheckInterval: time.Millisecond, // the wake hook does the waiting
		RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return retryDelay },
		IsFailure:         func(err error) bool { return !errors.Is(err, errNotNow) },
		ShutdownTimeout:   o.Drain + o.Lease + shutdownSlack,
		JanitorInterval:   time.Minute, // nothing is kept as completed
		Logger:            asynqLog{w.log},
		LogLevel:          asynq.InfoLevel,
	})
	return w, nil
}

const (
	// reportsPerHandler are the results that may be on their way for each handler: the more there are, the
	// fewer trips they share.
	reportsPerHandler = 3

	retryDelay    = time.Second
	shutdownSlack = 10 * time.Second
)

// serverClient makes the client of the asynq server: never one that others
// use, because its dequeues wait.
func serverClient(o Options) (redis.UniversalClient, error) {
	if o.NewClient != nil {
		return o.NewClient(), nil
	}
	switch c := o.Client.(type) {
	case *redis.Client:
		like := *c.Options()
		return redis.NewClient(&like), nil
	case *redis.ClusterClient:
		like := *c.Options()
		return redis.NewClusterClient(&like), nil
	}
	return nil, fmt.Errorf("worker: Client is a %T; allowed: *redis.Client or *redis.ClusterClient, or set NewClient", o.Client)
}

// Start announces the worker and begins to take jobs. When it fails, everything
// that was begun is undone.
func (w *Worker) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != stateNew {
		return errors.New("worker: Start was called before; make a new worker")
	}
	w.startedAt = time.Now()
	if err := w.start(ctx); err != nil {
		w.state = stateStopped
		w.hook.Stop()
		w.cancelRuns(nil)
		w.stopTaking()
		w.stopServices()
		w.wg.Wait()
		close(w.done)
		return errors.Join(fmt.Errorf("worker: starting: %w", err), w.client.Close())
	}
	w.state = stateRunning
	w.log.Info("worker started", "queues", w.o.Queues, "types", w.o.Types.Names(), "concurrency", w.o.Concurrency)
	return nil
}

func (w *Worker) start(ctx context.Context) error {
	canceled, err := w.o.Engine.Cancellations(w.services)
	if err != nil {
		return fmt.Errorf("subscribing to cancellations: %w", err)
	}
	if err := w.o.Engine.Announce(ctx, w.self()); err != nil {
		return fmt.Errorf("announcing the worker: %w", err)
	}
	w.acks.Start()
	if err := w.server.Start(asynq.HandlerFunc(w.process)); err != nil {
		w.acks.Stop()
		return errors.Join(fmt.Errorf("starting the asynq server: %w", err), w.o.Engine.Retire(ctx, w.o.ID))
	}
	w.wg.Go(func() { w.beats.loop(w.services) })
	w.wg.Go(func() { w.announce(w.services) })
	w.wg.Go(func() { w.follow(w.services, canceled) })
	return nil
}

// Stop takes no more jobs, lets the running handlers finish for Options.Drain,
// cancels the rest with tasks.ErrDraining and hands their runs back. It returns
// when all is reported, or when ctx ends; then handlers are canceled at once.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	before := w.state
	w.state = stateStopped
	w.mu.Unlock()
	switch before {
	case stateNew:
		w.hook.Stop()
		w.cancelRuns(nil)
		w.stopTaking()
		w.stopServices()
		w.err = w.client.Close()
		close(w.done)
	case stateRunning:
		go w.drain() //nolint:gosec // a drain outlives the context of the call that asked for it
	}
	select {
	case <-w.done:
		return w.err
	default:
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		w.cancelRuns(tasks.ErrDraining)
		return fmt.Errorf("worker: stopping: %d runs were not handed back, their leases run out by themselves: %w",
			w.beats.count(), context.Cause(ctx))
	}
}

// drain is Stop in its order: no new jobs, the handlers, the asynq server, the
// services that keep leases alive, and at last the connection.
func (w *Worker) drain() {
	defer close(w.done)
	w.draining.Store(true)
	w.stopTaking()
	w.hook.Stop()
	w.log.Info("worker drains", "running", w.beats.count(), "grace", w.o.Drain)
	down := make(chan struct{})
	go func() {
		defer close(down)
		w.server.Shutdown() // waits for every job to be reported and acknowledged
	}()
	w.wg.Go(w.o.Claims.PutBack)
	grace := time.NewTimer(w.o.Drain)
	defer grace.Stop()
	select {
	case <-down:
	case <-w.runs.Done():
	case <-grace.C:
		w.log.Warn("handlers are canceled, their tasks go back to the queue", "running", w.beats.count())
	}
	w.cancelRuns(tasks.ErrDraining)
	<-down
	w.acks.Stop()
	w.giveBack()
	w.stopServices()
	w.wg.Wait()
	if n := w.zombies.Load(); n > 0 {
		w.log.Error("handlers ignore the end of their context and still run", "handlers", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := w.o.Engine.Retire(ctx, w.o.ID); err != nil {
		w.err = fmt.Errorf("worker: retiring: %w", err)
	}
	if err := w.client.Close(); err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("worker: closing the connection: %w", err))
	}
	w.log.Info("worker stopped")
}

// giveBack releases what was claimed with its dequeue and then never handled,
// because asynq put the job back.
func (w *Worker) giveBack() {
	w.o.Claims.Close()
	for _, f := range w.o.Claims.Left() {
		w.releaseClaim(f)
	}
}

// free answers how many more deliveries would get a handler at once.
func (w *Worker) free() int {
	return min(w.o.Concurrency-len(w.slots.free), w.places-int(w.busy.Load()))
}

func (w *Worker) releaseClaim(f engine.Fence) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := w.o.Engine.Release(ctx, &engine.Run{Fence: f}); err != nil && !refusal(err) {
		w.log.Warn("a claimed job could not be handed back; its lease runs out by itself", "job", f.JobID(), "error", err)
	}
}

func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}
