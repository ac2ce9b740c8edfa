package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/api"
)

func (f *fake) FailureGroups(_ context.Context, _ string, filter engine.FailureFilter, page engine.Page) ([]engine.FailureGroup, string, error) {
	defer f.lock()()
	f.last = filter
	return []engine.FailureGroup{aGroup(engine.FailureOpen, "", "")}, "1:boom", f.err
}

func (f *fake) FailureGroup(_ context.Context, _, fingerprint string) (*engine.FailureGroup, error) {
	if fingerprint != "boom" {
		return nil, engine.NotFound("failure", fingerprint)
	}
	g := aGroup(engine.FailureOpen, "", "")
	g.Samples = []string{idDefault}
	return &g, nil
}

func (f *fake) JudgeFailures(_ context.Context, _, fingerprint string, to engine.FailureState, by, note string) (*engine.FailureGroup, error) {
	defer f.lock()()
	f.writes++
	g := aGroup(to, by, note)
	return &g, nil
}

func aGroup(state engine.FailureState, by, note string) engine.FailureGroup {
	return engine.FailureGroup{
		Fingerprint: "boom", State: state, StateAt: epoch, By: by, Note: note, Type: "noop", Task: "a", Code: "boom", Message: "it broke",
		Open: 2, Executions: 3, FirstSeen: epoch, LastSeen: epoch, Workflows: []string{"hello"}, Trend: [engine.FailureHours]int{47: 3},
	}
}

func (f *fake) Audit(_ context.Context, a engine.AuditEntry, execution string) error {
	defer f.lock()()
	if f.auditErr != nil {
		return f.auditErr
	}
	f.audited = append(f.audited, a)
	f.auditedOf = append(f.auditedOf, execution)
	return nil
}

func (f *fake) AuditEntries(_ context.Context, project string, filter engine.AuditFilter, _ engine.Page) ([]engine.AuditEntry, string, error) {
	defer f.lock()()
	f.last = filter
	return []engine.AuditEntry{{ID: "1-0", At: epoch, Project: project, By: "chief (k3)", Key: "k3", Dialect: "native", Operation: "cancelExecution",
		Method: "POST", Path: "/v1/executions/41/cancel", Status: 409, Code: "execution_ended", Remote: "10.0.0.7", RequestID: "r"}}, "", nil
}

func TestFailures(t *testing.T) {
	r := newRig(t)
	w := r.do(call{path: "/v1/projects/default/failures?state=open&state=resolved&workflow=hello", key: "rdr_read"})
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, engine.FailureFilter{State: []engine.FailureState{engine.FailureOpen, engine.FailureResolved}, Workflow: "hello"}, r.fake.last)
	var list api.FailureList
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Len(t, list.Items[0].Trend, engine.FailureHours)
	require.NotNil(t, list.NextCursor)
	w = r.do(call{path: "/v1/projects/default/failures?state=open&cursor=" + *list.NextCursor, key: "rdr_read"})
	require.Equal(t, http.StatusUnprocessableEntity, w.Code, "a cursor belongs to its list")
	require.Equal(t, http.StatusUnprocessableEntity, r.do(call{path: "/v1/projects/default/failures?state=closed", key: "rdr_read"}).Code)

	w = r.do(call{path: "/v1/projects/default/failures/boom", key: "rdr_read"})
	require.Contains(t, w.Body.String(), idDefault)
	w = r.do(call{path: "/v1/projects/default/failures/other", key: "rdr_read"})
	require.Equal(t, "failure_not_found", problemOf(t, w).Code)
	for verb, state := range map[string]string{"acknowledge": "acknowledged", "resolve": "resolved", "reopen": "open"} {
		path := "/v1/projects/default/failures/boom/" + verb
		require.Equal(t, http.StatusForbidden, r.do(call{method: http.MethodPost, path: path, key: "rdr_read"}).Code)
		w := r.do(call{method: http.MethodPost, path: path, key: "rdr_write", body: `{"note":"known"}`})
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.Contains(t, w.Body.String(), `"state":"`+state+`"`)
		require.Contains(t, w.Body.String(), `"by":"writer (k2)","`)
		require.Equal(t, http.StatusOK, r.do(call{method: http.MethodPost, path: path, key: "rdr_write"}).Code, "a note is not needed")
	}
}

func TestChangesAreAudited(t *testing.T) {
	r := newRig(t)
	entry := func() engine.AuditEntry {
		t.Helper()
		defer r.fake.lock()()
		require.Len(t, r.fake.audited, 1)
		a := r.fake.audited[0]
		r.fake.audited, r.fake.auditedOf = nil, nil
		return a
	}
	header := map[string]string{"User-Agent": "curl/8", "X-Request-Id": "req-1"}
	r.do(call{method: http.MethodPost, path: "/v1/executions/41/cancel", key: "rdr_write", body: `{"reason":"wrong input"}`, header: header})
	require.Equal(t, []string{"41"}, r.fake.auditedOf)
	require.Equal(t, engine.AuditEntry{
		By: "writer (k2)", Key: "k2", Dialect: "native", Operation: "cancelExecution", Method: "POST", Path: "/v1/executions/41/cancel", Reason: "wrong input",
		Status: http.StatusOK, Remote: "192.0.2.1", UserAgent: "curl/8", RequestID: "req-1",
	}, entry())
	r.do(call{method: http.MethodPost, path: "/v1/executions/41/cancel", key: "rdr_read", header: header})
	a := entry()
	require.Equal(t, []any{403, "scope_denied", engine.AuditRefused}, []any{a.Status, a.Code, a.Outcome()}, "what is refused, too")
	r.do(call{method: http.MethodPost, path: "/v1/executions/999/cancel", key: "rdr_write"})
	require.Equal(t, "execution_not_found", entry().Code)
	r.do(call{method: http.MethodPost, path: "/v1/keys", key: "rdr_admin", body: `{"name":"ci","scope":"write"}`})
	require.Equal(t, "createKey", entry().Operation)
	r.do(call{method: http.MethodPost, path: "/v1/projects/default/failures/boom/resolve", key: "rdr_write", body: `{"note":"mended"}`})
	a = entry()
	require.Equal(t, []string{"default", "mended"}, []string{a.Project, a.Reason})
	ids := strings.Repeat(`"`+idDefault+`",`, 10_000) + `"41"`
	w := r.do(call{method: http.MethodPost, path: bulkPath, key: "rdr_write", body: `{"operation":"retry","ids":[` + ids + `],"reason":"it is mended"}`})
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.Equal(t, "it is mended", entry().Reason, "behind however many ids")
	r.do(call{method: http.MethodPost, path: bulkPath, key: "rdr_write", body: `{"operation":"retry","ids":[` + ids + `],"dry_run":true}`})
	require.Empty(t, r.fake.audited)
	r.do(call{method: http.MethodPost, path: "/kaizen/executions/retry", key: "rdr_write", body: `{"id":"` + idDefault + `"}`})
	a = entry()
	require.Equal(t, []string{"kaizen", "POST /executions/retry", "default", "kaizen:writer (k2)"}, []string{a.Dialect, a.Operation, a.Project, a.By})
	r.do(call{method: http.MethodPost, path: "/kaizen/executions/retry", key: "rdr_write", body: `{"id":"` + idOther + `"}`})
	require.Equal(t, "other", entry().Project, "that of the execution")

	for _, c := range []call{
		{path: "/v1/executions/41", key: "rdr_read"},
		{path: "/v1/keys", key: "rdr_admin"},
		{method: http.MethodPost, path: "/v1/executions/41/cancel"},
		{method: http.MethodPost, path: "/v1/executions/41/cancel", key: "rdr_nobody"},
		{method: http.MethodPost, path: "/v1/nothing", key: "rdr_admin"},
		{method: http.MethodPost, path: "/v1/executions/41/retry?dry_run=true", key: "rdr_write"},
		{method: http.MethodPost, path: "/v1/remote/" + idDefault + "/a/heartbeat", key: "rdr_write", body: `{"token":"x"}`},
	} {
		r.do(c)
		require.Empty(t, r.fake.audited, "%+v", c)
	}

	r.fake.auditErr = errors.New("Redis is away")
	w = r.do(call{method: http.MethodPost, path: "/v1/executions/41/pause", key: "rdr_write", body: `{"reason":"maintenance"}`})
	require.Equal(t, http.StatusOK, w.Code, "the call is not broken")
	require.Contains(t, r.log.String(), "Redis is away")
	require.Contains(t, r.do(call{path: "/metrics", key: "rdr_read"}).Body.String(), "redrive_audit_lost_total 1")
}

// A dry_run that an operation does not take hides nothing.
func TestOnlyADryRunIsNotAudited(t *testing.T) {
	r := newRig(t, withDashboard)
	bulk := `{"operation":"retry","filter":{"workflow":"hello"}%s}`
	for _, c := range []struct {
		call
		audited int
	}{
		{call{method: http.MethodPost, path: "/v1/executions/41/retry?dry_run=true", key: "rdr_write"}, 0},
		{call{method: http.MethodPost, path: bulkPath + "?dry_run=true", key: "rdr_write", body: fmt.Sprintf(bulk, "")}, 0},
		{call{method: http.MethodPost, path: bulkPath, key: "rdr_write", body: fmt.Sprintf(bulk, `,"dry_run":true`)}, 0},
		{call{method: http.MethodPost, path: bulkPath, key: "rdr_write", body: fmt.Sprintf(bulk, "")}, 1},
		{call{method: http.MethodPost, path: "/v1/executions/41/retry?dry_run=false", key: "rdr_write"}, 1},
		{call{method: http.MethodPost, path: "/v1/executions/41/retry", key: "rdr_write", body: `{"dry_run":true}`}, 1},
		{call{method: http.MethodPost, path: "/v1/executions/41/cancel?dry_run=true", key: "rdr_write"}, 1},
		{call{method: http.MethodPost, path: "/kaizen/executions/retry?dry_run=true", key: "rdr_write", body: `{"id":"` + idDefault + `","dry_run":true}`}, 1},
		{call{method: http.MethodPost, path: "/monitoring/api/queues/default:pause?dry_run=true", key: "rdr_admin", body: `{"dry_run":true}`}, 1},
	} {
		r.fake.audited = nil
		r.ask(c.method, c.path, c.key, c.body, "Content-Type", "application/json")
		require.Len(t, r.fake.audited, c.audited, "%s %s", c.path, c.body)
	}
}

// What the door refuses is marked, and of no project's execution.
func TestDoorsRefusalsAreKeptApart(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		call
		denied bool
	}{
		{call{path: "/v1/executions/41/cancel", key: "rdr_read"}, true},
		{call{path: "/v1/executions/41/cancel", key: "rdr_other"}, true},
		{call{path: "/v1/projects/default/executions", key: "rdr_other", body: `{"workflow":"hello"}`}, true},
		{call{path: "/v1/projects/default/executions", key: "rdr_read", body: `{"workflow":"hello"}`}, true},
		{call{path: "/v1/keys", key: "rdr_other", body: `{"name":"ci","scope":"write"}`}, true},
		{call{path: "/kaizen/executions/retry", key: "rdr_read", body: `{"id":"` + idDefault + `"}`}, true},
		{call{path: "/v1/executions/41/cancel", key: "rdr_write"}, false},
		{call{path: "/v1/executions/42/cancel", key: "rdr_other"}, false},
		{call{path: "/v1/executions/42/cancel", key: "rdr_other", body: `{"unknown":1}`}, false},
	} {
		r.fake.audited, r.fake.auditedOf = nil, nil
		r.ask(http.MethodPost, c.path, c.key, c.body, "Content-Type", "application/json")
		require.Len(t, r.fake.audited, 1, "%s %s", c.key, c.path)
		require.Equal(t, c.denied, r.fake.audited[0].Denied, "%s %s", c.key, c.path)
		if c.denied {
			require.Equal(t, []string{""}, r.fake.auditedOf)
		}
	}
}

// Every route that changes anything is audited or says why not: a worker's.
func TestEveryChangingRouteIsAudited(t *testing.T) {
	r := newRig(t)
	var work []string
	for route, rule := range r.server.rules {
		method, path, _ := strings.Cut(route, " ")
		if method == http.MethodGet || method == http.MethodHead || rule.Open || rule.Scope == engine.ScopeRead {
			continue
		}
		if !rule.Changes(method) {
			work = append(work, path)
		}
	}
	slices.Sort(work)
	require.Equal(t, []string{
		"/v1/remote/:execution/:ref/complete", "/v1/remote/:execution/:ref/fail", "/v1/remote/:execution/:ref/heartbeat",
		"/v1/remote/:execution/:ref/log", "/v1/remote/poll",
	}, work)
	require.False(t, r.server.rules["GET /v1/keys"].Changes(http.MethodGet))
}

func TestABodyGivesItsReasonOnly(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for body, want := range map[string]asked{
		`{"token":"rdr_secret","reason":"why","input":{"reason":"inner"}}`: {Reason: "why"},
		`{"dry_run":true}`: {DryRun: true},
		` { "dry_run" : false , "note" : "a \"b\\\", {c}" } `:            {Note: `a "b\", {c}`},
		`{"input":["reason",{"reason":"x"}],"\u0072eason":"\u00fc: ja"}`: {Reason: "ü: ja"},
		`{"reason":7,"dry_run":"true","note":null}`:                      {},
		`["reason"]`:       {},
		`"reason"`:         {},
		`[{"reason":"x"}]`: {},
		`{"a":`:            {},
		`{}`:               {},
		``:                 {},
		`{"reason":"early","input":"` + long + `"}`: {Reason: "early"},
		`{"input":"` + long + `","reason":"late"}`:  {Reason: "late"},
		`{"reason":"` + long + `","note":"n"}`:      {Note: "n"},
		`{"reason":"why"}{"reason":"after"}`:        {Reason: "why"},
		`}{"reason":"why"}`:                         {},
	} {
		for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			o := &overheard{ReadCloser: io.NopCloser(read(strings.NewReader(body)))}
			passed, err := io.ReadAll(o)
			require.NoError(t, err)
			require.Len(t, passed, len(body), "it passes as it is")
			require.Equal(t, want, o.said, "%.60s", body)
			require.LessOrEqual(t, cap(o.kept), 2*overhears)
		}
	}
}

func TestAuditIsRead(t *testing.T) {
	r := newRig(t)
	w := r.do(call{path: "/v1/projects/default/audit?by=chief&operation=cancelExecution&dialect=native&outcome=refused&since=2026-01-31T08:00:00Z", key: "rdr_admin"})
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, engine.AuditFilter{By: "chief", Operation: "cancelExecution", Dialect: "native", Outcome: engine.AuditRefused, Since: epoch}, r.fake.last)
	require.Contains(t, w.Body.String(), `"outcome":"refused"`)
	require.Equal(t, http.StatusForbidden, r.do(call{path: "/v1/projects/default/audit", key: "rdr_write"}).Code)
	require.Equal(t, http.StatusForbidden, r.do(call{path: "/v1/projects/default/audit", key: "rdr_other"}).Code)
	require.Equal(t, http.StatusForbidden, r.do(call{path: "/v1/audit", key: "rdr_other"}).Code, "it spans projects")
	require.Equal(t, http.StatusOK, r.do(call{path: "/v1/audit", key: "rdr_admin"}).Code)
}
