package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/worker/setup"
)

// process is a worker with all it stands on, and how to take it down in reverse.
type process struct {
	engine *engine.Engine
	worker *Worker
	addr   net.Addr // of the listener, nil without one
	stops  []func(context.Context) error
}

// serve runs a worker process until ctx ends, and then drains it.
func serve(ctx context.Context, s settings) error {
	p := &process{}
	err := p.start(ctx, s)
	if err == nil {
		<-ctx.Done()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout(s.options))
	defer cancel()
	return errors.Join(err, p.stop(stop))
}

// start puts the parts together from the bottom up. What began before an error
// is taken down by stop.
func (p *process) start(ctx context.Context, s settings) error {
	store, err := queue.Open(ctx, queue.Options{URL: s.redis, Retention: s.retention, Logger: s.log})
	if err != nil {
		return fmt.Errorf("--redis (REDRIVE_REDIS, redis in the config file): %w", err)
	}
	p.stops = append(p.stops, func(context.Context) error { return store.Close() })
	waker := queue.NewWaker(store.Client(), s.log)
	if err := waker.Start(ctx); err != nil {
		return err
	}
	p.stops = append(p.stops, waker.Stop)
	store.UseWaker(waker)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	eo := engine.DefaultOptions()
	eo.Store, eo.Catalog, eo.Logger, eo.Lease = store, s.options.Types.Catalog(), s.log, s.options.Lease
	eo.Metrics, eo.Secrets = engine.NewMetrics(registry), s.secrets
	if p.engine, err = engine.New(eo); err != nil {
		return err
	}
	pump := engine.NewPump(p.engine)
	if err := pump.Start(ctx); err != nil {
		return err
	}
	p.stops = append(p.stops, pump.Stop)

	o := s.options
	o.Engine, o.Client, o.NewClient, o.Waker = p.engine, store.Client(), store.NewClient, waker
	o.Metrics, o.Claims = NewMetrics(registry), store.Claims(o.ID, o.Lease)
	if p.worker, err = New(o); err != nil {
		return err
	}
	p.stops = append(p.stops, p.worker.Stop)
	if err := p.worker.Start(ctx); err != nil {
		return err
	}
	if s.listen == "" {
		return nil
	}
	return p.listen(s, registry)
}

// stop takes the parts down in reverse; the listener stays up while the worker drains.
func (p *process) stop(ctx context.Context) error {
	var errs []error
	for _, v := range slices.Backward(p.stops) {
		errs = append(errs, v(ctx))
	}
	p.stops = nil
	return errors.Join(errs...)
}

// listen serves health and metrics.
func (p *process) listen(s settings, registry *prometheus.Registry) error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.listen)
	if err != nil {
		return &setup.UsageError{Err: fmt.Errorf("--listen (REDRIVE_LISTEN, listen in the config file): %w", err)}
	}
	p.addr = listener.Addr()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.ready)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	// Below the worker in the order of stopping, so that a draining worker can be watched.
	last := len(p.stops) - 1
	p.stops = append(p.stops[:last:last], func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, p.stops[last])
	s.log.Info("listening", "address", p.addr.String())
	return nil
}

// ready fails while the worker drains or Redis cannot be reached.
func (p *process) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	switch err := p.engine.Ready(ctx); {
	case err != nil:
		http.Error(w, "Redis cannot be reached: "+err.Error(), http.StatusServiceUnavailable)
	case p.worker.draining.Load():
		http.Error(w, "draining", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}
