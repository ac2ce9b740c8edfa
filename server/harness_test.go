package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/server/api"
	"github.com/redrive/redrive/server/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server over a fake engine. Every answer to an API request is held
// against the specification.
type rig struct {
	t      *testing.T
	fake   *fake
	server *Server
	spec   routers.Router
	log    *syncBuffer
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	f, log := newFake(), &syncBuffer{}
	o := DefaultOptions()
	o.Engine, o.Registry, o.Listen = f, prometheus.NewRegistry(), "127.0.0.1:0"
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Heartbeat = 20 * time.Millisecond
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
	})
	router, err := gorillamux.NewRouter(s.spec.Document)
	require.NoError(t, err)
	return &rig{t: t, fake: f, server: s, spec: router, log: log}
}

func open(o *Options) { o.Open = true }

// call is one request. Its zero fields do nothing.
type call struct {
	method, path, key, body, media string
	header                         map[string]string
}

func (r *rig) do(c call) *httptest.ResponseRecorder {
	r.t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	req := httptest.NewRequest(c.method, "http://127.0.0.1:8080"+c.path, strings.NewReader(c.body))
	if c.media == "" && c.body != "" {
		c.media = "application/json"
	}
	if c.media != "" {
		req.Header.Set("Content-Type", c.media)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	r.agrees(c, w)
	return w
}

// agrees fails the test when an answer is not what the specification says.
func (r *rig) agrees(c call, w *httptest.ResponseRecorder) {
	r.t.Helper()
	if w.Code >= 400 {
		require.Equal(r.t, problem.ContentType, w.Header().Get("Content-Type"), "%s %s: %s", c.method, c.path, w.Body)
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), "/")
	if !strings.HasPrefix(c.path, "/v1/") || kind == "text" || kind == "image" || w.Header().Get("Content-Type") == "application/x-ndjson" {
		return
	}
	req := httptest.NewRequest(c.method, "http://127.0.0.1:8080"+c.path, nil)
	route, params, err := r.spec.FindRoute(req)
	if err != nil {
		require.Contains(r.t, []int{404, 405}, w.Code, "%s %s is not in the specification", c.method, c.path)
		return
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	require.NoError(r.t, err, "%s %s answered %d: %s", c.method, c.path, w.Code, w.Body)
}

func problemOf(t *testing.T, w *httptest.ResponseRecorder) api.Problem {
	t.Helper()
	var p api.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), w.Body.String())
	require.Equal(t, w.Code, p.Status)
	require.Equal(t, "urn:redrive:problem:"+p.Code, p.Type)
	require.NotEmpty(t, p.RequestID)
	require.Equal(t, w.Header().Get("X-Request-ID"), p.RequestID)
	return p
}
