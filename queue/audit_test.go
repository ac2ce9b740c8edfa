package queue_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
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
	for range 3 {
		require.NoError(t, h.Audit(ctx, engine.AuditEntry{By: "eve", Project: "default", Status: 403, Code: "scope_denied", Denied: true}, x.ID))
	}
	require.Len(t, paths(engine.AuditFilter{}), 5, "what the door refuses is in no project")
	fleet, _, err = h.AuditEntries(ctx, "", engine.AuditFilter{By: "eve"}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, fleet, 3)
	require.True(t, fleet[0].Denied)
	require.Empty(t, fleet[0].Project)
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

// TestDeniedPushNothingOut: what the door refuses has a cap of its own.
func TestDeniedPushNothingOut(t *testing.T) {
	b := newBench(t, queuetest.URL(t), func(o *queue.Options) { o.AuditEntries = 100 })
	require.NoError(t, b.Audit(t.Context(), engine.AuditEntry{Operation: "createKey", Status: 201}))
	for range 1000 {
		require.NoError(t, b.Audit(t.Context(), engine.AuditEntry{Operation: "createKey", Status: 403, Denied: true}))
	}
	done, _, err := b.AuditEntries(t.Context(), "", engine.AuditFilter{Outcome: engine.AuditDone}, engine.Page{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, done, 1)
	n, err := b.Client().XLen(t.Context(), "redrive:{access}:denied").Result()
	require.NoError(t, err)
	require.LessOrEqual(t, n, int64(250))
}

// TestTheFleetsAuditIsOneList: entries of both streams come by time, each once, whatever the page, also where both have one id.
func TestTheFleetsAuditIsOneList(t *testing.T) {
	b := newBench(t, queuetest.URL(t))
	add := func(key string, ids ...string) {
		for _, id := range ids {
			require.NoError(t, b.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: key, ID: id, Values: []string{"status", "403"}}).Err())
		}
	}
	add("redrive:{access}:audit", "5-0", "7-0", "7-2", "7-10", "9-0")
	add("redrive:{access}:denied", "4-0", "7-0", "7-1", "7-10", "8-0", "9-0")
	want := []string{"9-0", "9-0d", "8-0d", "7-10", "7-10d", "7-2", "7-1d", "7-0", "7-0d", "5-0", "4-0d"}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		for page := (engine.Page{Limit: limit}); ; {
			found, next, err := b.AuditEntries(t.Context(), "", engine.AuditFilter{}, page)
			require.NoError(t, err)
			for _, a := range found {
				got = append(got, a.ID)
			}
			if page.Cursor = next; next == "" {
				break
			}
		}
		require.Equal(t, want, got, "pages of %d", limit)
	}
	found, _, err := b.AuditEntries(t.Context(), "", engine.AuditFilter{Since: time.UnixMilli(7), Until: time.UnixMilli(9)}, engine.Page{Limit: 100})
	require.NoError(t, err)
	require.Len(t, found, 7)
}
