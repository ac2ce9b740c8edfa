package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
)

// logged is the fake's log: a line for each event.
func (f *fake) logged(id string, filter engine.LogFilter, after int) (found []engine.LogEntry, next int) {
	f.last = filter
	for i := after; i < len(f.events[id]); i++ {
		found = append(found, engine.LogEntry{
			Seq: strconv.Itoa(i + 1), At: epoch, Level: engine.LogWarn, Ref: "load", Attempt: 1, Message: f.events[id][i].Type,
		})
	}
	return found, len(f.events[id])
}

// Logs has pages of one line.
func (f *fake) Logs(_ context.Context, id string, filter engine.LogFilter, page engine.Page) ([]engine.LogEntry, string, error) {
	defer f.lock()()
	x, err := f.find(id)
	if err != nil {
		return nil, "", err
	}
	after, _ := strconv.Atoi(page.Cursor)
	found, next := f.logged(x.ID, filter, after)
	if len(found) < 2 {
		return found, "", nil
	}
	return found[:1], strconv.Itoa(next - len(found) + 1), nil
}

func (f *fake) WatchLogs(ctx context.Context, id string, filter engine.LogFilter, after string) (engine.WatchedLog, error) {
	w := engine.WatchedLog{Next: after}
	from, err := strconv.Atoi("0" + after)
	if err != nil {
		return w, engine.Invalid("cursor_invalid", "there is no such line")
	}
	for {
		f.mu.Lock()
		found, next := f.logged(id, filter, from)
		ended, changed := f.ended[id], f.changed
		f.mu.Unlock()
		if len(found) > 0 || ended {
			return engine.WatchedLog{Entries: found, Next: strconv.Itoa(next), Ended: ended}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return w, ctx.Err()
		}
	}
}

func TestLogs(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_read")
	r.fake.happen(idDefault, false, "one", "two", "three")
	filter := client.LogFilter{Task: "each[eu].load", Attempt: 2, Level: client.LogLevelWarn}
	var all []client.LogEntry
	for e, err := range c.Logs(t.Context(), "41", filter) {
		require.NoError(t, err)
		all = append(all, e)
	}
	require.Equal(t, engine.LogFilter{Ref: "each[eu].load", Attempt: 2, Level: engine.LogWarn}, r.fake.seen())
	require.Len(t, all, 3, "all pages, each once")
	require.Equal(t, client.LogEntry{Seq: "3", At: epoch, Level: "warn", Ref: "load", Attempt: 1, Message: "three"}, all[2])

	first := r.do(call{path: "/v1/executions/41/logs?task=load", key: "rdr_read"})
	cursor := nextCursor(t, first.Body.Bytes())
	require.Equal(t, 200, r.do(call{path: "/v1/executions/41/logs?task=load&cursor=" + cursor, key: "rdr_read"}).Code)
	require.Equal(t, 422, r.do(call{path: "/v1/executions/41/logs?task=other&cursor=" + cursor, key: "rdr_read"}).Code, "a cursor of another filter")
	for _, query := range []string{"level=loud", "attempt=0", "task=", "follow=maybe", "tail=1"} {
		require.Equal(t, 422, r.do(call{path: "/v1/executions/41/logs?" + query, key: "rdr_read"}).Code, query)
	}
}

func TestLogsAreFollowed(t *testing.T) {
	r := newRig(t)
	c, base := r.listen("rdr_read")
	r.fake.happen(idDefault, false, "one")
	var seen []string
	for e, err := range c.FollowLogs(t.Context(), "41", client.LogFilter{}, "") {
		require.NoError(t, err)
		seen = append(seen, e.Seq+" "+e.Message)
		switch e.Message {
		case "one":
			r.fake.happen(idDefault, false, "two")
		case "two":
			r.fake.happen(idDefault, true, "three")
		}
	}
	require.Equal(t, []string{"1 one", "2 two", "3 three"}, seen)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/executions/41/logs", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer rdr_read")
	req.Header.Set("Accept", "application/json;q=0.1, text/event-stream")
	req.Header.Set("Last-Event-ID", "2")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	lines := linesOf(resp)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	await(t, lines, "id: 3", "event: log", `data: {"at":"2026-01-31T08:00:00Z","attempt":1,"level":"warn","message":"three","ref":"load","seq":"3"}`, "event: end", `data: {"id":"`+idDefault+`","status":"succeeded"}`)
	for range lines {
	}
	w := r.do(call{path: "/v1/executions/41/logs?follow=true", key: "rdr_read", header: map[string]string{"Last-Event-ID": "x"}})
	require.Equal(t, 422, w.Code, "refused before the stream begins")
	require.Equal(t, 404, r.do(call{path: "/v1/executions/999/logs?follow=true", key: "rdr_read"}).Code)
}

// A stream outlives the time that other requests have.
func TestLogsAreFollowedForLong(t *testing.T) {
	const limit = 50 * time.Millisecond
	r := newRig(t, func(o *Options) { o.Write, o.Heartbeat = 2*limit, limit/5 })
	_, base := r.listen("rdr_read")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/executions/41/logs?follow=true", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer rdr_read")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	lines := linesOf(resp)
	for range 10 { // more than the limit
		await(t, lines, ": heartbeat")
	}
	r.fake.happen(idDefault, true, "two")
	await(t, lines, "event: log", "event: end")
	for range lines {
	}
}

func TestFollowersOfLogsAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Streams = 1 })
	_, base := r.listen("")
	ctx, cancel := context.WithCancel(t.Context())
	lines := follow(ctx, t, base, "")
	await(t, lines, ": follow")
	w := r.do(call{path: "/v1/executions/41/logs?follow=true", key: "rdr_read"})
	require.Equal(t, "too_many_streams", problemOf(t, w).Code, "events and logs share the slots")
	cancel()
	for range lines {
	}
	r.fake.happen(idDefault, true)
	require.Eventually(t, func() bool {
		return r.do(call{path: "/v1/executions/41/logs?follow=true", key: "rdr_read"}).Code == 200
	}, 10*time.Second, 5*time.Millisecond, "the slot came back, and comes back each time")
}

func nextCursor(t *testing.T, body []byte) string {
	t.Helper()
	var list struct {
		NextCursor string `json:"next_cursor"`
	}
	require.NoError(t, json.Unmarshal(body, &list))
	require.NotEmpty(t, list.NextCursor)
	return list.NextCursor
}
