package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/api"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/monitoring"
)

// maxHeader bounds the head of a request, in bytes.
const maxHeader = 16 << 10

// Server is the HTTP process. New wires it, Start listens, Stop drains it.
type Server struct {
	options   Options
	spec      *api.Spec
	door      *auth.Door
	dashboard *monitoring.Handler // nil without Options.Monitoring
	metrics   *metrics
	rules     map[string]auth.Rule
	pages     pages
	router    *gin.Engine
	http      *http.Server

	switchboard *switchboard // before the router: dialects

	stopping context.Context // done when Stop begins: event streams end, and polls are let go
	halt     context.CancelFunc

	mu       sync.Mutex
	listener net.Listener
	served   chan struct{}  // closed when the accept loop is over
	works    sync.WaitGroup // what dialects do besides answering
	stopOnce sync.Once
	stopErr  error
}

// New wires a server. It opens no port yet.
func New(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	spec, err := api.LoadSpec()
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, spec: spec, door: auth.NewDoor(o.Engine, o.Open, o.Remember)}
	if s.pages, err = newPages(spec); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(o); err != nil {
		return nil, err
	}
	if o.Monitoring != nil {
		if s.dashboard, err = monitoring.New(o.Monitoring, o.Engine, o.Logger, s.writeError); err != nil {
			s.metrics.unregister()
			return nil, err
		}
	}
	s.stopping, s.halt = context.WithCancel(context.Background())
	s.route()
	s.speak()
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: o.ReadHeader, ReadTimeout: o.Read, WriteTimeout: o.Write, IdleTimeout: o.Idle,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Handler is the whole server as a handler.
func (s *Server) Handler() http.Handler { return plusIsPlus(s.switchboard) }

// Start checks that listening is safe, listens and returns. Requests are
// served until Stop.
func (s *Server) Start(ctx context.Context) error {
	if err := s.options.CheckListen(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.New("server: was started before")
	}
	if s.stopping.Err() != nil {
		return errors.New("server: was stopped: make a new one")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("server: listen on %s: %w", s.options.Listen, err)
	}
	s.listener, s.served = listener, make(chan struct{})
	for _, d := range s.switchboard.spoken {
		if d.Work != nil {
			s.works.Go(func() { d.Work(s.stopping) })
		}
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.options.Logger.Error("the HTTP server broke", slog.Any("error", err))
		}
	}()
	return nil
}

// Addr is the address that Start listens on, "" before it.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop ends the event streams, waits for the requests that run, and closes
// what New opened. When ctx is done it cuts off what is left. Calling it again
// waits for the same stop.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

func (s *Server) stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt() // streams and polls first: Shutdown waits for them
	var errs []error
	if err := s.http.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("server: requests were cut off: %w", err), s.http.Close())
	}
	if s.served != nil {
		<-s.served
	}
	s.works.Wait()
	if s.dashboard != nil {
		errs = append(errs, s.dashboard.Close())
	}
	s.metrics.unregister()
	return errors.Join(errs...)
}
