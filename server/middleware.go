package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/redrive/redrive/server/api"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
)

const requestIDHeader = "X-Request-Id"

var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identify gives the request an id: the caller's when it is harmless, else a new one.
func (s *Server) identify(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !goodRequestID.MatchString(id) {
		id = uuid.NewString()
	}
	c.Header(requestIDHeader, id)
}

func requestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }

// observe logs and measures a request when it is over.
func (s *Server) observe(c *gin.Context) {
	begin := time.Now()
	c.Next()
	took := time.Since(begin)
	route := c.FullPath()
	if route == "" {
		route = "none"
	}
	if d := c.GetString(dialectKey); d != "" {
		route = "/" + d + "/" + strings.TrimPrefix(route, "/") // one label, with the prefix and without
	}
	status := c.Writer.Status()
	s.metrics.requests.WithLabelValues(methodLabel(c.Request.Method), route, strconv.Itoa(status)).Observe(took.Seconds())
	level := slog.LevelInfo
	if route == "/healthz" || route == "/readyz" || route == "/metrics" {
		level = slog.LevelDebug
	}
	s.options.Logger.LogAttrs(c.Request.Context(), level, "request",
		slog.String("request_id", requestID(c.Writer)), slog.String("method", c.Request.Method),
		slog.String("path", c.Request.URL.Path), slog.String("route", route), slog.Int("status", status),
		slog.Int("bytes", max(c.Writer.Size(), 0)), slog.Duration("took", took),
		slog.String("remote", c.RemoteIP()), slog.String("by", auth.From(c.Request.Context()).By()))
}

// methodLabel keeps made-up methods from making up series.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

// respond answers the error that a later handler left, the one place that does.
func (s *Server) respond(write func(http.ResponseWriter, *http.Request, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Next()
		if err := c.Errors.Last(); err != nil {
			write(c.Writer, c.Request, err.Err)
		}
	}
}

// writeError answers with the problem of err. A cause that is not the caller's
// goes to the log.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.From(err)
	s.logFailure(w, r, p, err)
	if g, ok := w.(gin.ResponseWriter); ok && g.Written() {
		return // the answer has begun: the caller sees it break off
	}
	problem.Write(w, r, requestID(w), p)
}

// logFailure logs a cause that is not the caller's.
func (s *Server) logFailure(w http.ResponseWriter, r *http.Request, p *problem.Problem, err error) {
	if p.Status >= http.StatusInternalServerError && p.Status != http.StatusNotImplemented {
		s.options.Logger.ErrorContext(r.Context(), "request failed", slog.String("request_id", requestID(w)),
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("code", p.Code), slog.Any("error", err))
	}
}

// recoverPanic turns a panic into a plain 500; the stack goes to the log only.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		s.options.Logger.ErrorContext(c.Request.Context(), "panic in a handler", slog.String("request_id", requestID(c.Writer)),
			slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // break the connection off: half an answer must not look whole
		}
		fail(c, fmt.Errorf("server: panic: %v", v))
	}()
	c.Next()
}

// limit puts an end to API requests. Streams and reports have no end of their own, and polls know theirs.
func (s *Server) limit(c *gin.Context) {
	route := c.FullPath()
	stream := strings.HasSuffix(route, "/events") || strings.HasSuffix(route, "/report") || strings.HasSuffix(route, "/logs") && api.Follows(c.Request)
	if !strings.HasPrefix(route, "/v1/") || stream || route == "/v1/remote/poll" {
		return
	}
	s.timed(c)
}

// timed ends a request that takes too long while there still is time to answer it.
func (s *Server) timed(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.options.Write/2)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

// check holds an API request against the specification.
func (s *Server) check(c *gin.Context) {
	if !strings.HasPrefix(c.FullPath(), "/v1/") {
		return
	}
	if err := s.spec.Check(c, s.options.MaxBody); err != nil {
		fail(c, err)
	}
}
