package prefect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/server/compat/compattest"
	"github.com/redrive/redrive/workflow"
)

func TestMain(m *testing.M) { os.Exit(queuetest.Run(m)) }

// The workflows of the tests. Tasks named work are run by nobody: they stay queued.
var definitions = []string{
	`{"name": "expenses", "description": "Pays expenses", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}, "tasks": [
		{"name": "decide", "type": "approval", "with": {"message": "pay ${string(workflow.input.n)}?", "timeout": "1h", "input_schema": {"type": "object",
			"additionalProperties": false, "required": ["approved"], "properties": {"approved": {"type": "boolean"}, "note": {"type": "string"}}}}},
		{"name": "work", "type": "noop", "needs": ["decide"]}], "output": "${tasks.decide.output.approved}"}`,
	`{"name": "free", "tasks": [{"name": "Any_Body", "type": "approval"}]}`,
	`{"name": "work", "tasks": [{"name": "work", "type": "noop"}]}`,
	`{"name": "broken", "tasks": [{"name": "a", "type": "fail", "with": {"message": "no", "code": "said_no"}}]}`,
	`{"name": "mother", "tasks": [{"name": "child", "type": "workflow", "with": {"name": "free"}}]}`,
	`{"name": "one-at-a-time", "concurrency": {"max_running": 1, "when_full": "queue"}, "tasks": [{"name": "work", "type": "noop"}]}`,
}

const noID = "0190a1b2-0000-7000-8000-00000000dead"

// rig is a server that speaks Prefect over an engine on a Redis of its own, whose clock the test moves.
type rig struct {
	t        testing.TB
	engine   *engine.Engine
	server   *server.Server
	offset   time.Duration
	document *compattest.Document
	key      string
}

func newRig(t testing.TB, change ...func(*server.Options)) *rig {
	t.Helper()
	r := &rig{t: t, document: compattest.Load(t, "prefect-flow-runs-openapi.json")}
	quiet := slog.New(slog.DiscardHandler)
	q := queue.DefaultOptions()
	q.URL, q.Logger, q.Retention = queuetest.URL(t), quiet, time.Hour
	q.ClockOffset = func() time.Duration { return r.offset }
	store, err := queue.Open(t.Context(), q)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	o := engine.DefaultOptions()
	o.Store, o.Logger, o.Catalog = store, quiet, workflow.Catalog{"noop": nil, "fail": nil}
	r.engine, err = engine.New(o)
	require.NoError(t, err)
	require.NoError(t, r.engine.Announce(t.Context(), engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop", "fail"}}))
	for _, d := range definitions {
		_, err := r.engine.Publish(t.Context(), "default", []byte(d), false)
		require.NoError(t, err)
	}
	so := server.DefaultOptions()
	so.Engine, so.Registry, so.Listen, so.Open, so.Logger, so.Dialects = r.engine, prometheus.NewRegistry(), "127.0.0.1:0", true, quiet, []string{"prefect"}
	for _, c := range change {
		c(&so)
	}
	r.server, err = server.New(so)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.server.Stop(context.Background())) })
	return r
}

// reply is an answer of the server.
type reply struct {
	code int
	kind string // its content type
	text string
	t    testing.TB
}

// ask sends a request, and holds the answer against Prefect's own document where that has the path.
func (r *rig) ask(method, path, body string, header ...string) reply {
	r.t.Helper()
	req := httptest.NewRequest(method, "http://127.0.0.1:8080/api"+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "prefect/3.9.1 (API 0.8.4)")
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	require.Less(r.t, w.Code, 502)
	undocumented := regexp.MustCompile(`^/(flows/$|flows/[^f]|flows/count|deployments/(filter|name|$|[0-9a-f-]{36}$)|logs/$|v2/|concurrency_limits/|task_runs/|automations/|artifacts/|block_documents/|variables/|work_pools/|nothing|flow_runs/nope/x)`)
	if (w.Code == 200 || w.Code == 201) && w.Header().Get("Content-Type") == "application/json" && !undocumented.MatchString(path) {
		path, _, _ := strings.Cut(path, "?")
		status := w.Code
		if status == 201 && !strings.HasSuffix(path, "/input") {
			status = 200 // the document has only that one
		}
		require.NoError(r.t, r.document.Check(req, path, status, w.Header(), w.Body.Bytes()), "%s %s %s", method, path, w.Body)
	}
	return reply{w.Code, w.Header().Get("Content-Type"), strings.TrimSuffix(w.Body.String(), "\n"), r.t}
}

func (r *rig) post(path, body string) reply { r.t.Helper(); return r.ask("POST", path, body) }
func (r *rig) get(path string) reply        { r.t.Helper(); return r.ask("GET", path, "") }

// is expects a whole answer. In the body <id> stands for any UUID, <time> for any time, 0 for how long something took.
func (a reply) is(code int, body string) reply {
	a.t.Helper()
	require.Equal(a.t, fmt.Sprintf("%d application/json %s", code, compacted(a.t, body)), fmt.Sprintf("%d %s %s", a.code, a.kind, masked(a.text)))
	return a
}

func compacted(t testing.TB, body string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, []byte(body)), body)
	return b.String()
}

var (
	anyID   = regexp.MustCompile(`"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"`)
	anySpan = regexp.MustCompile(`"(estimated_run_time|total_run_time|estimated_start_time_delta)":[0-9.e-]+`)
	anyTime = regexp.MustCompile(`"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z"`)
)

func masked(text string) string {
	text = anySpan.ReplaceAllString(text, `"$1":0`)
	return anyTime.ReplaceAllString(anyID.ReplaceAllString(text, `"<id>"`), `"<time>"`)
}

// json is the body as a value.
func (a reply) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.text), &v), a.text)
	return v
}

func (a reply) list() []map[string]any {
	a.t.Helper()
	var v []map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.text), &v), a.text)
	return v
}

// stateJSON is a state as it is written; the details that are named stand in the place of the defaults.
func stateJSON(kind, name, message string, details ...string) string {
	d := `"flow_run_id":"<id>","task_run_id":null,"child_flow_run_id":null,"scheduled_time":null,"cache_key":null,"cache_expiration":null,"deferred":false,` +
		`"untrackable_result":false,"pause_timeout":null,"pause_reschedule":false,"pause_key":null,"run_input_keyset":null,"refresh_cache":null,"retriable":null,` +
		`"transition_id":null,"task_parameters_id":null,"traceparent":null,"deployment_concurrency_lease_id":null`
	for i := 0; i < len(details); i += 2 {
		d = regexp.MustCompile(`"`+details[i]+`":[^,]*`).ReplaceAllString(d, `"`+details[i]+`":`+details[i+1])
	}
	if message == "" {
		message = "null"
	} else {
		message = `"` + message + `"`
	}
	return `{"id":"<id>","type":"` + kind + `","name":"` + name + `","timestamp":"<time>","message":` + message + `,"data":null,"state_details":{` + d + `}}`
}

func outcomeJSON(state, status, details string) string {
	return `{"state":` + state + `,"status":"` + status + `","details":` + details + `}`
}

func because(kind, reason string) string {
	text, _ := json.Marshal(reason)
	return `{"type":"` + kind + `_details","reason":` + string(text) + `}`
}

const accepted = `{"type":"accept_details"}`

// start starts an execution natively.
func (r *rig) start(name, input string) string {
	r.t.Helper()
	x, _, err := r.engine.Start(r.t.Context(), "default", engine.StartRequest{Workflow: name, Input: json.RawMessage(input)})
	require.NoError(r.t, err)
	return x.ID
}

// run is a flow run that Prefect's own process runs, in state RUNNING.
func (r *rig) run(more string) string {
	r.t.Helper()
	flow := r.post("/flows/", `{"name":"own"}`).json()["id"].(string)
	id := r.post("/flow_runs/", `{"flow_id":"`+flow+`"`+more+`}`).json()["id"].(string)
	require.Equal(r.t, "ACCEPT", r.set(id, `{"type":"RUNNING"}`).json()["status"])
	return id
}

func (r *rig) set(id, state string) reply {
	r.t.Helper()
	return r.post("/flow_runs/"+id+"/set_state", `{"state":`+state+`}`)
}

func (r *rig) resume(id, body string) reply {
	r.t.Helper()
	return r.post("/flow_runs/"+id+"/resume", body)
}

// stateOf is type, name and message of the present state.
func (r *rig) stateOf(id string) []any {
	r.t.Helper()
	w := r.get("/flow_runs/" + id).json()
	s := w["state"].(map[string]any)
	require.Equal(r.t, []any{w["state_id"], w["state_type"], w["state_name"]}, []any{s["id"], s["type"], s["name"]})
	return []any{s["type"], s["name"], s["message"]}
}

func (r *rig) status(id string) workflow.ExecutionStatus {
	r.t.Helper()
	x, err := r.engine.Execution(r.t.Context(), id)
	require.NoError(r.t, err)
	return x.Status
}
