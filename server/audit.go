package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/monitoring"
	"github.com/redrive/redrive/server/problem"
)

const (
	ruleKey     = "rule"          // where a request keeps the rule of its route
	deniedKey   = "denied"        // where it keeps that the door refused it
	auditWithin = 2 * time.Second // a call is not kept longer by an entry that cannot be written
	auditText   = 512             // bytes of a field that callers fill
)

// audit records who changed what, when the call is over: what was done and what was refused. A call without a valid key is not recorded, so
// that nobody outside can push entries out. What cannot be recorded is logged and counted, and breaks no call.
func (s *Server) audit(c *gin.Context) {
	heard := &overheard{ReadCloser: c.Request.Body}
	if c.Request.Body != nil && c.Request.Method != http.MethodGet {
		c.Request.Body = heard
	}
	defer func() {
		rule, _ := c.Value(ruleKey).(auth.Rule)
		who := auth.From(c.Request.Context())
		if !rule.Changes(c.Request.Method) || who.Scope == "" {
			return
		}
		said := heard.said
		if s.dryRun(c, said) {
			return
		}
		a := s.auditEntry(c, who)
		a.Reason = shortened(cmp.Or(said.Reason, said.Note, c.Query("reason")))
		// The caller may be gone: what was done is recorded all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), auditWithin)
		defer cancel()
		execution, projects := "", []string{a.Project}
		switch {
		case a.Denied:
		case a.Dialect == nativeDialect:
			if strings.HasPrefix(c.FullPath(), "/v1/executions/:id") {
				execution = c.Param("id")
			}
		case c.GetString(dialectKey) != "":
			projects, a.Execution = s.touched(ctx, c)
		}
		for _, a.Project = range projects {
			if err := s.options.Engine.Audit(ctx, a, execution); err != nil {
				s.metrics.unaudited.Inc()
				s.options.Logger.ErrorContext(ctx, "a call could not be written to the audit", slog.String("request_id", a.RequestID), slog.String("by", a.By),
					slog.String("operation", a.Operation), slog.String("path", a.Path), slog.String("reason", a.Reason), slog.Int("status", a.Status), slog.Any("error", err))
			}
		}
	}()
	c.Next()
}

// nativeDialect is what the audit calls the native API.
const nativeDialect = "native"

// dryRun reports whether a call only asked what would be done. A dialect and the dashboard take no dry_run.
func (s *Server) dryRun(c *gin.Context, said asked) bool {
	if c.GetString(dialectKey) != "" {
		return false
	}
	query, body := s.spec.DryRun(c.Request.Method, c.FullPath())
	return query && c.Query("dry_run") == "true" || body && said.DryRun
}

func (s *Server) auditEntry(c *gin.Context, who *auth.Principal) engine.AuditEntry {
	a := engine.AuditEntry{
		By: who.By(), Key: who.ID, Method: c.Request.Method, Path: shortened(c.Request.URL.Path), Status: c.Writer.Status(),
		Remote: c.RemoteIP(), UserAgent: shortened(c.Request.UserAgent()), RequestID: requestID(c.Writer), Project: c.Param("project"),
		Denied: c.GetBool(deniedKey),
	}
	a.Dialect, a.Operation = nativeDialect, s.spec.OperationID(c.Request.Method, c.FullPath())
	switch name := c.GetString(dialectKey); {
	case name != "":
		a.Dialect, a.Operation = name, c.Request.Method+" "+c.FullPath()
	case strings.HasPrefix(c.FullPath(), monitoring.Root):
		a.Dialect, a.Operation = "monitoring", c.Request.Method+" "+monitoring.Root
	}
	if err := c.Errors.Last(); err != nil {
		a.Code = problem.From(err.Err).Code
	}
	return a
}

// touched is what a call to a dialect concerned. An entry stands in each of its projects: who looks after one sees all that was done there.
func (s *Server) touched(ctx context.Context, c *gin.Context) (projects []string, execution string) {
	if name := c.GetString(namesKey); name != "" {
		compat.Named(ctx, s.options.Engine, c.Param(name))
	}
	projects, execution = compat.Touched(ctx)
	if project := c.Param("project"); project != "" {
		projects = []string{project}
	}
	return projects, execution
}

func shortened(s string) string {
	if len(s) > auditText {
		s = s[:auditText]
	}
	return strings.ToValidUTF8(s, "")
}
