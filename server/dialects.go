package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/compat/cognite"
	"github.com/redrive/redrive/server/compat/conductor"
	"github.com/redrive/redrive/server/compat/digdag"
	"github.com/redrive/redrive/server/compat/kaizen"
	"github.com/redrive/redrive/server/compat/prefect"
	"github.com/redrive/redrive/server/problem"
)

// dialects are all that this server can speak, by name.
var dialects = []struct {
	name string
	make func(s *Server) compat.Dialect
}{
	{conductor.Name, func(s *Server) compat.Dialect {
		return conductor.New(s.options.Engine, conductor.Options{
			Waiters: s.options.Streams, Pollers: s.options.Pollers, Stopping: s.stopping, Logger: s.options.Logger, Script: s.options.Script,
		})
	}},
	{digdag.Name, func(s *Server) compat.Dialect { return digdag.New(s.options.Engine) }},
	{cognite.Name, func(s *Server) compat.Dialect {
		return cognite.New(s.options.Engine, cognite.Options{URL: s.options.CogniteURL})
	}},
	{kaizen.Name, func(s *Server) compat.Dialect {
		return kaizen.New(s.options.Engine, kaizen.Options{Waiters: s.options.Streams, Stopping: s.stopping})
	}},
	{prefect.Name, func(s *Server) compat.Dialect { return prefect.New(s.options.Engine) }},
}

// Dialects are the names of all dialects.
func Dialects() []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.name
	}
	return names
}

// shared says who is meant by a path that is a root of several dialects: the first row of
// that path whose text the User-Agent contains. A path's last row has "" and takes all.
var shared = []speaker{
	{"/api/health", "prefect/", prefect.Name},
	{"/api/health", "", conductor.Name},
	{"/api/version", "prefect/", prefect.Name},
	{"/api/version", "", digdag.Name},
	{"/api/logs", "prefect/", prefect.Name},
	{"/api/logs", "", digdag.Name},
}

type speaker struct{ path, agent, dialect string }

// spoken is a dialect that is switched on.
type spoken struct {
	compat.Dialect
	handler http.Handler
}

// switchboard hands each request to the dialect whose path it has, and all else to the native API.
type switchboard struct {
	native http.Handler
	spoken []spoken
	shared []speaker
}

func (b *switchboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, d := range b.spoken {
		if inner, ok := below("/"+d.Name, r); ok {
			d.handler.ServeHTTP(w, inner)
			return
		}
	}
	if d := b.whose(r); d != nil {
		d.handler.ServeHTTP(w, r)
		return
	}
	b.native.ServeHTTP(w, r)
}

// whose finds the dialect that has the path without a prefix; nil = none.
func (b *switchboard) whose(r *http.Request) *spoken {
	longest, found := "", []*spoken(nil)
	for i := range b.spoken {
		for _, root := range b.spoken[i].Roots {
			switch {
			case !within(root, r.URL.Path) || len(root) < len(longest):
			case len(root) == len(longest):
				found = append(found, &b.spoken[i])
			default:
				longest, found = root, []*spoken{&b.spoken[i]}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	if len(found) == 1 {
		return found[0]
	}
	for _, s := range b.shared {
		if s.path != longest || !strings.Contains(r.UserAgent(), s.agent) {
			continue
		}
		for _, d := range found {
			if d.Name == s.dialect {
				return d
			}
		}
	}
	return found[0]
}

// within reports whether a path is the root or below it.
func within(root, path string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" || rest[0] == '/')
}

// below takes a prefix off the path of a request.
func below(prefix string, r *http.Request) (*http.Request, bool) {
	if !within(prefix, r.URL.Path) || r.URL.RawPath != "" && !within(prefix, r.URL.RawPath) {
		return nil, false
	}
	inner := new(http.Request)
	*inner = *r
	inner.URL = new(url.URL)
	*inner.URL = *r.URL
	inner.URL.Path = "/" + strings.TrimPrefix(r.URL.Path[len(prefix):], "/")
	if r.URL.RawPath != "" {
		inner.URL.RawPath = "/" + strings.TrimPrefix(r.URL.RawPath[len(prefix):], "/")
	}
	return inner, true
}

// speak mounts the dialects that are switched on.
func (s *Server) speak() {
	var on []spoken
	for _, d := range dialects {
		if s.options.Dialects == nil || slices.Contains(s.options.Dialects, d.name) {
			dialect := d.make(s)
			on = append(on, spoken{dialect, s.mount(dialect)})
		}
	}
	s.switchboard = &switchboard{native: s.router, spoken: on, shared: shared}
}

// Where a request keeps the name of its dialect, and which parameter of its path names an execution.
const (
	dialectKey = "dialect"
	namesKey   = "names"
)

// mount makes the handler of a dialect: its routes behind the same doors as the native API, its own errors.
func (s *Server) mount(d compat.Dialect) http.Handler {
	r := newRouter()
	r.Use(func(c *gin.Context) { c.Set(dialectKey, d.Name) },
		s.identify, s.observe, s.audit, s.respond(s.failAs(d)), s.recoverPanic, s.guard)
	r.NoRoute(func(c *gin.Context) {
		fail(c, problem.New(http.StatusNotFound, "route_not_found", "there is no operation %s %s here", c.Request.Method, c.Request.URL.Path))
	})
	r.NoMethod(methodNotAllowed)
	for _, route := range d.Routes {
		handlers := []gin.HandlerFunc{s.admit(d, route), s.bound, func(c *gin.Context) {
			if err := route.Serve(c); err != nil {
				fail(c, err)
			}
		}}
		if !route.Waits {
			handlers = slices.Insert(handlers, 0, s.timed)
		}
		r.Handle(route.Method, route.Path, handlers...)
	}
	return r
}

// admit finds out who asks and holds the rule of the route against them.
func (s *Server) admit(d compat.Dialect, route compat.Route) gin.HandlerFunc {
	rule := route.Rule
	return func(c *gin.Context) {
		c.Set(ruleKey, rule)
		c.Set(namesKey, route.Names)
		if rule.Open {
			return
		}
		p, err := s.enter(d, c.Request)
		if err != nil {
			fail(c, err)
			return
		}
		through := *p // the door remembers p, and hands it to others
		through.Through = d.Name
		c.Request = c.Request.WithContext(compat.Touching(auth.With(c.Request.Context(), &through)))
		err = rule.Allows(&through)
		if project := c.Param("project"); err == nil && project != "" {
			err = through.CheckProject(project)
		}
		if err != nil {
			deny(c, err)
		}
	}
}

func (s *Server) enter(d compat.Dialect, r *http.Request) (*auth.Principal, error) {
	if d.Credential != nil {
		if secret := d.Credential(r); secret != "" {
			return s.door.Admit(r.Context(), secret)
		}
	}
	return s.door.Enter(r)
}

// bound limits the body of a request.
func (s *Server) bound(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, s.options.MaxBody)
}

// failAs answers with errors in the shape of a dialect. A cause that is not the caller's goes to the log: the
// dialect knows errors of its own, and its status says whose they are.
func (s *Server) failAs(d compat.Dialect) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		if g, ok := w.(gin.ResponseWriter); !ok || !g.Written() {
			d.Fail(w, r, err)
			if ok && g.Status() < http.StatusInternalServerError {
				return
			}
		}
		s.logFailure(w, r, problem.From(err), err)
	}
}
