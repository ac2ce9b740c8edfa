package prefect_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const (
	keys       = `{"schema":"paused-1-schema","response":"paused-1-response","description":"paused-1-description"}`
	gateKeys   = `{"schema":"paused-decide-1-schema","response":"paused-decide-1-response","description":"paused-decide-1-description"}`
	notPaused  = `{"state":null,"status":"ABORT","details":{"type":"abort_details","reason":"Cannot resume a flow run that is not paused."}}`
	pauseInput = `{"type":"PAUSED","state_details":{"pause_key":"1","run_input_keyset":` + keys + `}}`
)

var (
	pausedForInput = stateJSON("PAUSED", "Paused", "", "pause_key", `"1"`, "run_input_keyset", sorted(keys))
	pausedAtGate   = stateJSON("PAUSED", "Paused", "pay 5?", "pause_timeout", `"<time>"`, "pause_key", `"decide-1"`, "run_input_keyset", sorted(gateKeys))
	resumed        = outcomeJSON(stateJSON("RUNNING", "Running", ""), "ACCEPT", accepted)
)

// sorted is an object as Go writes its keys.
func sorted(text string) string {
	var v map[string]string
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// The rows of the table of POST /flow_runs/{id}/resume, in their order.

func TestResume1UnknownID(t *testing.T) {
	r := newRig(t)
	r.resume(noID, `{}`).is(404, `{"exception_message":"Flow run with id `+noID+` not found"}`)
	for _, id := range []string{"nope", "17", noID + "0"} {
		r.resume(id, `{}`).is(404, `{"detail":"Not Found"}`)
	}
}

func TestResume2NotPaused(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	for _, body := range []string{``, `{}`, `null`, `{"run_input":null}`, `{"run_input":{"a":1}}`, `{"x":1}`} {
		r.resume(id, body).is(200, notPaused)
	}
	_, err := r.engine.Cancel(t.Context(), id, engine.Request{})
	require.NoError(t, err)
	r.resume(id, ``).is(200, notPaused)
	r.resume(r.run(""), ``).is(200, notPaused)
}

func TestResume3HydrationFails(t *testing.T) {
	r := newRig(t)
	id := r.start("expenses", `{"n":5}`)
	for input, said := range map[string]string{
		`{"approved":{"__prefect_kind":"json","value":"{nope"}}`:                   "Invalid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
		`{"approved":{"__prefect_kind":"none"}}`:                                   "Missing 'value' key in __prefect object",
		`{"approved":{"__prefect_kind":"workspace_variable","variable_name":"x"}}`: "Variable 'x' not found in workspace.",
	} {
		r.resume(id, `{"run_input":`+input+`}`).is(200, outcomeJSON(pausedAtGate, "REJECT", because("abort", "Error hydrating run input: "+said)))
	}
	require.Equal(t, []any{"PAUSED", "Paused", "pay 5?"}, r.stateOf(id))
}

func TestResume4And5NoSchemaOrNoJSON(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, pauseInput).is(201, outcomeJSON(pausedForInput, "ACCEPT", accepted))
	r.resume(id, `{}`).is(200, outcomeJSON(pausedForInput, "REJECT", because("abort", "Run input schema not found.")))
	r.post("/flow_runs/"+id+"/input", `{"key":"paused-1-schema","value":"nope"}`).is(201, `null`)
	r.resume(id, `{}`).is(200, outcomeJSON(pausedForInput, "REJECT", because("abort", "Run input schema is not valid JSON.")))
}

func TestResume6InputDoesNotFit(t *testing.T) {
	r := newRig(t)
	id := r.start("expenses", `{"n":5}`)
	for body, said := range map[string]string{
		``:   "Reason: Validation failed. Failure reason: 'approved' is a required property",
		`{}`: "Reason: Validation failed. Failure reason: 'approved' is a required property",
		`{"run_input":{"approved":"not a bool!"}}`: "Reason: Validation failed for field 'approved'. Failure reason: 'not a bool!' is not of type 'boolean'",
		`{"run_input":{"approved":true,"zz":1}}`:   "Reason: Validation failed. Failure reason: Additional properties are not allowed ('zz' was unexpected)",
		`{"run_input":{"approved":true,"note":5}}`: "Reason: Validation failed for field 'note'. Failure reason: 5 is not valid under any of the given schemas",
		`{"run_input":{"approved":{"a":[null]}}}`:  "Reason: Validation failed for field 'approved'. Failure reason: {'a': [None]} is not of type 'boolean'",
	} {
		r.resume(id, body).is(200, outcomeJSON(pausedAtGate, "REJECT", because("abort", said)))
	}
}

func TestResume7And8SchemaCannotBeUsed(t *testing.T) {
	r := newRig(t)
	for schema, said := range map[string]string{
		`{"$ref":"#"}`:      "Invalid schema: Unable to validate schema with circular references.",
		`{"type":"objekt"}`: "Invalid schema: ", // Prefect itself breaks here, with 500
		`{"properties":5}`:  "Invalid schema: ",
	} {
		id := r.run("")
		r.set(id, pauseInput)
		text, err := json.Marshal(schema)
		require.NoError(t, err)
		r.post("/flow_runs/"+id+"/input", `{"key":"paused-1-schema","value":`+string(text)+`}`).is(201, `null`)
		a := r.resume(id, `{}`)
		reason := a.json()["details"].(map[string]any)["reason"].(string)
		require.True(t, strings.HasPrefix(reason, said), reason)
		a.is(200, outcomeJSON(pausedForInput, "REJECT", because("abort", reason)))
	}
}

func TestResume9SuspendedWithoutADeployment(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	suspend := `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true}}`
	r.set(id, suspend).is(200, outcomeJSON(stateJSON("RUNNING", "Running", ""), "ABORT", because("abort", "Cannot suspend flows without a deployment.")))
	require.Equal(t, "ACCEPT", r.post("/flow_runs/"+id+"/set_state", `{"force":true,"state":`+suspend+`}`).json()["status"])
	suspended := stateJSON("PAUSED", "Suspended", "", "pause_reschedule", "true")
	r.resume(id, `{}`).is(200, outcomeJSON(suspended, "REJECT", because("reject", "Cannot reschedule a resuming flow run without a deployment.")))
}

func TestResume10PauseIsOver(t *testing.T) {
	r := newRig(t)
	over := outcomeJSON(stateJSON("FAILED", "Failed", "The flow was running and never resumed."), "REJECT",
		because("reject", "The flow run pause has timed out and can no longer resume."))
	for _, own := range []bool{true, false} {
		id := r.start("work", `{}`)
		if own {
			id = r.run("")
		}
		timeout := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		r.set(id, `{"type":"PAUSED","state_details":{"pause_timeout":"`+timeout+`"}}`).
			is(201, outcomeJSON(stateJSON("PAUSED", "Paused", "", "pause_timeout", `"<time>"`), "ACCEPT", accepted))
		r.offset += 2 * time.Hour
		r.resume(id, ``).is(201, over)
		require.Equal(t, []any{"FAILED", "Failed", "The flow was running and never resumed."}, r.stateOf(id))
		require.Equal(t, workflow.ExecutionFailed, r.status(id))
		r.resume(id, ``).is(200, notPaused)
	}
}

func TestResume10ComesAfterTheInput(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, `{"type":"PAUSED","state_details":{"pause_key":"1","pause_timeout":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`","run_input_keyset":`+keys+`}}`)
	r.post("/flow_runs/"+id+"/input", `{"key":"paused-1-schema","value":"{\"required\":[\"a\"]}"}`)
	r.offset += 2 * time.Hour
	require.Equal(t, "Reason: Validation failed. Failure reason: 'a' is a required property", r.resume(id, ``).json()["details"].(map[string]any)["reason"])
	require.Equal(t, []any{"PAUSED", "Paused", nil}, r.stateOf(id), "it stays paused")
	require.Equal(t, 201, r.resume(id, `{"run_input":{"a":1}}`).code)
	require.Equal(t, workflow.ExecutionFailed, r.status(id))
}

func TestResume11Suspended(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	r.set(id, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true,"pause_key":"1"}}`).
		is(201, outcomeJSON(stateJSON("PAUSED", "Suspended", "", "pause_reschedule", "true", "pause_key", `"1"`), "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionPaused, r.status(id))
	r.resume(id, `{}`).is(201, outcomeJSON(stateJSON("SCHEDULED", "Resuming", "", "scheduled_time", `"<time>"`), "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionRunning, r.status(id))
	require.Equal(t, []any{"RUNNING", "Running", nil}, r.stateOf(id), "Redrive's workers have it")
}

func TestResume12Blocking(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	r.set(id, `{"type":"PAUSED"}`).is(201, outcomeJSON(stateJSON("PAUSED", "Paused", ""), "ACCEPT", accepted))
	a := r.resume(id, `{"run_input":{"ignored":1}}`).is(201, resumed)
	require.Equal(t, a.json()["state"].(map[string]any)["id"], r.get("/flow_runs/" + id).json()["state_id"], "the state that was answered is the one that is read")

	natively := r.start("work", `{}`)
	_, err := r.engine.Pause(t.Context(), natively, engine.Request{Reason: "look at it"})
	require.NoError(t, err)
	require.Equal(t, []any{"PAUSED", "Paused", "look at it"}, r.stateOf(natively))
	r.resume(natively, ``).is(201, resumed)
	require.Equal(t, workflow.ExecutionRunning, r.status(natively))
}

func TestResumeAnswersAnApproval(t *testing.T) {
	r := newRig(t)
	id := r.start("expenses", `{"n":5}`)
	for key, want := range map[string]string{"description": "pay 5?", "schema": `{"type":"object","additionalProperties":false,"required":["approved"],"properties":{"approved":{"type":"boolean"},"note":{"type":"string"}}}`} {
		a := r.get("/flow_runs/" + id + "/input/paused-decide-1-" + key)
		require.Equal(t, []any{200, "text/plain; charset=utf-8"}, []any{a.code, a.kind})
		if key == "schema" {
			require.JSONEq(t, want, a.text)
		} else {
			require.Equal(t, want, a.text)
		}
	}
	r.resume(id, `{"run_input":{"approved":{"__prefect_kind":"json","value":"true"},"note":"fine"}}`).is(201, resumed)
	task, err := r.engine.Task(t.Context(), id, "decide")
	require.NoError(t, err)
	require.JSONEq(t, `{"approved":true,"note":"fine","answered_by":"prefect:anybody"}`, string(task.Output))
	r.resume(id, `{"run_input":{"approved":true}}`).is(200, notPaused)
	require.Equal(t, []any{"RUNNING", "Running", nil}, r.stateOf(id))

	open := r.start("free", `{}`)
	r.resume(open, `{"run_input":{"what":["ever",null]}}`).is(201, resumed)
	task, err = r.engine.Task(t.Context(), open, "Any_Body")
	require.NoError(t, err)
	require.JSONEq(t, `{"what":["ever",null],"answered_by":"prefect:anybody"}`, string(task.Output))
	require.Equal(t, workflow.ExecutionSucceeded, r.status(open))
}

func TestResumeStoresTheInput(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, pauseInput)
	r.post("/flow_runs/"+id+"/input", `{"key":"paused-1-schema","value":"{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"}}}"}`)
	r.resume(id, `{"run_input":{"ok":true,"more":"<é>"}}`).is(201, resumed)
	a := r.get("/flow_runs/" + id + "/input/paused-1-response")
	require.Equal(t, reply{200, "text/plain; charset=utf-8", `{"ok":true,"more":"<é>"}`, t}, a)

	// Without an input there is none to store, and what was answered in a former go is gone.
	require.Equal(t, "REJECT", r.set(id, pauseInput).json()["status"], "its key fired already")
	again := r.run("")
	r.set(again, pauseInput)
	r.post("/flow_runs/"+again+"/input", `{"key":"paused-1-schema","value":"{}"}`)
	r.resume(again, ``).is(201, resumed)
	r.get("/flow_runs/"+again+"/input/paused-1-response").is(404, `{"detail":"Flow run input not found"}`)
}

func TestOfParallelResumesOneIsAccepted(t *testing.T) {
	r := newRig(t)
	paused := r.start("work", `{}`)
	_, err := r.engine.Pause(t.Context(), paused, engine.Request{})
	require.NoError(t, err)
	own := r.run("")
	r.set(own, pauseInput)
	r.post("/flow_runs/"+own+"/input", `{"key":"paused-1-schema","value":"{}"}`)
	for _, id := range []string{paused, own, r.start("expenses", `{"n":1}`)} {
		var wg sync.WaitGroup
		answers := make([]reply, 16)
		for i := range answers {
			wg.Go(func() { answers[i] = r.resume(id, `{"run_input":{"approved":true}}`) })
		}
		wg.Wait()
		n := 0
		for _, a := range answers {
			if a.code == 201 {
				n++
				a.is(201, resumed)
				continue
			}
			a.is(200, notPaused)
		}
		require.Equal(t, 1, n)
	}
	require.JSONEq(t, `{"approved":true}`, r.get("/flow_runs/"+own+"/input/paused-1-response").text)
}

func TestMalformedResumes(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	for body, want := range map[string]string{
		`{"run_input":5}`:  `{"exception_message":"Invalid request received.","exception_detail":[{"type":"dict_type","loc":["body","run_input"],"msg":"Input should be a valid dictionary","input":5}],"request_body":{"run_input":5}}`,
		`{"run_input":[]}`: `{"exception_message":"Invalid request received.","exception_detail":[{"type":"dict_type","loc":["body","run_input"],"msg":"Input should be a valid dictionary","input":[]}],"request_body":{"run_input":[]}}`,
		`{`:                `{"exception_message":"Invalid request received.","exception_detail":[{"type":"json_invalid","loc":["body",1],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting property name enclosed in double quotes"}}],"request_body":"{"}`,
	} {
		r.resume(id, body).is(422, want)
	}
	r.resume(id, `[]`).is(422, `{"exception_message":"Invalid request received.","exception_detail":[{"type":"missing","loc":["body","run_input"],"msg":"Field required","input":null}],"request_body":[]}`)
	r.get("/flow_runs/"+id+"/resume").is(405, `{"detail":"Method Not Allowed"}`)
}
