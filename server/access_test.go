package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
)

// The columns of the matrix: who asks.
var principals = []struct{ name, key string }{
	{"none", ""}, {"bad", "rdr_bad"}, {"read", "rdr_read"}, {"write", "rdr_write"}, {"admin", "rdr_admin"}, {"other", "rdr_other"},
}

// matrix says for every route what each principal gets: . = through,
// 1 = 401, 3 = 403, 4 = 404. "other" is an admin key limited to another project.
var matrix = map[string]string{
	//                                                          none bad read write admin other
	"GET /v1/projects":                                                "11....",
	"GET /v1/projects/:project":                                       "11...3",
	"PUT /v1/projects/:project":                                       "1133.3",
	"GET /v1/projects/:project/workflows":                             "11...3",
	"POST /v1/projects/:project/workflows":                            "113..3",
	"GET /v1/projects/:project/workflows/:name":                       "11...3",
	"GET /v1/projects/:project/workflows/:name/versions":              "11...3",
	"GET /v1/projects/:project/workflows/:name/versions/:version":     "11...3",
	"GET /v1/projects/:project/executions":                            "11...3",
	"POST /v1/projects/:project/executions":                           "113..3",
	"GET /v1/projects/:project/sessions":                              "11...3",
	"GET /v1/projects/:project/sessions/:session":                     "11...3",
	"GET /v1/projects/:project/sessions/:session/attempts":            "11...3",
	"GET /v1/projects/:project/schedules":                             "11...3",
	"GET /v1/projects/:project/schedules/:name":                       "11...3",
	"PUT /v1/projects/:project/schedules/:name":                       "113..3",
	"DELETE /v1/projects/:project/schedules/:name":                    "113..3",
	"POST /v1/projects/:project/schedules/:name/enable":               "113..3",
	"POST /v1/projects/:project/schedules/:name/disable":              "113..3",
	"GET /v1/projects/:project/schedules/:name/next":                  "11...3",
	"POST /v1/projects/:project/schedules/:name/backfill":             "113..3",
	"DELETE /v1/projects/:project/schedules/:name/backfill/:backfill": "113..3",
	"GET /v1/projects/:project/failures":                              "11...3",
	"GET /v1/projects/:project/failures/:fingerprint":                 "11...3",
	"POST /v1/projects/:project/failures/:fingerprint/acknowledge":    "113..3",
	"POST /v1/projects/:project/failures/:fingerprint/resolve":        "113..3",
	"POST /v1/projects/:project/failures/:fingerprint/reopen":         "113..3",
	"GET /v1/projects/:project/audit":                                 "1133.3",
	"GET /v1/audit":                                                   "1133.3",
	"GET /v1/projects/:project/bulk":                                  "11...3",
	"POST /v1/projects/:project/bulk":                                 "113..3",
	"GET /v1/projects/:project/bulk/:bulk":                            "11...3",
	"GET /v1/projects/:project/bulk/:bulk/items":                      "11...3",
	"GET /v1/projects/:project/bulk/:bulk/report":                     "11...3",
	"POST /v1/projects/:project/bulk/:bulk/pause":                     "113..3",
	"POST /v1/projects/:project/bulk/:bulk/resume":                    "113..3",
	"POST /v1/projects/:project/bulk/:bulk/abort":                     "113..3",
	"GET /v1/executions/:id":                                          "11...4",
	"GET /v1/executions/:id/tasks":                                    "11...4",
	"GET /v1/executions/:id/tasks/:ref":                               "11...4",
	"GET /v1/executions/:id/tasks/:ref/attempts":                      "11...4",
	"POST /v1/executions/:id/tasks/:ref/complete":                     "113..4",
	"POST /v1/executions/:id/tasks/:ref/fail":                         "113..4",
	"POST /v1/executions/:id/tasks/:ref/skip":                         "113..4",
	"GET /v1/executions/:id/history":                                  "11...4",
	"GET /v1/executions/:id/events":                                   "11...4",
	"GET /v1/executions/:id/logs":                                     "11...4",
	"GET /v1/executions/:id/graph":                                    "11...4",
	"POST /v1/executions/:id/cancel":                                  "113..4",
	"POST /v1/executions/:id/pause":                                   "113..4",
	"POST /v1/executions/:id/resume":                                  "113..4",
	"POST /v1/executions/:id/retry":                                   "113..4",
	"POST /v1/executions/:id/rerun":                                   "113..4",
	"GET /v1/executions/:id/redrives":                                 "11...4",
	"GET /v1/executions/:id/lineage":                                  "11...4",
	"GET /v1/executions/:id/diff":                                     "11...4",
	"GET /v1/executions/:id/tasks/:ref/diff":                          "11...4",
	"GET /v1/queues":                                                  "11....",
	"POST /v1/queues/:queue/pause":                                    "113..3",
	"POST /v1/queues/:queue/resume":                                   "113..3",
	"GET /v1/workers":                                                 "11....",
	"GET /v1/diagnosis":                                               "11....",
	"GET /v1/keys":                                                    "1133.3",
	"POST /v1/keys":                                                   "1133.3",
	"DELETE /v1/keys/:key":                                            "1133.3",
	"GET /healthz":                                                    "......",
	"HEAD /healthz":                                                   "......",
	"GET /readyz":                                                     "......",
	"HEAD /readyz":                                                    "......",
	"GET /openapi.json":                                               "......",
	"GET /docs":                                                       "......",
	"GET /metrics":                                                    "11...3",
	"GET /monitoring":                                                 "11...3",
	"GET /monitoring/*path":                                           "11...3",
	"POST /monitoring/*path":                                          "1133.3",
	"PUT /monitoring/*path":                                           "1133.3",
	"PATCH /monitoring/*path":                                         "1133.3",
	"DELETE /monitoring/*path":                                        "1133.3",
	"POST /v1/remote/poll":                                            "113...",
	"POST /v1/remote/:execution/:ref/heartbeat":                       "113..4",
	"POST /v1/remote/:execution/:ref/complete":                        "113..4",
	"POST /v1/remote/:execution/:ref/fail":                            "113..4",
	"POST /v1/remote/:execution/:ref/log":                             "113..4",
}

// bodies are what the routes that need a body are sent.
var bodies = map[string]string{
	"POST /v1/projects/:project/workflows":                "name: hello",
	"POST /v1/projects/:project/executions":               `{"workflow":"hello"}`,
	"PUT /v1/projects/:project/schedules/:name":           `{"workflow":"hello","cron":"@daily"}`,
	"POST /v1/projects/:project/schedules/:name/backfill": `{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`,
	"POST /v1/projects/:project/bulk":                     `{"operation":"retry","filter":{"workflow":"hello"}}`,
	"POST /v1/keys":                                       `{"name":"n","scope":"read"}`,

	"POST /v1/remote/poll":                      `{"types":["render"],"worker":"py"}`,
	"POST /v1/remote/:execution/:ref/heartbeat": `{"token":"t"}`,
	"POST /v1/remote/:execution/:ref/complete":  `{"token":"t"}`,
	"POST /v1/remote/:execution/:ref/fail":      `{"token":"t","error":{"code":"c","message":"m"}}`,
	"POST /v1/remote/:execution/:ref/log":       `{"token":"t","lines":[]}`,
}

func withDashboard(o *Options) {
	// Nobody listens there: the door answers before the dashboard is asked.
	o.Monitoring = asynq.RedisClientOpt{Addr: "127.0.0.1:1"}
}

func TestAccessMatrix(t *testing.T) {
	r := newRig(t, withDashboard)
	r.fake.happen(idDefault, true, "execution.started")
	seen := map[string]bool{}
	for _, route := range r.server.router.Routes() {
		name := route.Method + " " + route.Path
		seen[name] = true
		row, ok := matrix[name]
		require.True(t, ok, "%s has no row in the matrix: say who may use it", name)
		for i, who := range principals {
			t.Run(name+" as "+who.name, func(t *testing.T) {
				r.t = t
				before := r.fake.written()
				w := r.do(callOf(route.Method, route.Path, who.key))
				switch want := row[i]; want {
				case '.':
					require.NotContains(t, []int{401, 403, 404}, w.Code, w.Body.String())
				default:
					require.Equal(t, 400+int(want-'0'), w.Code, w.Body.String())
					require.Equal(t, before, r.fake.written(), "a refused request stored something")
				}
				require.Equal(t, w.Code == 401, len(w.Header().Values("WWW-Authenticate")) == 2)
			})
		}
	}
	for name := range matrix {
		require.True(t, seen[name], "%s is in the matrix and not routed", name)
	}
}

func callOf(method, route, key string) call {
	c := call{method: method, key: key, body: bodies[method+" "+route]}
	c.path = strings.NewReplacer(":project", "default", ":name", "hello", ":version", "1", ":backfill", "1", ":bulk", "b1", ":id", idDefault, ":execution", idDefault,
		":ref", "load", ":session", "7", ":queue", "default", ":key", "k1", "*path", "favicon.ico").Replace(route)
	switch {
	case strings.HasSuffix(route, "/workflows"):
		c.media = "application/yaml"
	case route == "/v1/executions/:id/diff":
		c.path += "?with=" + idDefault
	case route == "/v1/executions/:id/tasks/:ref/diff":
		c.path += "?from=1&to=2"
	}
	return c
}

func TestRouteWithoutRuleIsClosed(t *testing.T) {
	r := newRig(t)
	r.server.router.GET("/v2/forgotten", func(*gin.Context) { t.Error("the handler ran") })
	w := r.do(call{path: "/v2/forgotten", key: "rdr_admin"})
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Error(t, auth.Rule{}.Allows(auth.Anybody()))
	require.Error(t, auth.Rule{Scope: engine.ScopeRead}.Allows(auth.From(t.Context())), "nobody may do nothing")
}

func TestOtherProjectLooksLikeNothing(t *testing.T) {
	r := newRig(t)
	hidden := problemOf(t, r.do(call{path: "/v1/executions/41", key: "rdr_other"}))
	absent := problemOf(t, r.do(call{path: "/v1/executions/77", key: "rdr_other"}))
	require.Equal(t, strings.ReplaceAll(absent.Detail, "77", "41"), hidden.Detail)
	require.Equal(t, absent.Code, hidden.Code)
	require.Equal(t, 200, r.do(call{path: "/v1/executions/42", key: "rdr_other"}).Code)

	w := r.do(call{path: "/v1/projects", key: "rdr_other"})
	require.NotContains(t, w.Body.String(), "default")
	require.Contains(t, w.Body.String(), "other")
}

func TestCredentials(t *testing.T) {
	r := newRig(t)
	basic := func(password string) string {
		req := httptest.NewRequest("GET", "/", nil)
		req.SetBasicAuth("me", password)
		return req.Header.Get("Authorization")
	}
	for _, c := range []struct {
		header, code string
		status       int
	}{
		{"Bearer rdr_read", "", 200},
		{"bearer rdr_read", "", 200},
		{basic("rdr_read"), "", 200},
		{basic("wrong"), "key_invalid", 401},
		{"Bearer", "credentials_malformed", 401},
		{"Bearer " + strings.Repeat("x", 300), "credentials_malformed", 401},
		{"Digest rdr_read", "credentials_malformed", 401},
		{"rdr_read", "credentials_malformed", 401},
	} {
		w := r.do(call{path: "/v1/workers", header: map[string]string{"Authorization": c.header}})
		require.Equal(t, c.status, w.Code, c.header)
		if c.code != "" {
			require.Equal(t, c.code, problemOf(t, w).Code, c.header)
		}
	}
	require.NotContains(t, r.log.String(), "rdr_read", "a secret is in the log")
}

func TestKeyAnswersAreRemembered(t *testing.T) {
	r := newRig(t)
	for range 3 {
		require.Equal(t, 200, r.do(call{path: "/v1/workers", key: "rdr_read"}).Code)
		require.Equal(t, 401, r.do(call{path: "/v1/workers", key: "rdr_bad"}).Code)
	}
	require.Equal(t, 2, r.fake.calls)

	delete(r.fake.keys, "rdr_read")
	fresh := newRig(t, func(o *Options) { o.Remember = 0 })
	require.Equal(t, 200, fresh.do(call{path: "/v1/workers", key: "rdr_read"}).Code)
	delete(fresh.fake.keys, "rdr_read")
	require.Equal(t, 401, fresh.do(call{path: "/v1/workers", key: "rdr_read"}).Code)
	o := DefaultOptions()
	o.Remember = 6 * time.Second
	require.ErrorContains(t, o.Validate(), "Remember")
}

func TestOpenServer(t *testing.T) {
	r := newRig(t, open)
	for _, key := range []string{"", "rdr_bad", "rdr_read"} {
		require.Equal(t, 204, r.do(call{method: "DELETE", path: "/v1/keys/k1", key: key}).Code)
	}
	require.Zero(t, r.fake.calls, "credentials are ignored")

	for host, status := range map[string]int{
		"localhost:8080": 200, "127.0.0.1": 200, "[::1]:8080": 200, "a.localhost": 200, "evil.example": 421, "127.0.0.1.evil.example:8080": 421,
	} {
		req := httptest.NewRequest("GET", "http://"+host+"/v1/workers", nil)
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		require.Equal(t, status, w.Code, host)
	}
}

func TestForeignPages(t *testing.T) {
	r := newRig(t, open)
	post := call{method: "POST", path: "/v1/executions/41/cancel"}
	for _, h := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
	} {
		post.header = h
		w := r.do(post)
		require.Equal(t, 403, w.Code, h)
		require.Equal(t, "cross_origin", problemOf(t, w).Code)
	}
	require.Zero(t, r.fake.written())
	post.header = map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}
	require.Equal(t, 200, r.do(post).Code)
}

func TestEveryAnswerHasGuards(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/docs", "/nothing", "/v1/workers", "/healthz"} {
		h := r.do(call{path: path}).Header()
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.NotEmpty(t, h.Get("X-Request-ID"), path)
	}
	w := r.do(call{path: "/healthz", header: map[string]string{"X-Request-Id": "mine-1"}})
	require.Equal(t, "mine-1", w.Header().Get("X-Request-ID"))
	w = r.do(call{path: "/healthz", header: map[string]string{"X-Request-Id": "a b\"c"}})
	require.NotContains(t, w.Header().Get("X-Request-ID"), " ")
}

func TestMatrixColumns(t *testing.T) {
	for name, row := range matrix {
		require.Len(t, row, len(principals), name)
		require.False(t, slices.ContainsFunc([]byte(row), func(b byte) bool { return !strings.ContainsRune(".134", rune(b)) }), name)
	}
}
