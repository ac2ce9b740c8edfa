package server

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
)

// authorize finds out who asks and holds the rule of the route against them.
// A route without a rule is closed to everybody.
func (s *Server) authorize(c *gin.Context) {
	if c.FullPath() == "" {
		return // no route: the answer is 404 or 405, whoever asks
	}
	rule := s.rules[c.Request.Method+" "+c.FullPath()]
	c.Set(ruleKey, rule)
	if rule.Open {
		return
	}
	p, err := s.door.Enter(c.Request)
	if err != nil {
		fail(c, err)
		return
	}
	c.Request = c.Request.WithContext(auth.With(c.Request.Context(), p))
	err = rule.Allows(p)
	if err == nil && p.Limited() {
		err = s.withinProjects(c, p)
	}
	if err != nil {
		deny(c, err)
	}
}

// deny refuses a call of a valid key at the door: it touches no project, and the audit keeps it apart.
func deny(c *gin.Context, err error) {
	c.Set(deniedKey, true)
	fail(c, err)
}

// withinProjects keeps a limited key inside its projects. Executions elsewhere
// are not there for it.
func (s *Server) withinProjects(c *gin.Context, p *auth.Principal) error {
	if project := c.Param("project"); project != "" {
		return p.CheckProject(project)
	}
	var ids []string
	switch {
	case strings.HasPrefix(c.FullPath(), "/v1/executions/:id"):
		ids = append(ids, c.Param("id"))
	case strings.HasPrefix(c.FullPath(), "/v1/remote/:execution"):
		ids = append(ids, c.Param("execution"))
	}
	if with := c.Query("with"); with != "" && c.FullPath() == "/v1/executions/:id/diff" {
		ids = append(ids, with)
	}
	for _, id := range ids {
		x, err := s.options.Engine.Execution(c.Request.Context(), id)
		if err != nil {
			return err
		}
		if !p.Sees(x.Project) {
			return engine.NotFound("execution", id)
		}
	}
	return nil
}

// crossOrigin refuses what another site makes a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// guard sets the headers that keep browsers in their place, and refuses
// requests that a foreign page sends.
func (s *Server) guard(c *gin.Context) {
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("X-Frame-Options", "DENY")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cross-Origin-Resource-Policy", "same-origin")
	c.Header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c.Header("Cache-Control", "no-store")
	if err := crossOrigin.Check(c.Request); err != nil {
		fail(c, problem.New(http.StatusForbidden, "cross_origin", "a page of another origin may not send this"))
		return
	}
	if s.options.Open && Loopback(s.options.Listen) && !localHost(c.Request.Host) {
		fail(c, problem.New(http.StatusMisdirectedRequest, "host_denied", "an open server answers to localhost and addresses only, not to %q", c.Request.Host))
	}
}
