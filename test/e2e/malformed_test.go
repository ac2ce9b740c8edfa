package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// TestMalformedDefinitions sends every case of the core's own list over HTTP.
func TestMalformedDefinitions(t *testing.T) {
	data, err := os.ReadFile("../../workflow/testdata/malformed.txt")
	require.NoError(t, err)
	cases := strings.Split(string(data), "=== ")[1:]
	require.GreaterOrEqual(t, len(cases), 50)
	f := start(t)
	f.Publish(greeting)
	before := stored(t, f)
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		i := strings.LastIndex(rest, "---\n")
		source, want := rest[:i], rest[i+len("---\n"):]
		status, text := call(t, f, "POST", "/v1/projects/default/workflows", "application/yaml", source)
		require.Equal(t, 422, status, "%s: %s", name, text)
		p := decode[client.Problem](t, text)
		got := map[string]bool{}
		for _, e := range p.Errors {
			got[fmt.Sprintf("%d:%d %s %s", e.Line, e.Column, e.Code, e.Field)] = true
			require.NotEmpty(t, e.Message, name)
		}
		for line := range strings.Lines(want) {
			require.Contains(t, got, strings.TrimSuffix(line, "\n"), "%s: %s", name, text)
		}
	}
	require.Empty(t, changed(before, stored(t, f)), "a refused definition stored something")
	path := file(t, "bad.yaml", "name: w\ntasks:\n  - name: a\n    type: noop\n    needs: [b]\n")
	_, errOut, code := f.CLI("workflow", "publish", path)
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "tasks[0].needs[0]")
}

type request struct {
	method, path, body string
	status             int
	field              string // that one of the errors names, "" = the request as a whole
}

// malformed are requests as people and programs get them wrong. X is an
// execution that has ended.
func malformed() []request {
	const (
		executions = "/v1/projects/default/executions"
		workflows  = "/v1/projects/default/workflows"
	)
	var all []request
	start := func(field string, bodies ...string) {
		for _, b := range bodies {
			all = append(all, request{"POST", executions, b, 422, field})
		}
	}
	start("workflow", `{}`, `{"workflow":""}`, `{"workflow":1}`, `{"workflow":null}`, `{"workflow":[]}`, `{"workflow":"`+strings.Repeat("w", 300)+`"}`,
		`{"Workflow":"greeting"}`, `{"workflow":"greeting","workflow":"x"}`)
	start("version", `{"workflow":"greeting","version":"1"}`, `{"workflow":"greeting","version":0}`, `{"workflow":"greeting","version":-3}`, `{"workflow":"greeting","version":1.5}`, `{"workflow":"greeting","version":1e30}`)
	start("priority", `{"workflow":"greeting","priority":10}`, `{"workflow":"greeting","priority":-1}`, `{"workflow":"greeting","priority":true}`)
	start("labels", `{"workflow":"greeting","labels":[]}`, `{"workflow":"greeting","labels":"a=b"}`)
	start("labels.team", `{"workflow":"greeting","labels":{"team":7}}`, `{"workflow":"greeting","labels":{"team":{}}}`)
	start("metadata", `{"workflow":"greeting","metadata":7}`)
	start("metadata.k", `{"workflow":"greeting","metadata":{"k":null}}`)
	start("idempotency_key", `{"workflow":"greeting","idempotency_key":""}`, `{"workflow":"greeting","idempotency_key":7}`)
	start("correlation_id", `{"workflow":"greeting","correlation_id":"`+strings.Repeat("c", 300)+`"}`, `{"workflow":"greeting","correlation_id":false}`)
	start("inputs", `{"workflow":"greeting","inputs":{}}`)
	start("input.a[0].b", `{"workflow":"greeting","input":{"a":[{"b":1,"b":2}]}}`)
	start("input.name", `{"workflow":"greeting","input":{"name":1}}`, `{"workflow":"greeting","input":{"name":""}}`)
	start("body", `[]`, `null`, `7`, `"x"`, `{"workflow":"greeting"`, `{"workflow":"greeting",}`, `{workflow: greeting}`, `{"workflow":"greeting"} {}`)
	return append(all,
		request{"POST", "/v1/projects/no%20no/executions", `{"workflow":"greeting"}`, 422, "project"},
		request{"POST", "/v1/projects/nosuch/executions", `{"workflow":"greeting"}`, 404, ""},
		request{"POST", executions, `{"workflow":"nosuch"}`, 404, ""},
		request{"POST", executions, `{"workflow":"greeting","version":9}`, 404, ""},
		request{"GET", executions + "?status=done", "", 422, "status"},
		request{"GET", executions + "?limit=0", "", 422, "limit"},
		request{"GET", executions + "?limit=many", "", 422, "limit"},
		request{"GET", executions + "?since=yesterday", "", 422, "since"},
		request{"GET", executions + "?label=team", "", 422, "label"},
		request{"GET", executions + "?statuses=failed", "", 422, "statuses"},
		request{"GET", workflows + "/greeting/versions/0", "", 422, "version"},
		request{"GET", workflows + "/greeting/versions/latest", "", 422, "version"},
		request{"GET", workflows + "/nosuch", "", 404, ""},
		request{"GET", "/v1/executions/999", "", 404, ""},
		request{"GET", "/v1/executions/no.such", "", 422, "id"},
		request{"GET", "/v1/executions/X/tasks/nosuch", "", 404, ""},
		request{"GET", "/v1/executions/X/graph?format=png", "", 422, "format"},
		request{"GET", "/v1/executions/X/events?after=a%20b", "", 422, "after"},
		request{"POST", "/v1/executions/X/cancel", `{"reason":1}`, 422, "reason"},
		request{"POST", "/v1/executions/X/cancel", `{"because":"x"}`, 422, "because"},
		request{"POST", "/v1/executions/X/cancel", `{"reason":"late"}`, 409, ""},
		request{"POST", "/v1/executions/X/pause", `{}`, 409, ""},
		request{"POST", "/v1/executions/X/resume", `{}`, 409, ""},
		request{"POST", "/v1/executions/X/resume", `{"input":{}}`, 409, ""},
		request{"POST", "/v1/executions/X/resume", `{"input":null,"task":"hello"}`, 409, ""},
		request{"POST", "/v1/executions/X/resume", `{"input":null,"task":"nosuch"}`, 404, ""},
		request{"POST", "/v1/executions/X/resume", `{"inputs":{}}`, 422, "inputs"},
		request{"POST", "/v1/executions/X/resume", `{"task":"hello"}`, 422, "task"},
		request{"POST", "/v1/executions/X/resume", `{"answered_by":"ann"}`, 422, "answered_by"},
		request{"POST", "/v1/executions/X/resume", `{"input":{},"answered_by":7}`, 422, "answered_by"},
		request{"POST", "/v1/executions/X/resume", `{"input":{},"input":{}}`, 422, "input"},
		request{"POST", "/v1/executions/X/resume", `{"input":`, 422, "body"},
		request{"POST", "/v1/executions/999/resume", `{"input":{}}`, 404, ""},
		request{"POST", "/v1/executions/X/pause", `{"deadline":"soon"}`, 422, "deadline"},
		request{"POST", "/v1/executions/X/pause", `{"deadline":"-1h"}`, 422, "deadline"},
		request{"POST", "/v1/executions/X/pause", `{"deadline":"0s"}`, 422, "deadline"},
		request{"POST", "/v1/executions/X/pause", `{"deadline":"999ms"}`, 422, "deadline"},
		request{"POST", "/v1/executions/X/pause", `{"deadline":"721h"}`, 422, "deadline"},
		request{"POST", "/v1/executions/X/pause", `{"deadline":3600}`, 422, "deadline"},
		request{"POST", "/v1/executions/X/tasks/hello/complete", `{}`, 409, ""},
		request{"POST", "/v1/executions/X/tasks/hello/complete", `{"reason":7}`, 422, "reason"},
		request{"POST", "/v1/executions/X/tasks/hello/complete", `{"result":7}`, 422, "result"},
		request{"POST", "/v1/executions/X/tasks/nosuch/complete", `{}`, 404, ""},
		request{"POST", "/v1/executions/X/tasks/hello%5Ba%5D/complete", `{}`, 404, ""},
		request{"POST", "/v1/executions/X/tasks/%FF/complete", `{}`, 422, "ref"},
		request{"POST", "/v1/executions/X/tasks/hello/fail", `{"error":"x"}`, 422, "error"},
		request{"POST", "/v1/executions/X/tasks/hello/fail", `{"error":{"code":"not a code"}}`, 422, "error.code"},
		request{"POST", "/v1/executions/X/tasks/hello/fail", `{"error":{"retryable":true}}`, 422, "error.retryable"},
		request{"POST", "/v1/executions/X/tasks/hello/fail", `{}`, 409, ""},
		request{"POST", "/v1/executions/X/tasks/hello/skip", `{"output":1}`, 422, "output"},
		request{"POST", "/v1/executions/X/tasks/hello/skip", `{}`, 409, ""},
		request{"POST", "/v1/executions/999/tasks/hello/skip", `{}`, 404, ""},
		request{"GET", "/v1/executions/X/tasks/hello/skip", "", 405, ""},
		request{"POST", "/v1/queues/no.such/pause", "", 404, ""},
		request{"POST", "/v1/keys", `{"name":"n"}`, 422, "scope"},
		request{"POST", "/v1/keys", `{"name":"n","scope":"root"}`, 422, "scope"},
		request{"POST", "/v1/keys", `{"name":"n","scope":"read","projects":["no no"]}`, 422, "projects[0]"},
		request{"PUT", "/v1/projects/UPPER%20CASE", `{}`, 422, "project"},
		request{"PUT", "/v1/projects/reports", `{"name":"x"}`, 422, "name"},
		request{"GET", "/v1/nothing", "", 404, ""},
		request{"DELETE", "/v1/projects/default", "", 405, ""},
	)
}

func TestMalformedRequests(t *testing.T) {
	f := start(t)
	f.Publish(greeting)
	x := f.Start("greeting", map[string]string{"name": "Ada"})
	require.EqualValues(t, "succeeded", await(t, f, x).Status)
	settled(t, f)
	before := stored(t, f)
	all := malformed()
	require.GreaterOrEqual(t, len(all), 50)
	for _, r := range all {
		media := ""
		if r.body != "" {
			media = "application/json"
		}
		status, text := call(t, f, r.method, strings.Replace(r.path, "/X/", "/"+x+"/", 1), media, r.body)
		what := r.method + " " + r.path + " " + r.body
		require.Equal(t, r.status, status, "%s: %s", what, text)
		p := decode[client.Problem](t, text)
		require.NotEmpty(t, p.Code, what)
		require.NotEmpty(t, p.Detail, what)
		var fields []string
		for _, e := range p.Errors {
			fields = append(fields, e.Field)
			require.NotEmpty(t, e.Message, what)
		}
		if r.field != "" {
			require.Contains(t, fields, r.field, "%s: %s", what, text)
		}
	}
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded"} {
		status, text := call(t, f, "POST", "/v1/projects/default/executions", media, `{"workflow":"greeting"}`)
		require.Equal(t, 415, status, text)
	}
	status, text := call(t, f, "POST", "/v1/projects/default/executions", "application/json", `{"workflow":"greeting","input":"`+strings.Repeat("x", 1<<20+70<<10)+`"}`)
	require.Equal(t, 413, status, text)
	require.Empty(t, changed(before, stored(t, f)), "a refused request stored something")

	f.Key = "rdr_" + strings.Repeat("0", 40)
	status, text = call(t, f, "POST", "/v1/projects/default/executions", "application/json", `{"workflow":"greeting"}`)
	require.Equal(t, 401, status, text)
	require.Empty(t, changed(before, stored(t, f)), "a refused request stored something")
}
