package client

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL, Options{APIKey: "rdr_x", HTTPClient: s.Client(), UserAgent: "test/1"})
	require.NoError(t, err)
	return c
}

func TestNewNamesTheURL(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "ftp://h", "http://", "://"} {
		_, err := New(bad, Options{})
		require.ErrorContains(t, err, "base URL", bad)
	}
}

func TestRequestsSayWhoTheyAre(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer rdr_x" || r.Header.Get("User-Agent") != "test/1" {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = w.Write([]byte(`{"items":[],"next_cursor":null}`))
	})
	_, err := c.Workers(t.Context())
	require.NoError(t, err)
}

// TestEventsReconnect breaks the connection in every way that another
// connection cures, and sees each event once.
func TestEventsReconnect(t *testing.T) {
	var connections atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := connections.Add(1)
		switch n {
		case 1:
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprint(w, ": hello\n\nid: 1\nevent: a\ndata: {\"seq\":\"1\",\"type\":\"a\"}\n\nid: 2\nevent: b\ndata: {\"seq\":\"2\",")
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler)
		default:
			if r.Header.Get("Last-Event-ID") != "1" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			_, _ = fmt.Fprint(w, "id: 2\nevent: b\ndata: {\"seq\":\"2\",\ndata: \"type\":\"b\"}\n\nevent: end\ndata: {}\n\nid: 3\ndata: {\"seq\":\"3\"}\n\n")
		}
	})
	var seen []string
	for e, err := range c.Events(t.Context(), "1", "") {
		require.NoError(t, err)
		seen = append(seen, e.Seq)
	}
	require.Equal(t, []string{"1", "2"}, seen)
	require.EqualValues(t, 4, connections.Load())
}

func TestEventsEndWithARefusal(t *testing.T) {
	var connections atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if connections.Add(1) == 1 {
			w.Header().Set("Content-Type", "text/event-stream")
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"title":"Not Found","status":404,"code":"execution_not_found","detail":"there is none"}`))
	})
	_, err := c.Wait(t.Context(), "1")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "execution_not_found", e.Code)
	require.EqualValues(t, 2, connections.Load())
}

func TestEventsStopWhenAsked(t *testing.T) {
	gone := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, "data: {\"seq\":\"1\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, err := range c.Events(t.Context(), "1", "") {
		require.NoError(t, err)
		break
	}
	<-gone
}

func TestEventsStopWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	})
	_, err := c.Wait(ctx, "1")
	require.ErrorIs(t, err, context.Canceled, "%v", err)
}

func TestNobodyThere(t *testing.T) {
	c, err := New("http://127.0.0.1:1", Options{})
	require.NoError(t, err)
	_, err = c.Wait(t.Context(), "1")
	require.Error(t, err, "a first connection that fails is not tried again and again")
}

func TestForeignAnswers(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/workers" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write([]byte("<html>"))
	})
	_, err := c.Workers(t.Context())
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 502, e.Status)
	require.Empty(t, e.Code)
	require.ErrorContains(t, err, "is this a Redrive server?")
	_, err = c.Queues(t.Context())
	require.ErrorContains(t, err, "is not from this API")
}

func TestPagesStopAtAnError(t *testing.T) {
	var pages atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if pages.Add(1) == 2 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(`{"items":[{"name":"a"},{"name":"b"}],"next_cursor":"` + "x" + `"}`))
	})
	names, failed := 0, 0
	for p, err := range c.Projects(t.Context()) {
		if err != nil {
			failed++
			continue
		}
		require.NotEmpty(t, p.Name)
		names++
	}
	require.Equal(t, []int{2, 1}, []int{names, failed})
}
