package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/api"
	"github.com/redrive/redrive/workflow"
)

// TestAnswers asks every operation something it can answer; do holds each
// answer against the specification.
func TestAnswers(t *testing.T) {
	r := newRig(t)
	r.fake.happen(idDefault, true, "execution.started", "task.running")
	const x = "/v1/executions/" + idDefault
	for _, c := range []struct {
		call   call
		status int
		part   string
	}{
		{call{path: "/v1/projects"}, 200, `"next_cursor":null`},
		{call{path: "/v1/projects/default"}, 200, `"name":"default"`},
		{call{path: "/v1/projects/none"}, 404, `"code":"project_not_found"`},
		{call{method: "PUT", path: "/v1/projects/new"}, 201, `"name":"new"`},
		{call{method: "PUT", path: "/v1/projects/new", body: `{"description":"d"}`}, 201, `"description":"d"`},
		{call{method: "POST", path: "/v1/projects/default/workflows", body: "name: hello", media: "text/yaml; charset=UTF-8"}, 201, `"created":true`},
		{call{method: "POST", path: "/v1/projects/default/workflows?dry_run=true", body: `{"name":"hello"}`}, 200, `"warnings":[]`},
		{call{path: "/v1/projects/default/workflows"}, 200, `"description":"says hello"`},
		{call{path: "/v1/projects/default/workflows/hello"}, 200, `"source":"name: hello\n"`},
		{call{path: "/v1/projects/default/workflows/hello/versions"}, 200, `"version":2`},
		{call{path: "/v1/projects/default/workflows/hello/versions/7"}, 200, `"version":7`},
		{call{method: "POST", path: "/v1/projects/default/executions", body: `{"workflow":"hello"}`}, 201, `"input":null`},
		{call{method: "POST", path: "/v1/projects/default/executions", body: `{"workflow":"hello","idempotency_key":"known"}`}, 200, `"status":"running"`},
		{call{path: "/v1/projects/default/executions?status=failed,running&limit=1000"}, 200, `"items":[{`},
		{call{method: "POST", path: "/v1/projects/default/executions", body: `{"workflow":"hello","session_time":"2026-01-31T09:00:00+01:00","attempt_name":"n"}`}, 201,
			`"session":7,"session_attempt":2,"session_time":"2026-01-31T08:00:00Z"`},
		{call{method: "POST", path: "/v1/projects/default/executions", body: `{"workflow":"hello","session_time":"2026-01-31T09:00:00+01:00","attempt_name":"taken"}`}, 409,
			`"execution":{"id":"` + idOther + `","number":42,"status":"failed"}`},
		{call{path: "/v1/projects/default/sessions?workflow=hello"}, 200, `"last":null,"number":8,"session_time":"2026-01-31T08:00:00Z"`},
		{call{path: "/v1/projects/default/sessions/7"}, 200, `"attempts":2`},
		{call{path: "/v1/projects/default/sessions/7/attempts"}, 200, `"next_cursor":null`},
		{call{path: x}, 200, `12345678901234567890`},
		{call{path: "/v1/executions/41"}, 200, `"ended_at":null`},
		{call{path: x + "/tasks"}, 200, `"needs":[]`},
		{call{path: x + "/tasks/load"}, 200, `"ref":"load"`},
		{call{path: x + "/tasks/load/attempts"}, 200, `"retryable":true`},
		{call{path: x + "/history"}, 200, `"type":"execution.started"`},
		{call{path: x + "/events"}, 200, "event: end\ndata: {\"id\":\"" + idDefault + "\",\"status\":\"succeeded\"}\n\n"},
		{call{path: x + "/logs"}, 200, `"message":"execution.started"`},
		{call{path: x + "/logs?follow=true"}, 200, "id: 2\nevent: log\ndata: {"},
		{call{path: x + "/graph"}, 200, `"edges":[]`},
		{call{path: x + "/graph?format=mermaid"}, 200, "flowchart LR"},
		{call{path: x + "/graph?format=dot"}, 200, "digraph"},
		{call{path: x + "/graph?format=svg"}, 200, "<svg "},
		{call{method: "POST", path: x + "/cancel", body: `{"reason":"enough"}`}, 200, `"id"`},
		{call{method: "POST", path: x + "/pause"}, 200, `"id"`},
		{call{method: "POST", path: x + "/pause", body: `{"reason":"look","deadline":"1h30m"}`}, 200, `"id"`},
		{call{method: "POST", path: x + "/resume", body: "  \n"}, 200, `"lineage":{"parent":"` + idOther + `","relation":"sub_workflow","root":"` + idOther + `"}`},
		{call{method: "POST", path: x + "/resume", body: `{"input":null}`}, 200, `"parent":{"execution":"` + idOther + `","task":"sub"}`},
		{call{method: "POST", path: x + "/resume", body: `{"input":{},"task":"answered"}`}, 409, `"code":"gate_answered"`},
		{call{method: "POST", path: x + "/resume", body: `{"input":"no"}`}, 422, `"allowed":"an object"`},
		{call{method: "POST", path: x + "/tasks/load/complete"}, 200, `"status":"succeeded"`},
		{call{method: "POST", path: x + "/tasks/load/fail", body: `{"error":{"code":"bad_file"}}`}, 200, `"status":"failed"`},
		{call{method: "POST", path: x + "/tasks/load/skip", body: `{}`}, 200, `"status":"skipped"`},
		{call{method: "POST", path: x + "/tasks/ended/skip"}, 409, `"code":"task_ended"`},
		{call{path: "/v1/queues"}, 200, `"latency":"1.5s"`},
		{call{method: "POST", path: "/v1/queues/default/pause"}, 200, `"paused":true`},
		{call{method: "POST", path: "/v1/queues/default/resume"}, 200, `"paused":false`},
		{call{path: "/v1/workers"}, 200, `"types":[]`},
		{call{path: "/v1/diagnosis"}, 200, `"check":"workers","message":"no worker is there: nothing runs","next":"redrive worker","status":"error"`},
		{call{path: "/v1/keys"}, 200, `"projects":[]`},
		{call{method: "POST", path: "/v1/keys", body: `{"name":"ci","scope":"write","projects":["default"]}`}, 201, `"secret":"rdr_new"`},
		{call{method: "DELETE", path: "/v1/keys/k1"}, 204, ""},
	} {
		c.call.key = "rdr_admin"
		w := r.do(c.call)
		require.Equal(t, c.status, w.Code, "%s %s: %s", c.call.method, c.call.path, w.Body)
		require.Contains(t, w.Body.String(), c.part, "%s %s", c.call.method, c.call.path)
	}
}

func TestStartHandsEverythingOn(t *testing.T) {
	r := newRig(t)
	w := r.do(call{method: "POST", path: "/v1/projects/default/executions", key: "rdr_write", body: `{
		"workflow":"w","version":3,"input":{"big":12345678901234567890,"empty":[]},"correlation_id":"c",
		"idempotency_key":"i","metadata":{"m":"1"},"labels":{"l":"2"},"priority":9,
		"session_time":"2026-03-01T00:00:00Z","attempt_name":"n","start_at":"2026-03-02T00:00:00Z","when_full":"reject"}`})
	require.Equal(t, 201, w.Code)
	got := r.fake.seen().(engine.StartRequest)
	require.JSONEq(t, `{"big":12345678901234567890,"empty":[]}`, string(got.Input))
	got.Input = nil
	require.Empty(t, cmp.Diff(engine.StartRequest{
		Workflow: "w", Version: 3, CorrelationID: "c", IdempotencyKey: "i",
		Metadata: map[string]string{"m": "1"}, Labels: map[string]string{"l": "2"}, Priority: 9, By: "writer (k2)",
		SessionTime: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), AttemptName: "n",
		StartAt: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), WhenFull: workflow.WhenFullReject,
	}, got))
}

func TestSteeringHandsEverythingOn(t *testing.T) {
	r := newRig(t)
	const x = "/v1/executions/" + idDefault
	ask := func(path, body string, want any) {
		t.Helper()
		w := r.do(call{method: "POST", path: x + path, key: "rdr_write", body: body})
		require.Equal(t, 200, w.Code, w.Body)
		require.Empty(t, cmp.Diff(want, r.fake.seen(), cmp.AllowUnexported(handed{})))
	}
	const by = "writer (k2)"
	ask("/pause", `{"reason":"r","deadline":"90m"}`, engine.Request{Reason: "r", By: by, Deadline: 90 * time.Minute})
	ask("/resume", `{"reason":"r"}`, engine.Request{Reason: "r", By: by})
	ask("/resume", `{"input":null}`, engine.Answer{Input: json.RawMessage("null"), By: by})
	ask("/resume", `{"input": {"n": 12345678901234567890}, "task":"each[a~2Fb].ok", "answered_by":"ann", "reason":"r"}`,
		engine.Answer{Task: "each[a~2Fb].ok", Input: json.RawMessage(`{"n": 12345678901234567890}`), AnsweredBy: "ann", Reason: "r", By: by})
	for _, ref := range []string{"each%5Ba~2Fb%5D.load", "each[a~2Fb].load"} {
		ask("/tasks/"+ref+"/complete", `{"output": [1e3, null], "reason":"r"}`,
			handed{"each[a~2Fb].load", engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`[1e3, null]`), Reason: "r", By: by}})
		ask("/tasks/"+ref+"/fail", `{"error":{"code":"c","message":"m"},"reason":"r"}`,
			handed{"each[a~2Fb].load", engine.HandRequest{To: workflow.TaskFailed, Error: &workflow.Error{Code: "c", Message: "m"}, Reason: "r", By: by}})
		ask("/tasks/"+ref+"/skip", `{"reason":"r"}`, handed{"each[a~2Fb].load", engine.HandRequest{To: workflow.TaskSkipped, Reason: "r", By: by}})
	}
}

func TestFilter(t *testing.T) {
	r := newRig(t)
	w := r.do(call{key: "rdr_read", path: "/v1/projects/default/executions?status=failed&status=running,paused&workflow=w" +
		"&since=2026-01-01T00:00:00%2B01:00&until=2026-02-01T00:00:00Z&correlation_id=c&label=a%3Db%3Dc"})
	require.Equal(t, 200, w.Code)
	require.Empty(t, cmp.Diff(engine.ExecutionFilter{
		Status:   []workflow.ExecutionStatus{"failed", "running", "paused"},
		Workflow: "w", CorrelationID: "c", LabelKey: "a", LabelValue: "b=c",
		Since: time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), Until: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
	}, r.fake.seen()))
}

func TestSegments(t *testing.T) {
	r := newRig(t)
	for escaped, want := range map[string]string{
		"each%5Beu%5D.load": "each[eu].load", "each[eu].load": "each[eu].load", "a+b": "a+b", "a%2Bb": "a+b",
		"a%20b": "a b", "a+b%2Fc": "a+b/c", "year%5B~7E1%5D": "year[~7E1]", "a%2Fb": "a/b", "%E2%82%AC": "€", "a%25b": "a%b",
	} {
		w := r.do(call{key: "rdr_read", path: "/v1/executions/41/tasks/" + escaped + "/attempts"})
		require.Equal(t, 200, w.Code, escaped)
		require.Equal(t, want, r.fake.seen(), escaped)
	}
}

func TestCursors(t *testing.T) {
	r := newRig(t)
	list := func(query string) (api.ExecutionList, int) {
		w := r.do(call{key: "rdr_read", path: "/v1/projects/default/executions" + query})
		var l api.ExecutionList
		if w.Code == 200 {
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &l))
		}
		return l, w.Code
	}
	first, _ := list("?workflow=w")
	require.NotNil(t, first.NextCursor)
	second, _ := list("?workflow=w&limit=7&cursor=" + *first.NextCursor)
	require.EqualValues(t, 1, second.Items[0].Number, "another limit is no other list")

	_, status := list("?workflow=v&cursor=" + *first.NextCursor)
	require.Equal(t, 422, status, "a cursor of another filter")
	require.Equal(t, 422, r.do(call{key: "rdr_read", path: "/v1/projects/other/executions?workflow=w&cursor=" + *first.NextCursor}).Code)
	require.Equal(t, 422, r.do(call{key: "rdr_read", path: "/v1/projects/default/workflows?cursor=" + *first.NextCursor}).Code)
}

func TestErrorsMap(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{engine.Invalid("input_invalid", "no", workflow.Problem{Field: "input.x"}), 422, "input_invalid", ""},
		{engine.Conflict("execution_ended", "over"), 409, "execution_ended", ""},
		{&engine.Error{Kind: engine.KindDenied, Code: "denied", Message: "no"}, 403, "denied", ""},
		{&engine.Error{Kind: engine.KindUnavailable, Code: "redis_unavailable", Message: "Redis is away", Err: errors.New("dial 10.0.0.9")}, 503, "redis_unavailable", "2"},
		{&engine.Error{Kind: "odd", Code: "odd", Message: "hidden"}, 500, "internal", ""},
		{engine.ErrMoved, 409, "state_moved", ""},
		{engine.ErrGone, 404, "execution_not_found", ""},
		{errors.New("hidden: password=x"), 500, "internal", ""},
	} {
		r := newRig(t)
		r.fake.err = c.err
		w := r.do(call{key: "rdr_read", path: "/v1/executions/41"})
		require.Equal(t, c.status, w.Code)
		p := problemOf(t, w)
		require.Equal(t, c.code, p.Code)
		require.Equal(t, c.retry, w.Header().Get("Retry-After"))
		require.NotContains(t, w.Body.String(), "hidden")
		require.NotContains(t, w.Body.String(), "10.0.0.9")
		require.Equal(t, c.status >= 500, strings.Contains(r.log.String(), "request failed"))
	}
}

func TestPanic(t *testing.T) {
	r := newRig(t)
	r.fake.panics = true
	w := r.do(call{key: "rdr_read", path: "/v1/executions/41"})
	require.Equal(t, 500, w.Code)
	p := problemOf(t, w)
	require.Equal(t, "internal error", p.Detail)
	require.NotContains(t, w.Body.String(), "secret detail")
	require.NotContains(t, w.Body.String(), "goroutine")
	require.Contains(t, r.log.String(), "secret detail")
	require.Contains(t, r.log.String(), "request_id="+p.RequestID)
}

func TestAround(t *testing.T) {
	r := newRig(t)
	w := r.do(call{path: "/openapi.json"})
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `"operationId": "startExecution"`)

	w = r.do(call{path: "/docs"})
	require.Equal(t, 200, w.Code)
	for _, part := range []string{`id="startExecution"`, "each%5Beu%5D.load", "idempotency_key", "curl -H", "Problem", "/diff?with=WITH&#39;", "string or integer, 1 to 999999999"} {
		require.Contains(t, w.Body.String(), part)
	}
	require.NotContains(t, w.Body.String(), "<script")
	require.NotContains(t, w.Body.String(), "http://cdn")
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "sha256-")

	w = r.do(call{path: "/metrics", key: "rdr_read"})
	for _, line := range []string{
		`redrive_executions{project="default",status="running"} 2`, `redrive_tasks{project="default",status="running"} 4`, `redrive_queue_jobs{queue="default",state="pending"} 3`,
		`redrive_bulk_operations{project="default",state="held"} 3`, `redrive_bulk_operations{project="default",state="running"} 0`,
		`redrive_bulk_executions_total{outcome="failed",project="default"} 7`, `redrive_failure_groups{project="default",state="open"} 5`,
		`redrive_queue_latency_seconds{queue="default"} 1.5`, `redrive_workers{draining="false"} 1`, `redrive_workers_running_tasks 2`,
		`redrive_http_request_duration_seconds_count{method="GET",route="/docs",status="200"} 1`,
	} {
		require.Contains(t, w.Body.String(), line)
	}

	require.Equal(t, 200, r.do(call{path: "/readyz"}).Code)
	r.fake.err = errors.New("dial 10.0.0.9: refused")
	w = r.do(call{path: "/readyz"})
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotContains(t, w.Body.String(), "10.0.0.9")
	require.Equal(t, 200, r.do(call{path: "/healthz"}).Code, "the process lives without Redis")
}
