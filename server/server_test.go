package server

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOptionsNameTheField(t *testing.T) {
	for field, spoil := range map[string]func(*Options){
		"Engine":     func(o *Options) { o.Engine = nil },
		"Registry":   func(o *Options) { o.Registry = nil },
		"Logger":     func(o *Options) { o.Logger = nil },
		"Listen":     func(o *Options) { o.Listen = "8080" },
		"port":       func(o *Options) { o.Listen = "127.0.0.1:http" },
		"MaxBody":    func(o *Options) { o.MaxBody = 0 },
		"Streams":    func(o *Options) { o.Streams = 0 },
		"Heartbeat":  func(o *Options) { o.Heartbeat = 0 },
		"Remember":   func(o *Options) { o.Remember = -1 },
		"ReadHeader": func(o *Options) { o.ReadHeader = 0 },
		"Read:":      func(o *Options) { o.Read = 0 },
		"Write":      func(o *Options) { o.Write = -time.Second },
		"Idle":       func(o *Options) { o.Idle = 0 },
	} {
		o := DefaultOptions()
		o.Engine = newFake()
		require.NoError(t, o.Validate())
		spoil(&o)
		_, err := New(o)
		require.ErrorContains(t, err, field)
	}
}

func TestListenIsSafe(t *testing.T) {
	for _, c := range []struct {
		listen                string
		keys, open, allowOpen bool
		refused               string
	}{
		{"127.0.0.1:8080", false, true, false, ""},
		{"localhost:8080", false, false, false, ""},
		{"[::1]:8080", false, true, false, ""},
		{"0.0.0.0:8080", true, false, false, ""},
		{"0.0.0.0:8080", false, false, true, ""},
		{"0.0.0.0:8080", true, true, true, ""},
		{"0.0.0.0:8080", false, false, false, "redrive key create"},
		{":8080", false, false, false, "redrive key create"},
		{"[::]:8080", false, false, false, "--allow-open"},
		{"example.com:8080", false, false, false, "--allow-open"},
		{"10.0.0.1:8080", true, true, false, "the server is open"},
	} {
		f := newFake()
		if !c.keys {
			f.keys = nil
		}
		o := Options{Engine: f, Listen: c.listen, Open: c.open, AllowOpen: c.allowOpen}
		err := o.CheckListen(t.Context())
		if c.refused == "" {
			require.NoError(t, err, "%+v", c)
			continue
		}
		require.ErrorContains(t, err, c.refused, "%+v", c)
	}
}

func TestLifecycle(t *testing.T) {
	r := newRig(t)
	require.Empty(t, r.server.Addr())
	require.NoError(t, r.server.Start(t.Context()))
	require.ErrorContains(t, r.server.Start(t.Context()), "started before")

	taken := newRig(t, func(o *Options) { o.Listen = r.server.Addr() })
	require.ErrorContains(t, taken.server.Start(t.Context()), r.server.Addr())

	require.Equal(t, 5*time.Second, r.server.http.ReadHeaderTimeout)
}

func TestStopWaitsForRequests(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.server.Start(t.Context()))
	conn, err := net.Dial("tcp", r.server.Addr())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("POST /v1/keys HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer rdr_admin\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { defer r.fake.lock()(); return r.fake.calls == 1 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, r.server.Stop(ctx), "cut off", "the request never ends: Stop is bounded")
	require.Error(t, r.server.Stop(ctx), "the same answer again")
	r.server.stopErr = nil // the cleanup stops again and wants success
}

func TestHeadIsBounded(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.server.Start(t.Context()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.server.Addr()+"/healthz", nil)
	require.NoError(t, err)
	for range 40 {
		req.Header.Add("X-Filler", strings.Repeat("x", 1000))
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}
