package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
	"github.com/redrive/redrive/worker/setup"
)

// stackOptions say which parts a process puts together.
type stackOptions struct {
	redis          string
	embedded       bool
	retention      time.Duration                     // of ended executions, 0 = the default
	auditRetention time.Duration                     // of entries of the audit, 0 = the default
	auditEntries   int64                             // of a project at the most, 0 = the default
	types          *tasks.Registry                   // what definitions are checked against, and what the worker runs
	server         *server.Options                   // nil = no server; its Engine and Monitoring are filled in
	secrets        func(name string) (string, error) // nil = from the environment
	worker         *worker.Options                   // nil = no worker; its Engine, Client and Waker are filled in
	openHere       bool                              // the server asks for no keys while there are none
	log            *slog.Logger
}

// stack is the running parts of a process, and how to stop them in reverse.
type stack struct {
	engine *engine.Engine
	server *server.Server // nil without one
	open   bool           // the server asks for no keys
	stops  []func(context.Context) error
}

// startStack starts the parts one upon the other. When one fails, those below
// it are stopped again.
func startStack(ctx context.Context, o stackOptions) (*stack, error) {
	s := &stack{}
	if err := s.start(ctx, o); err != nil {
		// What began must end, even when the start was interrupted.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, s.stop(cleanup))
	}
	return s, nil
}

func (s *stack) start(ctx context.Context, o stackOptions) error {
	store, err := queue.Open(ctx, queue.Options{
		URL: o.redis, Embedded: o.embedded, Retention: o.retention, AuditRetention: o.auditRetention, AuditEntries: o.auditEntries, Logger: o.log,
	})
	if err != nil {
		return err
	}
	s.onStop(func(context.Context) error { return store.Close() })
	waker := queue.NewWaker(store.Client(), o.log)
	if err := waker.Start(ctx); err != nil {
		return fmt.Errorf("start the wake-up channel: %w", err)
	}
	s.onStop(waker.Stop)
	store.UseWaker(waker)

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	options := engine.DefaultOptions()
	options.Store, options.Catalog, options.Logger = store, o.types.Catalog(), o.log
	options.Metrics, options.Secrets = engine.NewMetrics(registry), o.secrets
	if o.secrets == nil {
		options.Secrets = setup.Secret
	}
	if s.engine, err = engine.New(options); err != nil {
		return err
	}
	pump := engine.NewPump(s.engine)
	if err := pump.Start(ctx); err != nil {
		return fmt.Errorf("start the pump: %w", err)
	}
	s.onStop(pump.Stop)
	if o.server != nil {
		if err := s.startServer(ctx, o, store, registry); err != nil {
			return err
		}
	}
	if o.worker != nil {
		return s.startWorker(ctx, o, store, waker, registry)
	}
	return nil
}

func (s *stack) startServer(ctx context.Context, o stackOptions, store *queue.Redis, registry *prometheus.Registry) error {
	options := *o.server
	options.Engine, options.Monitoring, options.Registry, options.Logger = s.engine, store.Monitoring(), registry, o.log
	options.Script = tasks.Script(tasks.DefaultOptions())
	if o.openHere {
		var err error
		if options.Open, err = openWithoutKeys(ctx, s.engine, options); err != nil {
			return err
		}
	}
	s.open = options.Open
	api, err := server.New(options)
	if err != nil {
		return err
	}
	s.onStop(api.Stop)
	s.server = api
	return api.Start(ctx)
}

// openWithoutKeys reports whether a server asks for no keys: there are none, and
// only this machine reaches it or the user accepts who else does.
func openWithoutKeys(ctx context.Context, e *engine.Engine, o server.Options) (bool, error) {
	has, err := e.HasKeys(ctx)
	if err != nil {
		return false, fmt.Errorf("look for API keys: %w", err)
	}
	return !has && (o.AllowOpen || server.Loopback(o.Listen)), nil
}

func (s *stack) startWorker(ctx context.Context, o stackOptions, store *queue.Redis, waker *queue.Waker, registry *prometheus.Registry) error {
	options := *o.worker
	options.Engine, options.Client, options.NewClient, options.Waker, options.Logger = s.engine, store.Client(), store.NewClient, waker, o.log
	options.Metrics, options.Claims = worker.NewMetrics(registry), store.Claims(options.ID, options.Lease)
	fleet, err := worker.New(options)
	if err != nil {
		return err
	}
	if err := fleet.Start(ctx); err != nil {
		return err
	}
	s.onStop(fleet.Stop)
	return nil
}

func (s *stack) onStop(stop func(context.Context) error) { s.stops = append(s.stops, stop) }

// stop stops the parts in reverse. It may be called twice.
func (s *stack) stop(ctx context.Context) error {
	var errs []error
	for _, stop := range slices.Backward(s.stops) {
		errs = append(errs, stop(ctx))
	}
	s.stops = nil
	return errors.Join(errs...)
}

// url is where the server is reached from this machine.
func (s *stack) url() string { return "http://" + reachable(s.server.Addr()) }

// openEngine is an engine for one command that works on Redis without a server.
func openEngine(ctx context.Context, url string) (*engine.Engine, func(), error) {
	store, err := queue.Open(ctx, queue.Options{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	options := engine.DefaultOptions()
	options.Store = store
	e, err := engine.New(options)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return e, func() { _ = store.Close() }, nil
}
