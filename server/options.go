package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/api"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat/cognite"
	"github.com/redrive/redrive/server/compat/conductor"
	"github.com/redrive/redrive/server/compat/digdag"
	"github.com/redrive/redrive/server/compat/kaizen"
	"github.com/redrive/redrive/server/compat/prefect"
	"github.com/redrive/redrive/server/monitoring"
	"github.com/redrive/redrive/workflow"
)

// Engine is what the server needs of the engine.
type Engine interface {
	api.Engine
	auth.Keys
	monitoring.Retrier
	digdag.Engine
	cognite.Engine
	kaizen.Engine
	prefect.Engine
	conductor.Engine
	// Audit adds an entry to the audit of its project, which may be told as an execution.
	Audit(ctx context.Context, a engine.AuditEntry, execution string) error
	// Ready returns nil when Redis and asynq can be reached.
	Ready(ctx context.Context) error
	// HasKeys reports whether there is any API key.
	HasKeys(ctx context.Context) (bool, error)
	// StatusCounts counts a project's executions by status.
	StatusCounts(ctx context.Context, project string) (map[workflow.ExecutionStatus]int64, error)
	// TaskCounts counts the tasks of a project's executions that have not ended, by status.
	TaskCounts(ctx context.Context, project string) (map[workflow.TaskStatus]int64, error)
	// Recovery counts bulk operations, the outcomes of their executions, and groups of open failures of a project.
	Recovery(ctx context.Context, project string) (engine.Recovery, error)
}

// Options configure a Server. Start from DefaultOptions.
type Options struct {
	Engine     Engine
	Monitoring asynq.RedisConnOpt   // for asynqmon; nil = no /monitoring/
	Registry   *prometheus.Registry // what /metrics shows; the server adds its own
	Logger     *slog.Logger
	Version    string // what it says of itself

	Listen    string // HOST:PORT; port 0 picks one
	Open      bool   // no keys: everybody may do everything, credentials are ignored
	AllowOpen bool   // accept an address that is not loopback although there is no key

	Dialects []string // names of the wire dialects that are spoken; nil = all, empty = none

	CogniteURL string // what the requests of Cognite's cdf tasks are relative to; "" = only absolute ones

	// Script runs the JavaScript that a dialect's clients decide with; nil = what needs it is refused.
	Script func(ctx context.Context, script string, input json.RawMessage) (json.RawMessage, error)

	MaxBody    int64         // bytes of a request body
	Streams    int           // streams of events and logs at once, and as many calls of a dialect that wait
	Pollers    int           // polls of remote workers at once
	Heartbeat  time.Duration // between comments on a silent event stream
	Remember   time.Duration // how long an answer about a key is kept, at most 5s
	ReadHeader time.Duration // timeouts of the HTTP server
	Read       time.Duration
	Write      time.Duration // lifted for event streams and polls
	Idle       time.Duration
}

// maxBody leaves room around a value of 1 MiB for the fields beside it.
const maxBody = 1<<20 + 64<<10

// DefaultOptions are the documented defaults.
func DefaultOptions() Options {
	return Options{
		Registry: prometheus.NewRegistry(), Logger: slog.Default(), Listen: "127.0.0.1:8080",
		MaxBody: maxBody, Streams: 1000, Pollers: 10_000, Heartbeat: 15 * time.Second, Remember: auth.MaxRemembered,
		ReadHeader: 5 * time.Second, Read: 30 * time.Second, Write: 60 * time.Second, Idle: 2 * time.Minute,
	}
}

// Validate names every field that cannot be used.
func (o Options) Validate() error {
	var wrong []error
	refuse := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("server: options: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if o.Engine == nil {
		refuse("Engine", "is required")
	}
	if o.Registry == nil {
		refuse("Registry", "is required: use prometheus.NewRegistry()")
	}
	if o.Logger == nil {
		refuse("Logger", "is required: use slog.Default()")
	}
	if _, port, err := net.SplitHostPort(o.Listen); err != nil {
		refuse("Listen", "%q is not HOST:PORT, as 127.0.0.1:8080", o.Listen)
	} else if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		refuse("Listen", "port %q: want 0 to 65535", port)
	}
	for _, name := range o.Dialects {
		if known := Dialects(); !slices.Contains(known, name) {
			refuse("Dialects", "there is no dialect %q: want names of %s", name, strings.Join(known, ", "))
		}
	}
	if o.MaxBody < 1 {
		refuse("MaxBody", "is %d bytes: want 1 or more", o.MaxBody)
	}
	if o.Streams < 1 {
		refuse("Streams", "is %d: want 1 or more", o.Streams)
	}
	if o.Pollers < 1 {
		refuse("Pollers", "is %d: want 1 or more", o.Pollers)
	}
	if o.Remember < 0 || o.Remember > auth.MaxRemembered {
		refuse("Remember", "is %v: want 0s to %v", o.Remember, auth.MaxRemembered)
	}
	for _, t := range []struct {
		field string
		value time.Duration
	}{{"Heartbeat", o.Heartbeat}, {"ReadHeader", o.ReadHeader}, {"Read", o.Read}, {"Write", o.Write}, {"Idle", o.Idle}} {
		if t.value <= 0 {
			refuse(t.field, "is %v: want more than 0s", t.value)
		}
	}
	return errors.Join(wrong...)
}

// Loopback reports whether only this machine can reach the address.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// CheckListen refuses to open an unprotected server to the network.
func (o Options) CheckListen(ctx context.Context) error {
	if o.AllowOpen || Loopback(o.Listen) {
		return nil
	}
	if o.Open {
		return fmt.Errorf("server: %s can be reached from other machines, and the server is open: everybody could do everything. Listen on 127.0.0.1, or use `redrive server` and `redrive worker`, which ask for keys", o.Listen)
	}
	has, err := o.Engine.HasKeys(ctx)
	if err != nil {
		return fmt.Errorf("server: look for API keys: %w", err)
	}
	if !has {
		return fmt.Errorf("server: %s can be reached from other machines, and there is no API key yet: create one with `redrive key create --name me --scope admin --redis URL`, listen on 127.0.0.1, or accept it with --allow-open", o.Listen)
	}
	return nil
}
