package server

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMalformed sends what cannot be used, and sees the right refusal, the
// field it names, what is allowed, and that nothing was stored.
func TestMalformed(t *testing.T) {
	const (
		start   = "/v1/projects/default/executions"
		publish = "/v1/projects/default/workflows"
		x       = "/v1/executions/" + idDefault
		poll    = "/v1/remote/poll"
		run     = "/v1/remote/" + idDefault + "/a"
	)
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	huge := `{"workflow":"w","input":"` + strings.Repeat("x", 1<<20+70<<10) + `"}`
	many := `{"workflow":"w","labels":{` + strings.TrimSuffix(func() string {
		var b strings.Builder
		for i := range 65 {
			b.WriteString(`"k` + strings.Repeat("x", i) + `":"v",`)
		}
		return b.String()
	}(), ",") + `}}`
	cases := []struct {
		name    string
		call    call
		status  int
		code    string
		field   string // of errors[0]; "" = no field errors
		allowed string // a part of errors[0].allowed
	}{
		{"unknown field", call{method: "POST", path: start, body: `{"workflow":"w","inputs":{}}`}, 422, "request_invalid", "inputs", "attempt_name, correlation_id, idempotency_key, input, labels"},
		{"field of another case", call{method: "POST", path: start, body: `{"Workflow":"w"}`}, 422, "request_invalid", "workflow", ""},
		{"start at no time", call{method: "POST", path: start, body: `{"workflow":"w","start_at":"soon"}`}, 422, "request_invalid", "start_at", "RFC 3339"},
		{"session of no time", call{method: "POST", path: start, body: `{"workflow":"w","session_time":20260301}`}, 422, "request_invalid", "session_time", ""},
		{"empty attempt name", call{method: "POST", path: start, body: `{"workflow":"w","attempt_name":""}`}, 422, "request_invalid", "attempt_name", "1 to 255"},
		{"when full of its own", call{method: "POST", path: start, body: `{"workflow":"w","when_full":"wait"}`}, 422, "request_invalid", "when_full", "queue, reject"},
		{"no session number", call{path: "/v1/projects/default/sessions/first"}, 422, "request_invalid", "session", "an integer"},
		{"missing workflow", call{method: "POST", path: start, body: `{}`}, 422, "request_invalid", "workflow", ""},
		{"empty workflow", call{method: "POST", path: start, body: `{"workflow":""}`}, 422, "request_invalid", "workflow", "1 to 255"},
		{"long workflow", call{method: "POST", path: start, body: `{"workflow":"` + strings.Repeat("w", 256) + `"}`}, 422, "request_invalid", "workflow", "1 to 255"},
		{"workflow is a number", call{method: "POST", path: start, body: `{"workflow":1}`}, 422, "request_invalid", "workflow", "a string"},
		{"workflow is null", call{method: "POST", path: start, body: `{"workflow":null}`}, 422, "request_invalid", "workflow", "a string"},
		{"version is text", call{method: "POST", path: start, body: `{"workflow":"w","version":"1"}`}, 422, "request_invalid", "version", "an integer, 1 to"},
		{"version is zero", call{method: "POST", path: start, body: `{"workflow":"w","version":0}`}, 422, "request_invalid", "version", "1 to"},
		{"version is broken", call{method: "POST", path: start, body: `{"workflow":"w","version":1.5}`}, 422, "request_invalid", "version", "integer"},
		{"version is huge", call{method: "POST", path: start, body: `{"workflow":"w","version":1e30}`}, 422, "request_invalid", "version", "integer"},
		{"priority too high", call{method: "POST", path: start, body: `{"workflow":"w","priority":10}`}, 422, "request_invalid", "priority", "1 to 9"},
		{"priority negative", call{method: "POST", path: start, body: `{"workflow":"w","priority":-1}`}, 422, "request_invalid", "priority", "1 to 9"},
		{"priority is a boolean", call{method: "POST", path: start, body: `{"workflow":"w","priority":true}`}, 422, "request_invalid", "priority", "1 to 9"},
		{"label is a number", call{method: "POST", path: start, body: `{"workflow":"w","labels":{"team":7}}`}, 422, "request_invalid", "labels.team", "a string"},
		{"label is an object", call{method: "POST", path: start, body: `{"workflow":"w","labels":{"team":{}}}`}, 422, "request_invalid", "labels.team", "a string"},
		{"labels are a list", call{method: "POST", path: start, body: `{"workflow":"w","labels":[]}`}, 422, "request_invalid", "labels", "an object"},
		{"label without name", call{method: "POST", path: start, body: `{"workflow":"w","labels":{"":"v"}}`}, 422, "request_invalid", "labels.", "1 to 255"},
		{"too many labels", call{method: "POST", path: start, body: many}, 422, "request_invalid", "labels", "at most 64"},
		{"long metadata", call{method: "POST", path: start, body: `{"workflow":"w","metadata":{"k":"` + strings.Repeat("v", 5000) + `"}}`}, 422, "request_invalid", "metadata.k", "0 to 4096"},
		{"empty idempotency key", call{method: "POST", path: start, body: `{"workflow":"w","idempotency_key":""}`}, 422, "request_invalid", "idempotency_key", "1 to 255"},
		{"long correlation id", call{method: "POST", path: start, body: `{"workflow":"w","correlation_id":"` + strings.Repeat("c", 300) + `"}`}, 422, "request_invalid", "correlation_id", "1 to 255"},
		{"key twice", call{method: "POST", path: start, body: `{"workflow":"w","workflow":"v"}`}, 422, "request_invalid", "workflow", "each key once"},
		{"key twice inside", call{method: "POST", path: start, body: `{"workflow":"w","input":{"a":[{"b":1,"b":2}]}}`}, 422, "request_invalid", "input.a[0].b", "each key once"},
		{"too deep", call{method: "POST", path: start, body: `{"workflow":"w","input":` + deep + `}`}, 422, "too_deep", "input" + strings.Repeat("[0]", 31), "32 levels"},
		{"too large", call{method: "POST", path: start, body: huge}, 413, "body_too_large", "", ""},
		{"not JSON", call{method: "POST", path: start, body: "{\n  workflow: w}"}, 422, "invalid_json", "body", "one JSON object"},
		{"JSON cut off", call{method: "POST", path: start, body: `{"workflow":"w"`}, 422, "invalid_json", "body", ""},
		{"trailing comma", call{method: "POST", path: start, body: `{"workflow":"w",}`}, 422, "invalid_json", "body", ""},
		{"two values", call{method: "POST", path: start, body: `{"workflow":"w"} {}`}, 422, "invalid_json", "body", ""},
		{"body is a list", call{method: "POST", path: start, body: `[]`}, 422, "request_invalid", "body", "an object with attempt_name, correlation_id"},
		{"body is null", call{method: "POST", path: start, body: `null`}, 422, "request_invalid", "body", "an object"},
		{"no body", call{method: "POST", path: start}, 422, "body_missing", "workflow", ""},
		{"invalid UTF-8", call{method: "POST", path: start, body: "{\"workflow\":\"\xff\"}"}, 422, "invalid_utf8", "", ""},
		{"form", call{method: "POST", path: start, body: "workflow=w", media: "application/x-www-form-urlencoded"}, 415, "media_type_unsupported", "", ""},
		{"text", call{method: "POST", path: start, body: `{"workflow":"w"}`, media: "text/plain"}, 415, "media_type_unsupported", "", ""},
		{"no media type", call{method: "POST", path: start, body: `{"workflow":"w"}`, media: ";"}, 415, "media_type_unsupported", "", ""},
		{"other charset", call{method: "POST", path: start, body: `{"workflow":"w"}`, media: "application/json; charset=latin1"}, 415, "media_type_unsupported", "", ""},
		{"compressed", call{method: "POST", path: start, body: `{"workflow":"w"}`, header: map[string]string{"Content-Encoding": "gzip"}}, 415, "encoding_unsupported", "", ""},
		{"YAML to start", call{method: "POST", path: start, body: "workflow: w", media: "application/yaml"}, 415, "media_type_unsupported", "", ""},
		{"query on start", call{method: "POST", path: start + "?dry_run=true", body: `{"workflow":"w"}`}, 422, "request_invalid", "dry_run", "none"},
		{"bad project", call{method: "POST", path: "/v1/projects/a%20b/executions", body: `{"workflow":"w"}`}, 422, "request_invalid", "project", "matches"},
		{"long project", call{method: "PUT", path: "/v1/projects/" + strings.Repeat("p", 129)}, 422, "request_invalid", "project", "1 to 128"},
		{"unknown project field", call{method: "PUT", path: "/v1/projects/p", body: `{"name":"p"}`}, 422, "request_invalid", "name", "description"},
		{"publish as text", call{method: "POST", path: publish, body: "name: w", media: "text/plain"}, 415, "media_type_unsupported", "", ""},
		{"publish no UTF-8", call{method: "POST", path: publish, body: "name: \xff", media: "application/yaml"}, 422, "invalid_utf8", "", ""},
		{"publish problems", call{method: "POST", path: publish, body: "bad", media: "text/yaml"}, 422, "definition_invalid", "tasks[0].type", "http, exec"},
		{"publish too large", call{method: "POST", path: publish, body: strings.Repeat("#", 1<<20+70<<10), media: "text/yaml"}, 413, "body_too_large", "", ""},
		{"dry run as 1", call{method: "POST", path: publish + "?dry_run=1", body: "x", media: "text/yaml"}, 422, "request_invalid", "dry_run", "true or false"},
		{"dry run twice", call{method: "POST", path: publish + "?dry_run=true&dry_run=false", body: "x", media: "text/yaml"}, 422, "request_invalid", "dry_run", "one value"},
		{"limit zero", call{path: start + "?limit=0"}, 422, "request_invalid", "limit", "1 to 1000"},
		{"limit too high", call{path: start + "?limit=1001"}, 422, "request_invalid", "limit", "1 to 1000"},
		{"limit text", call{path: start + "?limit=ten"}, 422, "request_invalid", "limit", "1 to 1000"},
		{"limit signed", call{path: start + "?limit=%2B5"}, 422, "request_invalid", "limit", "1 to 1000"},
		{"limit empty", call{path: start + "?limit="}, 422, "request_invalid", "limit", "1 to 1000"},
		{"unknown status", call{path: start + "?status=done"}, 422, "request_invalid", "status", "queued, running, paused, canceling, succeeded"},
		{"unknown status in a list", call{path: start + "?status=failed,done"}, 422, "request_invalid", "status", "timed_out"},
		{"since is no time", call{path: start + "?since=yesterday"}, 422, "request_invalid", "since", "RFC 3339"},
		{"until without offset", call{path: start + "?until=2026-01-01T00:00:00"}, 422, "request_invalid", "until", "RFC 3339"},
		{"label without value", call{path: start + "?label=team"}, 422, "request_invalid", "label", "matches"},
		{"unknown parameter", call{path: start + "?state=failed"}, 422, "request_invalid", "state", "correlation_id, cursor, fingerprint, label, limit, since"},
		{"broken query", call{path: start + "?workflow=%zz"}, 422, "request_invalid", "query", "percent"},
		{"semicolon", call{path: start + "?a;b"}, 422, "request_invalid", "query", ""},
		{"made-up cursor", call{path: start + "?cursor=abc"}, 422, "request_invalid", "cursor", "next_cursor"},
		{"cursor no base64", call{path: start + "?cursor=***"}, 422, "request_invalid", "cursor", "next_cursor"},
		{"control character", call{path: start + "?workflow=a%00b"}, 422, "request_invalid", "workflow", "printable"},
		{"bad id", call{path: "/v1/executions/a:b"}, 422, "request_invalid", "id", "matches"},
		{"long ref", call{path: x + "/tasks/" + strings.Repeat("r", 4617)}, 422, "request_invalid", "ref", "1 to 4616"},
		{"ref no UTF-8", call{path: x + "/tasks/a%FFb"}, 422, "request_invalid", "ref", "UTF-8"},
		{"unknown format", call{path: x + "/graph?format=png"}, 422, "request_invalid", "format", "json, mermaid, dot, svg"},
		{"version zero", call{path: publish + "/w/versions/0"}, 422, "request_invalid", "version", "1 to"},
		{"version text", call{path: publish + "/w/versions/latest"}, 422, "request_invalid", "version", "1 to"},
		{"reason is a number", call{method: "POST", path: x + "/cancel", body: `{"reason":1}`}, 422, "request_invalid", "reason", "a string"},
		{"resume with inputs", call{method: "POST", path: x + "/resume", body: `{"inputs":{}}`}, 422, "request_invalid", "inputs", "answered_by, input, reason, task"},
		{"task without input", call{method: "POST", path: x + "/resume", body: `{"task":"approve"}`}, 422, "request_invalid", "task", "with input"},
		{"answerer without input", call{method: "POST", path: x + "/resume", body: `{"answered_by":"ann"}`}, 422, "request_invalid", "answered_by", "with input"},
		{"task of no name", call{method: "POST", path: x + "/resume", body: `{"input":{},"task":""}`}, 422, "request_invalid", "task", "1 to 512"},
		{"task is a number", call{method: "POST", path: x + "/resume", body: `{"input":{},"task":7}`}, 422, "request_invalid", "task", "a string"},
		{"answerer is null", call{method: "POST", path: x + "/resume", body: `{"input":{},"answered_by":null}`}, 422, "request_invalid", "answered_by", "a string"},
		{"input twice", call{method: "POST", path: x + "/resume", body: `{"input":{},"input":null}`}, 422, "request_invalid", "input", "each key once"},
		{"input with a key twice", call{method: "POST", path: x + "/resume", body: `{"input":{"a":1,"a":2}}`}, 422, "request_invalid", "input.a", "each key once"},
		{"input too deep", call{method: "POST", path: x + "/resume", body: `{"input":` + deep + `}`}, 422, "too_deep", "input" + strings.Repeat("[0]", 31), "32 levels"},
		{"answer that does not fit", call{method: "POST", path: x + "/resume", body: `{"input":"no"}`}, 422, "input_invalid", "input", "an object"},
		{"deadline is no duration", call{method: "POST", path: x + "/pause", body: `{"deadline":"soon"}`}, 422, "request_invalid", "deadline", "1s to 720h"},
		{"deadline is a number", call{method: "POST", path: x + "/pause", body: `{"deadline":60}`}, 422, "request_invalid", "deadline", "a string"},
		{"deadline is zero", call{method: "POST", path: x + "/pause", body: `{"deadline":"0s"}`}, 422, "request_invalid", "deadline", "1s to 720h"},
		{"deadline is empty", call{method: "POST", path: x + "/pause", body: `{"deadline":""}`}, 422, "request_invalid", "deadline", "1 to 64"},
		{"deadline to cancel", call{method: "POST", path: x + "/cancel", body: `{"deadline":"1h"}`}, 422, "request_invalid", "deadline", "reason"},
		{"complete with result", call{method: "POST", path: x + "/tasks/load/complete", body: `{"result":1}`}, 422, "request_invalid", "result", "acknowledge, output, plan_hash, reason"},
		{"complete with a list", call{method: "POST", path: x + "/tasks/load/complete", body: `[]`}, 422, "request_invalid", "body", "an object with acknowledge, output, plan_hash, reason"},
		{"complete for no reason", call{method: "POST", path: x + "/tasks/load/complete", body: `{"reason":null}`}, 422, "request_invalid", "reason", "a string"},
		{"complete as text", call{method: "POST", path: x + "/tasks/load/complete", body: `{}`, media: "text/plain"}, 415, "media_type_unsupported", "", ""},
		{"fail with text", call{method: "POST", path: x + "/tasks/load/fail", body: `{"error":"broken"}`}, 422, "request_invalid", "error", "an object with code, message"},
		{"fail with an odd code", call{method: "POST", path: x + "/tasks/load/fail", body: `{"error":{"code":"a b"}}`}, 422, "request_invalid", "error.code", "matches"},
		{"fail without a message", call{method: "POST", path: x + "/tasks/load/fail", body: `{"error":{"message":""}}`}, 422, "request_invalid", "error.message", "1 to 4096"},
		{"fail for good", call{method: "POST", path: x + "/tasks/load/fail", body: `{"error":{"retryable":false}}`}, 422, "request_invalid", "error.retryable", "code, message"},
		{"skip with output", call{method: "POST", path: x + "/tasks/load/skip", body: `{"output":1}`}, 422, "request_invalid", "output", "reason"},
		{"skip for long", call{method: "POST", path: x + "/tasks/load/skip", body: `{"reason":"` + strings.Repeat("r", 1025) + `"}`}, 422, "request_invalid", "reason", "0 to 1024"},
		{"fail a long ref", call{method: "POST", path: x + "/tasks/" + strings.Repeat("r", 4617) + "/fail"}, 422, "request_invalid", "ref", "1 to 4616"},
		{"skip no UTF-8", call{method: "POST", path: x + "/tasks/a%FFb/skip"}, 422, "request_invalid", "ref", "UTF-8"},
		{"skip what ended", call{method: "POST", path: x + "/tasks/ended/skip"}, 409, "task_ended", "", ""},
		{"skip by GET", call{path: x + "/tasks/load/skip"}, 405, "method_not_allowed", "", ""},
		{"too late", call{method: "POST", path: x + "/cancel", body: `{"reason":"late"}`}, 409, "execution_ended", "", ""},
		{"odd event id", call{path: x + "/events?after=a%20b"}, 422, "request_invalid", "after", "matches"},
		{"odd Last-Event-ID", call{path: x + "/events", header: map[string]string{"Last-Event-ID": "{}"}}, 422, "request_invalid", "Last-Event-ID", "matches"},
		{"unknown event", call{path: x + "/events?after=9-9"}, 422, "event_unknown", "", ""},
		{"key without scope", call{method: "POST", path: "/v1/keys", body: `{"name":"n"}`}, 422, "request_invalid", "scope", ""},
		{"key of unknown scope", call{method: "POST", path: "/v1/keys", body: `{"name":"n","scope":"root"}`}, 422, "request_invalid", "scope", "read, write, admin"},
		{"key for odd project", call{method: "POST", path: "/v1/keys", body: `{"name":"n","scope":"read","projects":["ok","no no"]}`}, 422, "request_invalid", "projects[1]", "matches"},
		{"poll without types", call{method: "POST", path: poll, body: `{"worker":"w"}`}, 422, "request_invalid", "types", ""},
		{"poll without worker", call{method: "POST", path: poll, body: `{"types":["t"]}`}, 422, "request_invalid", "worker", ""},
		{"poll for an odd type", call{method: "POST", path: poll, body: `{"types":["t","a b"],"worker":"w"}`}, 422, "request_invalid", "types[1]", "matches"},
		{"poll of an odd queue", call{method: "POST", path: poll, body: `{"types":["t"],"queues":["a{b}"],"worker":"w"}`}, 422, "request_invalid", "queues[0]", "matches"},
		{"poll by an odd worker", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"a@b"}`}, 422, "request_invalid", "worker", "matches"},
		{"poll for too many", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"w","max":101}`}, 422, "request_invalid", "max", "1 to 100"},
		{"poll for none", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"w","max":0}`}, 422, "request_invalid", "max", "1 to 100"},
		{"poll with a number to wait", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"w","wait":30}`}, 422, "request_invalid", "wait", "a string"},
		{"poll with an odd wait", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"w","wait":"soon"}`}, 422, "request_invalid", "wait", "0s to 1m0s"},
		{"poll with an odd lease", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"w","lease":"30"}`}, 422, "request_invalid", "lease", "1s to 10m0s"},
		{"poll with an unknown field", call{method: "POST", path: poll, body: `{"types":["t"],"worker":"w","timeout":"1s"}`}, 422, "request_invalid", "timeout", "lease, max, queues"},
		{"report without token", call{method: "POST", path: run + "/complete", body: `{"output":1}`}, 422, "request_invalid", "token", ""},
		{"report with an empty token", call{method: "POST", path: run + "/heartbeat", body: `{"token":""}`}, 422, "request_invalid", "token", "1 to 4096"},
		{"failure without error", call{method: "POST", path: run + "/fail", body: `{"token":"t"}`}, 422, "request_invalid", "error", ""},
		{"failure with an odd code", call{method: "POST", path: run + "/fail", body: `{"token":"t","error":{"code":"a b","message":"m"}}`}, 422, "request_invalid", "error.code", "matches"},
		{"failure without message", call{method: "POST", path: run + "/fail", body: `{"token":"t","error":{"code":"c"}}`}, 422, "request_invalid", "error.message", ""},
		{"log line of no level", call{method: "POST", path: run + "/log", body: `{"token":"t","lines":[{"level":"loud","message":"m"}]}`}, 422, "request_invalid", "lines[0].level", "debug, info"},
		{"log line of no time", call{method: "POST", path: run + "/log", body: `{"token":"t","lines":[{"time":"now","message":"m"}]}`}, 422, "request_invalid", "lines[0].time", "RFC 3339"},
		{"a run that is over", call{method: "POST", path: run + "/complete", body: `{"token":"stale"}`}, 409, "stale", "", ""},
		{"unknown route", call{path: "/v1/nothing"}, 404, "route_not_found", "", ""},
		{"trailing slash", call{path: "/v1/projects/"}, 404, "route_not_found", "", ""},
		{"unknown execution", call{path: "/v1/executions/999"}, 404, "execution_not_found", "", ""},
		{"wrong method", call{method: "DELETE", path: "/v1/projects/default"}, 405, "method_not_allowed", "", ""},
		{"made-up method", call{method: "BREW", path: "/v1/workers"}, 405, "method_not_allowed", "", ""},
	}
	r := newRig(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			c.call.key = "rdr_admin"
			w := r.do(c.call)
			require.Equal(t, c.status, w.Code, w.Body.String())
			p := problemOf(t, w)
			require.Equal(t, c.code, p.Code)
			require.NotEmpty(t, p.Detail)
			require.Zero(t, r.fake.written(), "a refused request stored something")
			if c.field == "" {
				require.Empty(t, p.Errors)
				return
			}
			require.NotEmpty(t, p.Errors, w.Body.String())
			fields := map[string]string{}
			for _, e := range p.Errors {
				fields[e.Field] = e.Allowed
				require.NotEmpty(t, e.Message)
				require.NotEmpty(t, e.Code)
			}
			require.Contains(t, fields, c.field)
			require.Contains(t, fields[c.field], c.allowed)
		})
	}
	require.GreaterOrEqual(t, len(cases), 50)
}
