package server

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
)

// listen starts the rig's server on a port and gives a client of it.
func (r *rig) listen(key string) (*client.Client, string) {
	r.t.Helper()
	require.NoError(r.t, r.server.Start(r.t.Context()))
	base := "http://" + r.server.Addr()
	transport := &http.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(base, client.Options{APIKey: key, HTTPClient: &http.Client{Transport: transport}})
	require.NoError(r.t, err)
	return c, base
}

func TestStream(t *testing.T) {
	r := newRig(t)
	_, base := r.listen("")
	r.fake.happen(idDefault, false, "execution.started")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	lines := follow(ctx, t, base, "")

	await(t, lines, "id: 1700000000000-1", "event: execution.started", `data: {"at":"2026-01-31T08:00:00Z","seq":"1700000000000-1","type":"execution.started"}`)
	await(t, lines, ": heartbeat")
	r.fake.happen(idDefault, false, "task.running")
	await(t, lines, "id: 1700000000000-2", "event: task.running")
	r.fake.happen(idDefault, true, "execution.succeeded")
	await(t, lines, "event: execution.succeeded", "event: end")
	for line := range lines {
		require.NotContains(t, line, "event:", "nothing comes after the end")
	}

	again := follow(ctx, t, base, "1700000000000-2")
	require.Contains(t, <-nonEmpty(again), "follow")
	require.Equal(t, "id: 1700000000000-3", <-nonEmpty(again), "only what happened after Last-Event-ID")
	for range again {
	}
}

// follow opens the stream and gives its lines until it ends.
func follow(ctx context.Context, t *testing.T, base, after string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/executions/41/events", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer rdr_read")
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	return linesOf(resp)
}

func linesOf(resp *http.Response) <-chan string {
	lines := make(chan string, 10_000)
	go func() {
		defer close(lines)
		defer func() { _ = resp.Body.Close() }()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

func nonEmpty(lines <-chan string) <-chan string {
	out := make(chan string, 1)
	for line := range lines {
		if line != "" {
			out <- line
			break
		}
	}
	close(out)
	return out
}

func await(t *testing.T, lines <-chan string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		found := false
		for line := range lines {
			if strings.HasPrefix(line, want) {
				found = true
				break
			}
		}
		require.True(t, found, "the stream ended without %q", want)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Streams = 1 })
	_, base := r.listen("")
	ctx, cancel := context.WithCancel(t.Context())
	lines := follow(ctx, t, base, "")
	await(t, lines, ": follow")
	w := r.do(call{path: "/v1/executions/41/events", key: "rdr_read"})
	require.Equal(t, 503, w.Code)
	require.Equal(t, "too_many_streams", problemOf(t, w).Code)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	cancel()
	for range lines {
	}
	r.fake.happen(idDefault, true)
	require.Eventually(t, func() bool {
		return r.do(call{path: "/v1/executions/41/events", key: "rdr_read"}).Code == 200
	}, 10*time.Second, 5*time.Millisecond, "the slot came back")
}

func TestStopEndsStreams(t *testing.T) {
	r := newRig(t)
	_, base := r.listen("")
	lines := follow(t.Context(), t, base, "")
	await(t, lines, ": follow")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, r.server.Stop(ctx))
	for line := range lines {
		require.NotContains(t, line, "event: end", "the execution has not ended")
	}
	require.NoError(t, r.server.Stop(ctx), "again")
	require.Error(t, r.server.Start(ctx), "a stopped server does not start")
	_, err := http.Get(base + "/healthz")
	require.Error(t, err)
}

func TestClient(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_admin")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	numbers := []int64{}
	for x, err := range c.Executions(ctx, "default", client.ListExecutionsParams{}) {
		require.NoError(t, err)
		numbers = append(numbers, x.Number)
	}
	require.Equal(t, []int64{0, 1, 2, 3, 4}, numbers, "all pages, each once")

	_, created, err := c.Start(ctx, "default", client.StartRequest{Workflow: "hello", Input: []byte(`{"a":1}`)})
	require.NoError(t, err)
	require.True(t, created)
	require.JSONEq(t, `{"a":1}`, string(r.fake.seen().(engine.StartRequest).Input))
}

func TestClientErrors(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_admin")
	_, err := c.Publish(t.Context(), "default", []byte("bad"), false)
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 422, e.Status)
	require.Equal(t, "definition_invalid", e.Code)
	require.Equal(t, []client.FieldError{{Line: 3, Column: 7, Field: "tasks[0].type", Code: "unknown", Message: "is not known", Allowed: "http, exec"}}, e.Errors)
	require.Contains(t, e.Error(), "3:7: tasks[0].type: is not known; allowed: http, exec")
	require.NotEmpty(t, e.RequestID)

	_, err = c.Execution(t.Context(), "999")
	require.ErrorAs(t, err, &e)
	require.Equal(t, "execution_not_found", e.Code)
	_, err = c.Wait(t.Context(), "999")
	require.ErrorAs(t, err, &e, "nothing to wait for")

	task, err := c.Task(t.Context(), "41", "each[eu].load")
	require.NoError(t, err)
	require.Equal(t, "each[eu].load", task.Ref)
	require.Equal(t, "each[eu].load", r.fake.seen())
	require.NoError(t, c.RevokeKey(t.Context(), "k1"))
	text, err := c.Drawing(t.Context(), "41", "mermaid")
	require.NoError(t, err)
	require.NotEmpty(t, text)
}

func TestClientWaits(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_read")
	r.fake.happen(idDefault, false, "execution.started")
	var seen []string
	for e, err := range c.Events(t.Context(), "41", "") {
		require.NoError(t, err)
		seen = append(seen, e.Type)
		if e.Type == "execution.started" {
			r.fake.happen(idDefault, true, "execution.succeeded")
		}
	}
	require.Equal(t, []string{"execution.started", "execution.succeeded"}, seen)
	x, err := c.Wait(t.Context(), "41")
	require.NoError(t, err)
	require.EqualValues(t, "succeeded", x.Status)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Wait(ctx, "42")
	require.ErrorIs(t, err, context.Canceled, "%v", err)
}
