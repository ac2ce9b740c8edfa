// Package house puts a whole Redrive together inside a test: Redis, engine,
// worker and server, for the dialects' tests of what only all of them can show.
package house

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
)

// House is an engine on a Redis of its own, a worker and a server that asks for keys.
type House struct {
	Engine *engine.Engine
	Server *server.Server
	Keys   map[string]string // secrets: admin, writer and reader by their scopes, and stranger, who sees only the project other
}

// Options are what a test wants otherwise.
type Options struct {
	Tasks  tasks.Options
	Types  []tasks.Type         // beside the built-in ones
	Clock  func() time.Duration // how far Redis' clock is off; nil = not at all
	Server func(o *server.Options)
}

// New builds one, which is taken down when the test ends.
func New(t testing.TB, o Options) *House {
	t.Helper()
	ctx, background, quiet := t.Context(), context.Background(), slog.New(slog.DiscardHandler)
	store, err := queue.Open(ctx, queue.Options{URL: queuetest.URL(t), Logger: quiet, ClockOffset: o.Clock})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	waker := queue.NewWaker(store.Client(), quiet)
	require.NoError(t, waker.Start(ctx))
	t.Cleanup(func() { require.NoError(t, waker.Stop(background)) })
	store.UseWaker(waker)
	types, err := tasks.NewRegistry(append(tasks.Builtin(o.Tasks), o.Types...)...)
	require.NoError(t, err)
	eo := engine.DefaultOptions()
	eo.Store, eo.Catalog, eo.Logger = store, types.Catalog(), quiet
	e, err := engine.New(eo)
	require.NoError(t, err)
	pump := engine.NewPump(e)
	require.NoError(t, pump.Start(ctx))
	t.Cleanup(func() { require.NoError(t, pump.Stop(background)) })

	wo := worker.DefaultOptions()
	wo.Engine, wo.Client, wo.NewClient, wo.Waker, wo.Types, wo.Logger = e, store.Client(), store.NewClient, waker, types, quiet
	w, err := worker.New(wo)
	require.NoError(t, err)
	require.NoError(t, w.Start(ctx))
	t.Cleanup(func() { require.NoError(t, w.Stop(background)) })

	so := server.DefaultOptions()
	so.Engine, so.Registry, so.Listen, so.Logger = e, prometheus.NewRegistry(), "127.0.0.1:0", quiet
	if o.Server != nil {
		o.Server(&so)
	}
	s, err := server.New(so)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(background)) })

	h := &House{Engine: e, Server: s, Keys: map[string]string{}}
	_, _, err = e.PutProject(ctx, engine.Project{Name: "other"})
	require.NoError(t, err)
	for _, k := range []engine.Key{
		{Name: "admin", Scope: engine.ScopeAdmin},
		{Name: "writer", Scope: engine.ScopeWrite},
		{Name: "reader", Scope: engine.ScopeRead},
		{Name: "stranger", Scope: engine.ScopeWrite, Projects: []string{"other"}},
	} {
		_, secret, err := e.CreateKey(ctx, k)
		require.NoError(t, err)
		h.Keys[k.Name] = secret
	}
	return h
}
