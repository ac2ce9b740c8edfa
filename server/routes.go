package server

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/api"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/monitoring"
	"github.com/redrive/redrive/server/problem"
)

// route puts the router together: every route and, beside it, its rule.
func (s *Server) route() {
	r := newRouter()
	s.router, s.rules = r, s.spec.Rules()

	r.Use(s.identify, s.observe, s.audit, s.respond(s.writeError), s.recoverPanic, s.guard, s.limit, s.authorize, s.check)
	r.NoRoute(func(c *gin.Context) {
		fail(c, problem.New(http.StatusNotFound, "route_not_found", "there is nothing at this path: /docs lists what there is"))
	})
	r.NoMethod(methodNotAllowed)

	api.RegisterHandlersWithOptions(r, api.NewStrictHandlerWithOptions(
		api.NewHandlers(s.options.Engine, api.Options{
			Version: s.options.Version, Heartbeat: s.options.Heartbeat, Streams: s.options.Streams, Pollers: s.options.Pollers,
			Stopping: s.stopping, Logger: s.options.Logger,
		}), []api.StrictMiddlewareFunc{api.Negotiate},
		api.StrictGinServerOptions{RequestErrorHandlerFunc: fail, HandlerErrorFunc: fail, ResponseErrorHandlerFunc: fail},
	), api.GinServerOptions{ErrorHandler: func(c *gin.Context, err error, _ int) {
		fail(c, problem.Invalid("request_invalid", err.Error()))
	}})

	open := auth.Rule{Open: true}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		s.handle(method, "/healthz", open, s.health)
		s.handle(method, "/readyz", open, s.ready)
	}
	s.handle(http.MethodGet, "/openapi.json", open, s.pages.spec)
	s.handle(http.MethodGet, "/docs", open, s.pages.docs)
	scrape := promhttp.HandlerFor(s.options.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	s.handle(http.MethodGet, "/metrics", auth.Rule{Scope: engine.ScopeRead, Fleet: true}, gin.WrapH(scrape))
	if s.dashboard != nil {
		s.routeDashboard()
	}
}

func newRouter() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.UseRawPath, r.UnescapePathValues = true, true // a ref is one escaped segment
	r.RedirectTrailingSlash, r.HandleMethodNotAllowed = false, true
	_ = r.SetTrustedProxies(nil) // fails only for addresses it cannot parse
	return r
}

func methodNotAllowed(c *gin.Context) {
	allow := c.Writer.Header().Get("Allow")
	p := problem.New(http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take %s: use %s", c.Request.Method, allow)
	p.Allow = allow
	fail(c, p)
}

// routeDashboard lets readers look and admins act.
func (s *Server) routeDashboard() {
	look := auth.Rule{Scope: engine.ScopeRead, Fleet: true}
	act := auth.Rule{Scope: engine.ScopeAdmin, Fleet: true}
	serve := gin.WrapH(s.dashboard)
	s.handle(http.MethodGet, monitoring.Root, look, func(c *gin.Context) { c.Redirect(http.StatusFound, monitoring.Root+"/") })
	s.handle(http.MethodGet, monitoring.Root+"/*path", look, serve)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		s.handle(method, monitoring.Root+"/*path", act, serve)
	}
}

func (s *Server) handle(method, path string, rule auth.Rule, h gin.HandlerFunc) {
	s.rules[method+" "+path] = rule
	s.router.Handle(method, path, h)
}

// fail hands an error to respond, which answers.
func fail(c *gin.Context, err error) {
	_ = c.Error(err) // returns what it was given
	c.Abort()
}

// plusIsPlus keeps a + in a path a plus: the router unescapes segments as if
// they were of a query, where it would be a space.
func plusIsPlus(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if escaped := r.URL.EscapedPath(); strings.Contains(escaped, "+") {
			r.URL.RawPath = strings.ReplaceAll(escaped, "+", "%2B")
		}
		next.ServeHTTP(w, r)
	})
}
