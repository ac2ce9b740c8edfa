package queue_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// anAudit is a behaviour: entries stand with their project, are found by what narrows, and the oldest go first.
func anAudit(t *testing.T, h *house) {
	ctx := t.Context()
	x := h.start(&workflow.Definition{Name: "w", Tasks: tasksOf("a")})
	for i := range 5 {
		a := engine.AuditEntry{By: "ci (k1)", Key: "k1", Dialect: "native", Operation: "cancelExecution", Method: "POST", Path: "/" + strconv.Itoa(i), Reason: "why\nso", Status: 200 + 200*(i%2)}
		require.NoError(t, h.Audit(ctx, a, x.ID))
	}
	require.NoError(t, h.Audit(ctx, engine.AuditEntry{By: "kaizen:ann", Dialect: "kaizen", Project: "nowhere", Status: 404, Code: "project_not_found"}, ""))
	paths := func(f engine.AuditFilter) (all []string) {
		for page := (engine.Page{Limit: 2}); ; {
			found, next, err := h.AuditEntries(ctx, "default", f, page)
			require.NoError(t, err)
			for _, a := range found {
				all = append(all, a.Path)
			}
			if page.Cursor = next; next == "" {
				return all
			}
		}
	}
	require.Equal(t, []string{"/4", "/3", "/2", "/1", "/0"}, paths(engine.AuditFilter{}), "the newest first")
	require.Equal(t, []string{"/3", "/1"}, paths(engine.AuditFilter{Outcome: engine.AuditRefused}))
	require.Len(t, paths(engine.AuditFilter{By: "ci"}), 5)
	require.Len(t, paths(engine.AuditFilter{By: "k1", Operation: "cancelExecution", Dialect: "native", Since: x.CreatedAt}), 5)
	require.Empty(t, paths(engine.AuditFilter{Until: x.CreatedAt}))
	require.Empty(t, paths(engine.AuditFilter{By: "c"}))
	fleet, _, err := h.AuditEntries(ctx, "", engine.AuditFilter{By: "ann"}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, fleet, 1, "a project that is not there gets no key")
	keys, err := queuetest.Keys(ctx, h.Client(), "redrive:{p:nowhere}")
	require.NoError(t, err)
	require.Empty(t, keys)
	_, _, err = h.AuditEntries(ctx, "default", engine.AuditFilter{}, engine.Page{Cursor: "no id"})
	require.ErrorContains(t, err, "cannot be read from there")
}

// TestAuditIsBounded: what is too many goes, and a TTL takes the rest.
func TestAuditIsBounded(t *testing.T) {
	b := newBench(t, queuetest.URL(t), func(o *queue.Options) { o.AuditEntries, o.AuditRetention = 100, time.Hour })
	for range 1000 {
		require.NoError(t, b.Audit(t.Context(), engine.AuditEntry{Project: "p"}))
	}
	key := "redrive:{p:p}:audit"
	n, err := b.Client().XLen(t.Context(), key).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, n, int64(250), "about a hundred: whole nodes of the stream go")
	ttl, err := b.Client().PTTL(t.Context(), key).Result()
	require.NoError(t, err)
	require.Positive(t, ttl)
	b.offset = 2 * time.Hour
	require.NoError(t, b.Audit(t.Context(), engine.AuditEntry{Project: "p"}))
	n, err = b.Client().XLen(t.Context(), key).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, n, int64(100), "whole nodes of what is too old go")
}
