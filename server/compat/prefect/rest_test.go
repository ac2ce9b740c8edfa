package prefect_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/workflow"
)

func TestAFlowRunIsAnExecution(t *testing.T) {
	r := newRig(t)
	id := r.start("expenses", `{"n":12345678901234567890}`)
	a := r.get("/flow_runs/" + id)
	require.Equal(t, []any{200, "application/json"}, []any{a.code, a.kind})
	require.Contains(t, a.text, `"parameters":{"n":12345678901234567890}`)
	w := a.json()
	require.Equal(t, []any{id, "expenses-1", r.flowID("expenses"), "1", 1.0, false, []any{}}, []any{w["id"], w["name"], w["flow_id"], w["flow_version"], w["run_count"], w["auto_scheduled"], w["tags"]})
	require.NotNil(t, w["deployment_id"])
	require.Equal(t, "PAUSED", w["state_type"])
	r.get("/flow_runs/"+noID).is(404, `{"detail":"Flow run not found"}`)
	r.get("/flow_runs/nope").is(404, `{"detail":"Not Found"}`)
	require.Equal(t, 200, r.get("/flow_runs/"+strings.ToUpper(id)).code)

	mother := r.start("mother", `{}`)
	task, err := r.engine.Task(t.Context(), mother, "child")
	require.NoError(t, err)
	child := r.get("/flow_runs/" + task.Child).json()
	require.NotNil(t, child["parent_task_run_id"])
	require.Equal(t, "PAUSED", child["state_type"])
	found := r.post("/flow_runs/filter", `{"flow_runs":{"parent_flow_run_id":{"any_":["`+mother+`"]}}}`).list()
	require.Len(t, found, 1)
	require.Equal(t, task.Child, found[0]["id"])
}

func TestStatesOfExecutions(t *testing.T) {
	r := newRig(t)
	first := r.start("one-at-a-time", `{}`)
	second := r.start("one-at-a-time", `{}`)
	require.Equal(t, []any{"SCHEDULED", "AwaitingConcurrencySlot", nil}, r.stateOf(second))
	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "work", StartAt: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	require.Equal(t, []any{"SCHEDULED", "Scheduled", nil}, r.stateOf(x.ID))
	require.NotNil(t, r.get("/flow_runs/" + x.ID).json()["next_scheduled_start_time"])
	_, err = r.engine.SettleByHand(t.Context(), first, "work", engine.HandRequest{To: workflow.TaskFailed, Error: &workflow.Error{Code: "boom", Message: "it broke"}})
	require.NoError(t, err)
	require.Equal(t, []any{"FAILED", "Failed", "boom: it broke"}, r.stateOf(first))
	long, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "expenses", Timeout: time.Minute, Input: json.RawMessage(`{"n":1}`)})
	require.NoError(t, err)
	r.resume(long.ID, `{"run_input":{"approved":true}}`)
	_, err = r.engine.SettleByHand(t.Context(), long.ID, "work", engine.HandRequest{To: workflow.TaskSucceeded})
	require.NoError(t, err)
	require.Equal(t, []any{"COMPLETED", "Completed", nil}, r.stateOf(long.ID))
	require.Equal(t, true, r.get("/flow_runs/" + long.ID).json()["state"].(map[string]any)["data"], "the output")
}

func TestFilters(t *testing.T) {
	r := newRig(t)
	gate, work, own := r.start("expenses", `{"n":1}`), r.start("work", `{}`), r.run(`,"name":"Mine","tags":["red","blue"],"idempotency_key":"k1"`)
	_, err := r.engine.Cancel(t.Context(), work, engine.Request{})
	require.NoError(t, err)
	for body, want := range map[string][]string{
		`{}`: {own, work, gate}, `{"limit":1}`: {own}, `{"limit":1,"offset":1}`: {work}, `{"limit":0}`: {},
		`{"sort":"EXPECTED_START_TIME_ASC"}`: {gate, work, own}, `{"sort":"NAME_ASC"}`: {own, gate, work}, `{"sort":"END_TIME_DESC","limit":1}`: {work},
		`{"flow_runs":{"state":{"type":{"any_":["PAUSED"]}}}}`: {gate}, `{"flow_runs":{"state":{"type":{"not_any_":["PAUSED"]}}}}`: {own, work},
		`{"flow_runs":{"state":{"name":{"any_":["Running","Cancelled"]}}}}`: {own, work}, `{"flow_runs":{"state":{"type":{"any_":["RUNNING"]}}}}`: {own},
		`{"flow_runs":{"id":{"any_":["` + work + `","` + noID + `"]}}}`: {work}, `{"flow_runs":{"id":{"not_any_":["` + work + `"]}}}`: {own, gate},
		`{"flow_runs":{"name":{"like_":"min"}}}`: {own}, `{"flow_runs":{"name":{"any_":["work-2"]}}}`: {work},
		`{"flow_runs":{"tags":{"all_":["red","blue"]}}}`: {own}, `{"flow_runs":{"tags":{"all_":["red","green"]}}}`: {}, `{"flow_runs":{"tags":{"is_null_":true}}}`: {work, gate},
		`{"flow_runs":{"end_time":{"is_null_":false}}}`: {work}, `{"flow_runs":{"expected_start_time":{"after_":"2100-01-01T00:00:00Z"}}}`: {},
		`{"flow_runs":{"expected_start_time":{"before_":"2100-01-01T00:00:00Z"}}}`: {own, work, gate}, `{"flow_runs":{"deployment_id":{"is_null_":true}}}`: {own},
		`{"flow_runs":{"idempotency_key":{"any_":["k1"]}}}`: {own}, `{"flow_runs":{"operator":"or_","name":{"any_":["Mine"]},"state":{"type":{"any_":["PAUSED"]}}}}`: {own, gate},
		`{"flows":{"name":{"any_":["expenses"]}}}`: {gate}, `{"flows":{"id":{"any_":["` + r.flowID("work") + `"]}}}`: {work}, `{"flows":{"name":{"like_":"e"}},"deployments":{"name":{"any_":["redrive"]}}}`: {gate},
		`{"flow_runs":null,"flows":null,"task_runs":null,"work_pools":{}}`: {own, work, gate}, `{"whatever":1}`: {own, work, gate},
	} {
		found := []string{}
		for _, w := range r.post("/flow_runs/filter", body).list() {
			found = append(found, w["id"].(string))
		}
		require.Equal(t, want, found, body)
	}
	r.post("/flow_runs/count", `{}`).is(200, `3`)
	r.post("/flow_runs/count", `{"flow_runs":{"state":{"type":{"any_":["PAUSED","CANCELLED"]}}}}`).is(200, `2`)
	page := r.post("/flow_runs/paginate", `{"limit":2,"page":2,"sort":"ID_DESC"}`).json()
	require.Equal(t, []any{3.0, 2.0, 2.0, 2.0}, []any{page["count"], page["limit"], page["pages"], page["page"]})
	require.Equal(t, gate, page["results"].([]any)[0].(map[string]any)["id"])
}

func TestHistoryOfFlowRuns(t *testing.T) {
	r := newRig(t)
	x, err := r.engine.Execution(t.Context(), r.start("expenses", `{"n":1}`))
	require.NoError(t, err)
	from := x.CreatedAt.Truncate(time.Second).Add(-time.Second)
	body := `{"history_start":"` + from.Format(time.RFC3339) + `","history_end":"` + from.Add(4*time.Second).Format(time.RFC3339) + `","history_interval_seconds":`
	all := r.post("/flow_runs/history", body+`2}`).list()
	require.Len(t, all, 2)
	states := append(all[0]["states"].([]any), all[1]["states"].([]any)...)
	require.Len(t, states, 1)
	require.Equal(t, []any{"PAUSED", "Paused", 1.0}, []any{states[0].(map[string]any)["state_type"], states[0].(map[string]any)["state_name"], states[0].(map[string]any)["count_runs"]})
	r.post("/flow_runs/history", body+`0.5}`).is(422, `{"detail":"History interval must not be less than 1 second."}`)
	require.Len(t, r.post("/flow_runs/history", strings.Replace(body, from.Add(4*time.Second).Format(time.RFC3339), "2090-01-01T00:00:00Z", 1)+`1}`).list(), 500)
}

// TestRefusals: what Prefect 3.9.1 answered to the same.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	const wrong = `{"exception_message":"Invalid request received.","exception_detail":[`
	const tooFar = `{"detail":"only the first 50000 flow runs can be paged through: narrow by flows, deployments, state types or times"}`
	types := `'SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED' or 'CANCELLING'`
	// Prefect breaks with 500 on these, though pydantic refuses them so.
	notFinite, digits := wrong+`{"type":"finite_number","loc":`, strings.Repeat("9", 4301)
	for _, c := range []struct {
		method, path, body, want string
		code                     int
	}{
		{"GET", "/flow_runs/a/b/c", "", `{"detail":"Not Found"}`, 404},
		{"DELETE", "/health", "", `{"detail":"Method Not Allowed"}`, 405},
		{"GET", "/csrf-token?client=x", "", `{"detail":"CSRF protection is disabled."}`, 422},
		{"GET", "/csrf-token", "", wrong + `{"type":"missing","loc":["query","client"],"msg":"Field required","input":null}],"request_body":null}`, 422},
		{"POST", "/flow_runs/" + id + "/set_state", `{}`, wrong + `{"type":"missing","loc":["body","state"],"msg":"Field required","input":null}],"request_body":{}}`, 422},
		{"POST", "/flow_runs/" + id + "/set_state", `{"state":{}}`, wrong + `{"type":"missing","loc":["body","state","type"],"msg":"Field required","input":{}}],"request_body":{"state":{}}}`, 422},
		{"POST", "/flow_runs/" + id + "/set_state", `{"state":{"type":"BOGUS"}}`, wrong + `{"type":"enum","loc":["body","state","type"],"msg":"Input should be ` + types + `","input":"BOGUS","ctx":{"expected":"` + types + `"}}],"request_body":{"state":{"type":"BOGUS"}}}`, 422},
		{"POST", "/flow_runs/" + id + "/set_state", `{"state":{"type":"RUNNING","bogus":1}}`, wrong + `{"type":"extra_forbidden","loc":["body","state","bogus"],"msg":"Extra inputs are not permitted","input":1}],"request_body":{"state":{"type":"RUNNING","bogus":1}}}`, 422},
		{"POST", "/flow_runs/" + id + "/set_state", `{"state":{"type":"RUNNING"},"force":"x"}`, wrong + `{"type":"bool_parsing","loc":["body","force"],"msg":"Input should be a valid boolean, unable to interpret input","input":"x"}],"request_body":{"state":{"type":"RUNNING"},"force":"x"}}`, 422},
		{"POST", "/flow_runs/filter", `{"limit":500}`, `{"detail":"Invalid limit: must be less than or equal to 200."}`, 422},
		{"POST", "/flow_runs/filter", `{"limit":-1}`, `{"detail":"Invalid limit: must be greater than or equal to 0."}`, 422},
		{"POST", "/flow_runs/filter", `{"offset":-1}`, wrong + `{"type":"greater_than_equal","loc":["body","offset"],"msg":"Input should be greater than or equal to 0","input":-1,"ctx":{"ge":0}}],"request_body":{"offset":-1}}`, 422},
		{"POST", "/flow_runs/filter", `{"offset":1e400}`, notFinite + `["body","offset"],"msg":"Input should be a finite number","input":1e400}],"request_body":{"offset":1e400}}`, 422},
		{"POST", "/flow_runs/filter", `{"limit":-1e400}`, notFinite + `["body","limit"],"msg":"Input should be a finite number","input":-1e400}],"request_body":{"limit":-1e400}}`, 422},
		{"POST", "/flow_runs/filter", `{"offset":` + digits + `}`, notFinite + `["body","offset"],"msg":"Input should be a finite number","input":` + digits + `}],"request_body":{"offset":` + digits + `}}`, 422},
		{"POST", "/flow_runs/filter", `{"flow_runs":{"bogus":1}}`, wrong + `{"type":"extra_forbidden","loc":["body","flow_runs","bogus"],"msg":"Extra inputs are not permitted","input":1}],"request_body":{"flow_runs":{"bogus":1}}}`, 422},
		{"POST", "/flow_runs/filter", `{"flow_runs":{"state":{"type":{"any_":["NOPE"]}}}}`, wrong + `{"type":"enum","loc":["body","flow_runs","state","type","any_",0],"msg":"Input should be ` + types + `","input":"NOPE","ctx":{"expected":"` + types + `"}}],"request_body":{"flow_runs":{"state":{"type":{"any_":["NOPE"]}}}}}`, 422},
		{"POST", "/flow_runs/paginate", `{"limit":1,"page":0}`, wrong + `{"type":"greater_than_equal","loc":["body","page"],"msg":"Input should be greater than or equal to 1","input":0,"ctx":{"ge":1}}],"request_body":{"limit":1,"page":0}}`, 422},
		{"POST", "/flow_runs/paginate", `{"limit":200,"page":999999999999999999}`, tooFar, 422},
		{"POST", "/flow_runs/filter", `{"limit":1,"offset":50001}`, tooFar, 422},
		{"POST", "/flow_runs/filter", `{"limit":1,"offset":50000}`, `[]`, 200},
		{"POST", "/flow_runs/filter", `{"task_runs":{"id":{"any_":[]}}}`, `{"detail":"flow runs cannot be narrowed by task_runs here: use flows, flow_runs and deployments"}`, 501},
		{"POST", "/flow_runs/", `{}`, wrong + `{"type":"missing","loc":["body","flow_id"],"msg":"Field required","input":{}}],"request_body":{}}`, 422},
		{"POST", "/flow_runs/", `{"flow_id":"` + noID + `"}`, `{"detail":"Data integrity conflict. This usually means a unique or foreign key constraint was violated. See server logs for details."}`, 409},
		{"POST", "/flows/", `{"name":"a/b"}`, wrong + `{"type":"string_pattern_mismatch","loc":["body","name"],"msg":"String should match pattern '^[^/%&><]+$'","input":"a/b","ctx":{"pattern":"^[^/%&><]+$"}}],"request_body":{"name":"a/b"}}`, 422},
		{"POST", "/flows/", `{"nam":"x"}`, wrong + `{"type":"missing","loc":["body","name"],"msg":"Field required","input":{"nam":"x"}},{"type":"extra_forbidden","loc":["body","nam"],"msg":"Extra inputs are not permitted","input":"x"}],"request_body":{"nam":"x"}}`, 422},
		{"GET", "/flows/" + noID, "", `{"detail":"Flow not found"}`, 404},
		{"GET", "/flows/nope", "", `{"detail":"Not Found"}`, 404},
		{"GET", "/deployments/" + noID, "", `{"detail":"Deployment not found"}`, 404},
		{"GET", "/deployments/name/work/other", "", `{"detail":"Deployment not found"}`, 404},
		{"POST", "/deployments/" + noID + "/create_flow_run", `{}`, `{"detail":"Deployment not found"}`, 404},
		{"GET", "/flow_run_states/", "", wrong + `{"type":"missing","loc":["query","flow_run_id"],"msg":"Field required","input":null}],"request_body":null}`, 422},
		{"POST", "/flow_runs/" + noID + "/input", `{"key":"k","value":"v"}`, `{"detail":"Flow run not found"}`, 404},
		{"POST", "/flow_runs/" + id + "/input", `{"key":"x"}`, wrong + `{"type":"missing","loc":["body","value"],"msg":"Field required","input":null}],"request_body":{"key":"x"}}`, 422},
		{"GET", "/flow_runs/" + id + "/input/none", "", `{"detail":"Flow run input not found"}`, 404},
		{"GET", "/flow_runs/" + noID + "/input/none", "", `{"detail":"Flow run input not found"}`, 404},
		{"DELETE", "/flow_runs/" + id + "/input/none", "", `{"detail":"Flow run input not found"}`, 404},
		{"POST", "/flow_runs/" + noID + "/input/filter", `{"prefix":"p"}`, `[]`, 200},
		{"PATCH", "/flow_runs/" + noID, `{"name":"new"}`, `{"detail":"Flow run not found"}`, 404},
		{"PATCH", "/flow_runs/" + id, `{"parameters":{"a":1}}`, `{"detail":"parameters do not change: rerun the execution with another input, POST /v1/executions/{id}/rerun"}`, 501},
		{"POST", "/logs/", `[{"name":"n"}]`, wrong + `{"type":"missing","loc":["body",0,"level"],"msg":"Field required","input":{"name":"n"}},{"type":"missing","loc":["body",0,"message"],"msg":"Field required","input":{"name":"n"}},{"type":"missing","loc":["body",0,"timestamp"],"msg":"Field required","input":{"name":"n"}}],"request_body":[{"name":"n"}]}`, 422},
		{"DELETE", "/flow_runs/" + id, "", `{"detail":"execution ` + id + ` is running; it can be removed when it has ended: cancel it first"}`, 409},
		{"DELETE", "/flow_runs/" + noID, "", `{"detail":"Flow run not found"}`, 404},
		{"POST", "/flow_runs/lateness", "{}", `{"detail":"nothing is late here: an execution that waits says why"}`, 501},
	} {
		r.ask(c.method, c.path, c.body).is(c.code, c.want)
	}
	r.ask("GET", "/flow_runs/"+id, "", "X-Prefect-Api-Version", "0.7.0").is(400, `{"detail":"The request specified API version 0.7.0 but this server requires version 0.8.0 or higher."}`)
	r.ask("GET", "/flow_runs/"+id, "", "X-Prefect-Api-Version", "x").is(400, `{"detail":"Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but received x"}`)
	r.ask("GET", "/flow_runs/"+id+"/x", "", "X-Prefect-Api-Version", "0.8.4")
}

func TestService(t *testing.T) {
	r := newRig(t)
	r.get("/health").is(200, `true`)
	r.get("/ready").is(200, `{"message":"OK"}`)
	r.get("/hello").is(200, `"👋"`)
	r.get("/version").is(200, `"0.8.4"`)
	r.get("/admin/version").is(200, `"3.9.1"`)
}

func TestFlowsAndDeployments(t *testing.T) {
	r := newRig(t)
	made := r.post("/flows/", `{"name":"My Flow","tags":["x"]}`)
	made.is(201, `{"id":"<id>","created":"<time>","updated":"<time>","name":"My Flow","tags":[],"labels":{}}`)
	r.post("/flows/", `{"name":"My Flow"}`).is(200, masked(made.text))
	require.Equal(t, made.text, r.get("/flows/"+made.json()["id"].(string)).text)
	require.Len(t, r.post("/flows/filter", `{}`).list(), len(definitions)+1)
	require.Len(t, r.post("/flows/filter", `{"flows":{"name":{"like_":"my"}}}`).list(), 1)
	own := r.post("/flow_runs/", `{"flow_id":"`+made.json()["id"].(string)+`"}`).json()["id"]
	require.Equal(t, own, r.post("/flow_runs/filter", `{"flows":{"name":{"any_":["My Flow"]}}}`).list()[0]["id"], "by the name that Prefect knows")
	require.Equal(t, own, r.post("/flow_runs/filter", `{"flows":{"name":{"like_":"y fl"}}}`).list()[0]["id"])
	r.post("/flows/count", `{"flows":{"deployment":{"is_null_":true}}}`).is(200, `1`)

	d := r.get("/deployments/name/expenses/redrive")
	require.Equal(t, 200, d.code)
	require.Equal(t, []any{"redrive", "Pays expenses", r.flowID("expenses"), "1", true}, []any{d.json()["name"], d.json()["description"], d.json()["flow_id"], d.json()["version"], d.json()["enforce_parameter_schema"]})
	require.Contains(t, d.json()["parameter_openapi_schema"].(map[string]any)["properties"], "n")
	id := d.json()["id"].(string)
	require.Equal(t, d.text, r.get("/deployments/"+id).text)
	require.Len(t, r.post("/deployments/filter", `{"deployments":{"id":{"any_":["`+id+`"]}}}`).list(), 1)
	require.Len(t, r.post("/deployments/filter", `{}`).list(), len(definitions), "what Prefect runs has none")

	a := r.post("/deployments/"+id+"/create_flow_run", `{"parameters":{"n":3},"name":"third","tags":["t"],"idempotency_key":"once","state":{"type":"SCHEDULED"}}`)
	require.Equal(t, 201, a.code)
	w := a.json()
	require.Equal(t, []any{"third", []any{"t"}, id, "PAUSED", map[string]any{"n": 3.0}, "once"}, []any{w["name"], w["tags"], w["deployment_id"], w["state_type"], w["parameters"], w["idempotency_key"]})
	again := r.post("/deployments/"+id+"/create_flow_run", `{"parameters":{"n":3},"name":"third","tags":["t"],"idempotency_key":"once","state":{"type":"SCHEDULED"}}`)
	require.Equal(t, []any{200, w["id"]}, []any{again.code, again.json()["id"]})
	bad := r.post("/deployments/"+id+"/create_flow_run", `{"parameters":{"n":"x"}}`)
	require.Equal(t, 422, bad.code)
	require.Contains(t, bad.json()["detail"], "input.n")
	require.Equal(t, 422, r.post("/deployments/"+id+"/create_flow_run", `{"state":{"type":"RUNNING"}}`).code)
	later := r.post("/deployments/"+id+"/create_flow_run", `{"state":{"type":"SCHEDULED","state_details":{"scheduled_time":"2090-01-01T00:00:00Z"}}}`).json()
	require.Equal(t, []any{"SCHEDULED", "2090-01-01T00:00:00Z"}, []any{later["state_type"], later["next_scheduled_start_time"]})
}

func TestInputs(t *testing.T) {
	r := newRig(t)
	id := r.start("expenses", `{"n":1}`)
	r.post("/flow_runs/"+id+"/input", `{"key":"note-1","value":"{\"a\": \"<é>\"}","sender":"prefect.flow-run.x"}`).is(201, `null`)
	r.post("/flow_runs/"+id+"/input", `{"key":"note-1","value":"other"}`).is(409, `{"detail":"A flow run input with this key already exists."}`)
	r.post("/flow_runs/"+id+"/input", `{"key":"paused-decide-1-schema","value":"{}"}`).is(409, `{"detail":"A flow run input with this key already exists."}`)
	require.Equal(t, 422, r.post("/flow_runs/"+id+"/input", `{"key":"BAD KEY","value":"x"}`).code)
	require.Equal(t, reply{200, "text/plain; charset=utf-8", `{"a": "<é>"}`, t}, r.get("/flow_runs/"+id+"/input/note-1"))
	r.post("/flow_runs/"+id+"/input/filter", `{"prefix":"note"}`).is(200, `[{"id":"<id>","created":"<time>","updated":"<time>","flow_run_id":"<id>","key":"note-1","value":"{\"a\": \"<é>\"}","sender":"prefect.flow-run.x"}]`)
	require.Len(t, r.post("/flow_runs/"+id+"/input/filter", `{"prefix":"","limit":10}`).list(), 3)
	require.Len(t, r.post("/flow_runs/"+id+"/input/filter", `{"prefix":"","limit":10,"exclude_keys":["note-1"]}`).list(), 2)
	gone := r.ask("DELETE", "/flow_runs/"+id+"/input/note-1", "")
	require.Equal(t, []any{204, ""}, []any{gone.code, gone.text})
	require.Equal(t, 409, r.ask("DELETE", "/flow_runs/"+id+"/input/paused-decide-1-schema", "").code)
}

// TestWhatAFlowAsksBeside: what a flow with tags, variables and a flow inside it needs is answered; the rest says why it is not there.
func TestWhatAFlowAsksBeside(t *testing.T) {
	r := newRig(t)
	r.post("/v2/concurrency_limits/increment", `{"names":["tag:db"],"slots":1}`).is(200, `[]`)
	r.post("/v2/concurrency_limits/increment-with-lease", `{"names":["tag:db"],"slots":1,"mode":"concurrency","lease_duration":60,"holder":{"type":"task_run","id":"`+noID+`"}}`).
		is(200, `{"lease_id":"<id>","limits":[]}`)
	require.Equal(t, 422, r.post("/v2/concurrency_limits/increment", `{"names":["tag:db"],"slots":0}`).code)
	require.Equal(t, 422, r.post("/v2/concurrency_limits/increment-with-lease", `{"slots":1}`).code)
	r.post("/v2/concurrency_limits/decrement", `{"names":["tag:db"],"slots":1,"occupancy_seconds":0.5,"create_if_missing":null}`).is(200, `[]`)
	for path, bodies := range map[string][2]string{
		"/v2/concurrency_limits/decrement-with-lease":      {`{"lease_id":"` + noID + `"}`, `{"lease_id":"x"}`},
		"/v2/concurrency_limits/leases/" + noID + "/renew": {`{"lease_duration":300}`, `{"lease_duration":1}`},
	} {
		done := r.post(path, bodies[0])
		require.Equal(t, []any{204, ""}, []any{done.code, done.text}, path)
		require.Equal(t, 422, r.post(path, bodies[1]).code, path)
	}
	require.Equal(t, 422, r.post("/v2/concurrency_limits/leases/x/renew", `{"lease_duration":300}`).code)
	for _, path := range []string{"/concurrency_limits/increment", "/concurrency_limits/decrement"} { // clients before 3.5
		r.post(path, `{"names":["db"],"task_run_id":"`+noID+`","occupancy_seconds":1.5}`).is(200, `[]`)
		require.Equal(t, 422, r.post(path, `{"names":["db"]}`).code)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		r.ask(method, "/variables/name/any", `{"value":1}`).is(404, `{"detail":"Variable not found."}`)
	}
	for _, of := range []string{"automations", "artifacts", "artifacts/latest", "block_documents", "variables", "work_pools", "concurrency_limits", "v2/concurrency_limits"} {
		r.post("/"+of+"/filter", `{"limit":200,"offset":0}`).is(200, `[]`)
	}
	r.ask("DELETE", "/block_types/slug/s3", "").is(501, `{"detail":"there are no blocks here"}`)
	r.ask("DELETE", "/concurrency_limits/increment", "").is(501, `{"detail":"there are no limits by name here: give the workflow one with concurrency"}`)

	outer := r.run("")
	body := `{"flow_run_id":"` + outer + `","task_key":"inner","dynamic_key":"0","tags":["t"],"empirical_policy":{"retries":0},"task_inputs":{},"state":{"type":"PENDING"}}`
	one := r.post("/task_runs/", body)
	require.Equal(t, 201, one.code)
	w := one.json()
	require.Equal(t, []any{"inner-0", outer, "inner", "0", []any{"t"}, "PENDING", "Pending", map[string]any{"retries": 0.0}},
		[]any{w["name"], w["flow_run_id"], w["task_key"], w["dynamic_key"], w["tags"], w["state_type"], w["state_name"], w["empirical_policy"]})
	require.Equal(t, []any{w["id"], outer}, []any{w["state"].(map[string]any)["state_details"].(map[string]any)["task_run_id"], w["state"].(map[string]any)["state_details"].(map[string]any)["flow_run_id"]})
	require.Equal(t, w["id"], r.post("/task_runs/", body).json()["id"], "in its next go it is the same")
	require.NotEqual(t, w["id"], r.post("/task_runs/", strings.Replace(body, `"0"`, `"1"`, 1)).json()["id"])
	require.Equal(t, noID, r.post("/task_runs/", `{"id":"`+noID+`","task_key":"k","dynamic_key":"d"}`).json()["id"])
	require.Equal(t, 422, r.post("/task_runs/", `{"task_key":"inner"}`).code)
	inner := r.run(`,"parent_task_run_id":"` + w["id"].(string) + `"`)
	found := r.post("/flow_runs/filter", `{"flow_runs":{"parent_task_run_id":{"any_":["`+w["id"].(string)+`"]}}}`).list()
	require.Len(t, found, 1)
	require.Equal(t, inner, found[0]["id"])

	for path, why := range map[string]string{
		"/task_runs/filter": "task runs are not kept: read the tasks of an execution with GET /v1/executions/{id}/tasks",
		"/artifacts/":       "artifacts are not kept: what is to be seen later belongs into the result of the flow",
		"/work_pools/":      "there are no work pools here: Redrive's own workers take what is to run", "/block_types/slug/s3": "there are no blocks here",
		"/deployments/" + noID + "/create_flow_run/bulk": "flow runs are started one by one: POST /deployments/{id}/create_flow_run",
	} {
		r.post(path, `{}`).is(501, `{"detail":"`+why+`"}`)
	}
	for _, path := range []string{"/flow_runs/filter_minimal", "/ui/flow_runs/history", "/ui/flows/count-deployments"} {
		r.post(path, `{}`).is(404, `{"detail":"Not Found"}`)
	}
	r.get("/events/in").is(501, `{"detail":"events are not kept: follow an execution with GET /v1/executions/{id}/events"}`)
}

func TestPatch(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	r.set(id, `{"type":"PAUSED"}`)
	was := r.get("/flow_runs/" + id).json()["state"]
	a := r.ask("PATCH", "/flow_runs/"+id, `{"name":"new","tags":["a"],"flow_version":"v9","parameters":{}}`)
	require.Equal(t, []any{204, ""}, []any{a.code, a.text})
	w := r.get("/flow_runs/" + id).json()
	require.Equal(t, []any{"new", []any{"a"}, "v9", was}, []any{w["name"], w["tags"], w["flow_version"], w["state"]}, "the state stays as it was")
	require.Equal(t, 201, r.resume(id, ``).code)
}

func TestLogs(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.post("/logs/", `[{"name":"n","level":20,"message":"one, \"two\"","timestamp":"2026-01-01T00:00:00Z","flow_run_id":"`+id+`","task_run_id":null},
		{"name":"n","level":50,"message":"bad","timestamp":"`+time.Now().UTC().Format(time.RFC3339Nano)+`","flow_run_id":"`+id+`"},
		{"name":"n","level":20,"message":"lost","timestamp":"2026-01-01T00:00:00Z","flow_run_id":"`+noID+`"},{"name":"n","level":20,"message":"of none","timestamp":"2026-01-01T00:00:00Z"}]`).is(201, `null`)
	line := `{"id":"<id>","created":"<time>","updated":"<time>","name":"prefect.flow_runs","level":20,"message":"one, \"two\"","timestamp":"<time>","flow_run_id":"<id>","task_run_id":null}`
	a := r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+id+`"]}},"sort":"TIMESTAMP_ASC"}`)
	require.Len(t, a.list(), 2)
	r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+id+`"]}},"limit":1}`).is(200, `[`+line+`]`)
	r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+id+`"]},"level":{"le_":20}}}`).is(200, `[`+line+`]`)
	require.Len(t, r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+id+`"]},"level":{"ge_":30}},"sort":"TIMESTAMP_DESC"}`).list(), 1)
	require.Empty(t, r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+noID+`"]}}}`).list())
	require.Equal(t, 501, r.post("/logs/filter", `{}`).code)
	csv := r.get("/flow_runs/" + id + "/logs/download")
	require.Equal(t, "text/csv; charset=utf-8", csv.kind)
	require.Contains(t, csv.text, "timestamp,level,flow_run_id,task_run_id,message\r\n")
	require.Contains(t, csv.text, `,20,`+id+`,,"one, ""two"""`)
	require.Equal(t, 409, r.post("/logs/", `[{"name":"n","level":20,"message":"m","timestamp":"2026-01-01T00:00:00Z","flow_run_id":"`+r.start("work", `{}`)+`"}]`).code)
}

func TestBulk(t *testing.T) {
	r := newRig(t)
	one, two := r.start("work", `{}`), r.start("expenses", `{"n":1}`)
	results := r.post("/flow_runs/bulk_set_state", `{"state":{"type":"CANCELLING"},"flow_runs":{"id":{"any_":["`+one+`","`+two+`"]}}}`).json()["results"].([]any)
	require.Len(t, results, 2)
	for _, o := range results {
		require.Equal(t, "ACCEPT", o.(map[string]any)["status"])
	}
	require.Equal(t, workflow.ExecutionCanceled, r.status(two))
	require.Equal(t, 422, r.post("/flow_runs/bulk_set_state", `{"state":{"type":"CANCELLED"},"limit":60}`).code)
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	ended, live, own := r.start("work", `{}`), r.start("work", `{}`), r.run("")
	for _, id := range []string{ended, own} {
		r.set(id, `{"type":"CANCELLED"}`)
	}
	gone := r.ask("DELETE", "/flow_runs/"+ended, "")
	require.Equal(t, []any{204, ""}, []any{gone.code, gone.text})
	r.get("/flow_runs/"+ended).is(404, `{"detail":"Flow run not found"}`)
	require.Equal(t, 404, r.ask("DELETE", "/flow_runs/"+ended, "").code)
	require.Equal(t, []any{own}, r.post("/flow_runs/bulk_delete", `{"flow_runs":{"id":{"any_":["`+own+`","`+live+`","`+noID+`"]}}}`).json()["deleted"])
	require.Equal(t, 200, r.get("/flow_runs/"+live).code)
	require.Equal(t, 404, r.get("/flow_runs/"+own).code)
	r.post("/flow_runs/bulk_delete", `{"flow_runs":{"name":{"any_":["nobody"]}}}`).is(200, `{"deleted":[]}`)
}

func TestKeysAreAskedForAndLimited(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.Open = false })
	id := r.start("expenses", `{"n":1}`)
	r.get("/health").is(200, `true`)
	r.get("/flow_runs/"+id).is(401, `{"exception_message":"Unauthorized"}`)
	_, _, err := r.engine.PutProject(t.Context(), engine.Project{Name: "elsewhere"})
	require.NoError(t, err)
	for _, c := range []struct {
		key  engine.Key
		read int
		set  int
	}{
		{engine.Key{Name: "r", Scope: engine.ScopeRead}, 200, 403}, {engine.Key{Name: "w", Scope: engine.ScopeWrite}, 200, 201},
		{engine.Key{Name: "x", Scope: engine.ScopeWrite, Projects: []string{"elsewhere"}}, 404, 404},
	} {
		_, secret, err := r.engine.CreateKey(t.Context(), c.key)
		require.NoError(t, err)
		r.key = secret
		require.Equal(t, c.read, r.get("/flow_runs/"+id).code, c.key.Name)
		require.Equal(t, c.set, r.set(id, `{"type":"CANCELLING"}`).code, c.key.Name)
	}
}

// TestEveryOperationIsDocumented: each row of the parity table in the package comment is a row of docs/prefect.md, and a route.
func TestEveryOperationIsDocumented(t *testing.T) {
	source, err := os.ReadFile("prefect.go")
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "prefect.md"))
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^//\t(GET|POST|PATCH|DELETE) +(/[^ ,]+)[^ ]* +(yes|no) `).FindAllStringSubmatch(string(source), -1)
	require.Len(t, rows, strings.Count(string(source), "\n//\tGET ")+strings.Count(string(source), "\n//\tPOST ")+strings.Count(string(source), "\n//\tPATCH ")+strings.Count(string(source), "\n//\tDELETE ")-1)
	r := newRig(t)
	for _, row := range rows {
		require.Contains(t, string(page), "`"+row[1]+" "+row[2]+"`", "docs/prefect.md has no row of it")
		path := strings.NewReplacer("{id}", noID, "{key}", "k", "{name}", "n", "{flow}", "f").Replace(row[2])
		a := r.ask(row[1], path, "")
		require.NotEqual(t, `{"detail":"Method Not Allowed"}`, a.text, row[0])
		require.NotEqual(t, `{"detail":"Not Found"}`, a.text, row[0])
		if row[3] == "no" {
			require.Equal(t, 501, a.code, row[0])
		}
	}
}

func FuzzBodies(f *testing.F) {
	r := newRig(f)
	r.document = nil
	id := r.start("expenses", `{"n":1}`)
	paths := []string{
		"/flow_runs/" + id + "/resume", "/flow_runs/" + id + "/set_state", "/flow_runs/filter", "/flow_runs/paginate", "/flow_runs/history", "/flow_runs/",
		"/flow_runs/" + id + "/input", "/flow_runs/" + id + "/input/filter", "/flows/", "/flows/filter", "/deployments/filter", "/logs/", "/logs/filter", "/flow_runs/bulk_set_state",
	}
	for i, body := range []string{`{"run_input":{"approved":5}}`, `{"state":{"type":"PENDING","state_details":{"pause_timeout":"x"}}}`, `{"limit":1e9}`, `[]`, `{"key":"a","value":"b"}`, `[{"level":1}]`, `{"flow_runs":{"state":{"type":{"any_":[null]}}}}`, `{"history_start":"2020-01-01","history_end":"9999-12-31","history_interval_seconds":1e300}`, `{"a":{"__prefect_kind":[]}}`} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		req := httptest.NewRequest("POST", "http://127.0.0.1:8080/api"+paths[int(which)%len(paths)], strings.NewReader(body))
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		if w.Code >= 500 && w.Code != 501 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
