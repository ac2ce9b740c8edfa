package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// parrot is a dialect whose errors are lines of text and whose clients send a key of their own kind.
func parrot(name string, roots ...string) compat.Dialect {
	echo := func(c *gin.Context) error {
		body, err := c.GetRawData()
		if err != nil {
			return err
		}
		p := auth.From(c.Request.Context())
		_, deadline := c.Request.Context().Deadline()
		c.String(http.StatusOK, "%s %s %s by=%s in=%s limited=%v", name, c.Param("word"), body, p.By(), compat.Project(c.Request.Context()), deadline)
		return nil
	}
	routes := []compat.Route{
		compat.Absent("GET", "/parrots/fly", "parrots do not fly here"),
		{Method: "GET", Path: "/parrots/panic", Rule: auth.Rule{Open: true}, Serve: func(*gin.Context) error { panic("secret detail") }},
		{Method: "POST", Path: "/parrots/wait/:word", Rule: auth.Rule{Scope: engine.ScopeRead}, Waits: true, Serve: echo},
		{Method: "GET", Path: "/parrots/in/:project", Rule: auth.Rule{Scope: engine.ScopeRead}, Serve: echo},
		{Method: "GET", Path: "/parrots/seen/:id", Rule: auth.Rule{Scope: engine.ScopeRead}},
	}
	for _, root := range roots {
		routes = append(routes, compat.Route{Method: "POST", Path: root + "/say/:word", Rule: auth.Rule{Scope: engine.ScopeWrite}, Serve: echo})
	}
	return compat.Dialect{
		Name: name, Roots: roots, Routes: routes,
		Credential: func(r *http.Request) string { return r.Header.Get("X-Parrot") },
		Fail: func(w http.ResponseWriter, r *http.Request, err error) {
			p := problem.From(err)
			p.Headers(w.Header())
			http.Error(w, name+" says "+p.Code+": "+p.Detail, p.Status)
		},
	}
}

// speaking is a rig that also speaks these dialects.
func speaking(t *testing.T, table []speaker, dialects []compat.Dialect, change ...func(*Options)) *rig {
	r := newRig(t, change...)
	b := &switchboard{native: r.server.router, shared: table}
	for _, d := range dialects {
		for i := range d.Routes {
			if d.Routes[i].Serve == nil {
				d.Routes[i].Serve = func(c *gin.Context) error {
					x, err := compat.Execution(c.Request.Context(), r.fake, c.Param("id"))
					if err == nil {
						c.String(http.StatusOK, x.ID)
					}
					return err
				}
			}
		}
		b.spoken = append(b.spoken, spoken{d, r.server.mount(d)})
	}
	r.server.switchboard = b
	return r
}

// ask is do for a dialect, whose errors are no problems.
func (r *rig) ask(method, path, key, body string, header ...string) (int, string) {
	r.t.Helper()
	req := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	require.NotEmpty(r.t, w.Header().Get("X-Request-Id"))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestDialectIsAtItsPathsAndBelowItsPrefix(t *testing.T) {
	r := speaking(t, nil, []compat.Dialect{parrot("parrot", "/parrots")})
	for _, path := range []string{"/parrots/say/hello", "/parrot/parrots/say/hello"} {
		status, body := r.ask("POST", path, "rdr_write", "x")
		require.Equal(t, 200, status, path)
		require.Equal(t, "parrot hello x by=parrot:writer (k2) in=default limited=true", body)
	}
	_, body := r.ask("POST", "/parrot/parrots/say/a%2Fb+c", "rdr_write", "")
	require.Contains(t, body, "parrot a/b+c ")
	_, body = r.ask("POST", "/parrots/wait/x", "rdr_read", "")
	require.Contains(t, body, "limited=false")
	for _, path := range []string{"/parrotsay", "/parrotz/x", "/%70arrot/parrots/say/x%2Fy", "/other"} {
		status, body := r.ask("GET", path, "rdr_write", "")
		require.Equal(t, 404, status, path)
		require.Contains(t, body, "urn:redrive:problem:route_not_found", path)
	}
	log := r.log.String()
	require.Equal(t, 3, strings.Count(log, "route=/parrot/parrots/say/:word"), "one label for both paths")
	require.Contains(t, log, `by="parrot:writer (k2)"`)
}

func TestDialectFailsInItsOwnShape(t *testing.T) {
	r := speaking(t, nil, []compat.Dialect{parrot("parrot", "/parrots")}, func(o *Options) { o.MaxBody = 10 })
	for _, c := range []struct {
		method, path, key, body string
		status                  int
		want                    string
	}{
		{"POST", "/parrots/say/x", "", "", 401, "parrot says credentials_missing: "},
		{"POST", "/parrots/say/x", "rdr_bad", "", 401, "parrot says key_invalid: "},
		{"POST", "/parrots/say/x", "rdr_read", "", 403, "parrot says scope_denied: "},
		{"GET", "/parrots/in/default", "rdr_other", "", 403, "parrot says project_denied: "},
		{"GET", "/parrots/in/other", "rdr_other", "", 200, "parrot   by=parrot:stranger (k4) in=other limited=true"},
		{"GET", "/parrots/seen/" + idOther, "rdr_other", "", 200, idOther},
		{"GET", "/parrots/seen/" + idDefault, "rdr_other", "", 404, "parrot says execution_not_found: there is no execution"},
		{"GET", "/parrots/seen/" + idDefault, "rdr_read", "", 200, idDefault},
		{"GET", "/parrots/nothing", "", "", 404, "parrot says route_not_found: there is no operation GET /parrots/nothing here"},
		{"GET", "/parrot", "", "", 404, "parrot says route_not_found: there is no operation GET / here"},
		{"GET", "/parrot/", "", "", 404, "parrot says route_not_found: there is no operation GET / here"},
		{"GET", "/parrots/say/x", "", "", 405, "parrot says method_not_allowed: this path does not take GET: use POST"},
		{"GET", "/parrots/fly", "", "", 501, "parrot says not_implemented: parrots do not fly here"},
		{"GET", "/parrots/panic", "", "", 500, "parrot says internal: internal error"},
		{"POST", "/parrots/say/x", "rdr_write", "eleven bytes", 413, "parrot says body_too_large: "},
	} {
		for _, prefix := range []string{"", "/parrot"} {
			if prefix != "" && strings.TrimSuffix(c.path, "/") == "/parrot" {
				continue
			}
			status, body := r.ask(c.method, prefix+c.path, c.key, c.body)
			require.Equal(t, c.status, status, "%s: %s", c.path, body)
			require.True(t, strings.HasPrefix(body, c.want), "%s: %s", c.path, body)
		}
	}
	require.Contains(t, r.log.String(), "secret detail", "the panic is in the log")
	require.NotContains(t, r.log.String(), "parrots do not fly", "what is not there is nobody's failure")
}

func TestDialectCredential(t *testing.T) {
	r := speaking(t, nil, []compat.Dialect{parrot("parrot", "/parrots")})
	status, body := r.ask("POST", "/parrots/say/x", "", "", "X-Parrot", "rdr_write")
	require.Equal(t, 200, status, body)
	status, _ = r.ask("POST", "/parrots/say/x", "rdr_write", "", "X-Parrot", "rdr_bad")
	require.Equal(t, 401, status)
	status, _ = r.ask("POST", "/parrots/say/x", "", "", "X-Parrot", strings.Repeat("x", 300))
	require.Equal(t, 401, status)
	status, body = speaking(t, nil, []compat.Dialect{parrot("parrot", "/parrots")}, open).ask("POST", "/parrots/say/x", "", "", "X-Parrot", "rdr_bad")
	require.Equal(t, 200, status)
	require.Contains(t, body, "by=parrot:anybody ")
}

func TestDialectRefusesForeignPages(t *testing.T) {
	r := speaking(t, nil, []compat.Dialect{parrot("parrot", "/parrots")}, open)
	status, body := r.ask("POST", "/parrots/say/x", "", "", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, 403, status)
	require.Contains(t, body, "parrot says cross_origin")
	status, body = r.ask("POST", "/parrots/say/x", "", "")
	require.Equal(t, 200, status, body)
}

func TestSharedPaths(t *testing.T) {
	table := []speaker{{"/api/version", "parrot/", "parrot"}, {"/api/version", "", "magpie"}}
	r := speaking(t, table, []compat.Dialect{
		parrot("parrot", "/api/version", "/api/logs"), parrot("magpie", "/api/version", "/api/logs/filter"), parrot("raven", "/api"),
	})
	for _, c := range []struct{ path, agent, want string }{
		{"/api/version/say/x", "parrot/1.2", "parrot"},
		{"/api/version/say/x", "curl/8", "magpie"},
		{"/magpie/api/version/say/x", "parrot/1.2", "magpie"},
		{"/api/logs/say/x", "magpie/1", "parrot"},
		{"/api/logs/filter/say/x", "parrot/1.2", "magpie"},
		{"/api/say/x", "", "raven"},
	} {
		status, body := r.ask("POST", c.path, "rdr_write", "", "User-Agent", c.agent)
		require.Equal(t, 200, status, c.path)
		require.True(t, strings.HasPrefix(body, c.want+" x"), "%s %s: %s", c.path, c.agent, body)
	}
	r.server.switchboard.spoken = r.server.switchboard.spoken[:1]
	_, body := r.ask("POST", "/api/version/say/x", "rdr_write", "", "User-Agent", "curl/8")
	require.True(t, strings.HasPrefix(body, "parrot x"), "the other is switched off: %s", body)
}

// TestRootsAreTold: of every root that two dialects have, the table says whose it is.
func TestRootsAreTold(t *testing.T) {
	r := newRig(t)
	owners := map[string][]string{}
	for _, d := range r.server.switchboard.spoken {
		require.NotEmpty(t, d.Roots, d.Name)
		for _, root := range d.Roots {
			owners[root] = append(owners[root], d.Name)
			require.NotContains(t, []string{"/v1", "/docs", "/monitoring", "/metrics", "/healthz", "/readyz", "/openapi.json"}, root, "that is the native API's")
		}
	}
	for root, names := range owners {
		rows := slices.DeleteFunc(slices.Clone(shared), func(s speaker) bool { return s.path != root })
		if len(names) == 1 {
			require.Empty(t, rows, "only %s has %s", names[0], root)
			continue
		}
		require.NotEmpty(t, rows, "%v all have %s, and no User-Agent tells them apart", names, root)
		require.Empty(t, rows[len(rows)-1].agent, "the last row of %s takes all", root)
	}
}

func TestDialectsAreSwitchedOff(t *testing.T) {
	all := newRig(t).server.switchboard.spoken
	require.Len(t, all, len(Dialects()))
	require.Empty(t, newRig(t, func(o *Options) { o.Dialects = []string{} }).server.switchboard.spoken)
	for i, name := range Dialects() {
		on := newRig(t, func(o *Options) { o.Dialects = []string{name} }).server.switchboard.spoken
		require.Len(t, on, 1)
		require.Equal(t, all[i].Name, on[0].Name)
		require.Equal(t, name, on[0].Name, "a dialect is switched on under its own name")
	}
	for _, path := range []string{"/executions/get", "/kaizen/executions/get"} {
		status, body := newRig(t).ask("POST", path, "", "{}")
		require.Equal(t, 401, status, path)
		require.Contains(t, body, `{"success":false,"message":`)
		status, body = newRig(t, func(o *Options) { o.Dialects = []string{} }).ask("POST", path, "", "{}")
		require.Equal(t, 404, status, path)
		require.Contains(t, body, "urn:redrive:problem:route_not_found")
	}
	o := DefaultOptions()
	o.Engine, o.Dialects = newFake(), []string{"klingon"}
	require.ErrorContains(t, o.Validate(), fmt.Sprintf("Dialects: there is no dialect %q", "klingon"))
}

func TestDialectRequestsEnd(t *testing.T) {
	d := parrot("parrot", "/parrots")
	d.Routes = append(d.Routes, compat.Route{Method: "GET", Path: "/parrots/long", Rule: auth.Rule{Open: true}, Serve: func(c *gin.Context) error {
		<-c.Request.Context().Done()
		return c.Request.Context().Err()
	}})
	r := speaking(t, nil, []compat.Dialect{d}, func(o *Options) { o.Write = 20 * time.Millisecond })
	status, body := r.ask("GET", "/parrots/long", "", "")
	require.Equal(t, 503, status)
	require.Contains(t, body, "parrot says timeout")
}
