package prefect_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

var runningState = stateJSON("RUNNING", "Running", "")

// The rows of Prefect's table of transitions, in their order.

func TestPauseRules(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, `{"type":"PAUSED","state_details":{"pause_key":"k"}}`).is(201, outcomeJSON(stateJSON("PAUSED", "Paused", "", "pause_key", `"k"`), "ACCEPT", accepted))
	r.set(id, `{"type":"PAUSED"}`).is(200, outcomeJSON(stateJSON("PAUSED", "Paused", "", "pause_key", `"k"`), "REJECT", because("reject", "Cannot pause flows that are not currently running.")))
	r.set(id, `{"type":"PAUSED","name":"Suspended"}`).is(200, outcomeJSON(stateJSON("PAUSED", "Paused", "", "pause_key", `"k"`), "REJECT", because("reject", "Cannot suspend flows that are not currently running.")))
	r.resume(id, ``).is(201, resumed)
	r.set(id, `{"type":"PAUSED","state_details":{"pause_key":"k"}}`).is(200, outcomeJSON(runningState, "REJECT", because("reject", "This pause has already fired.")))
	r.set(id, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_key":"k"}}`).is(200, outcomeJSON(runningState, "REJECT", because("reject", "This suspend has already fired.")))
	r.set(id, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true}}`).
		is(200, outcomeJSON(runningState, "ABORT", because("abort", "Cannot suspend flows without a deployment.")))
	sub := r.run(`,"parent_task_run_id":"` + noID + `"`)
	r.set(sub, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true}}`).is(200, outcomeJSON(runningState, "ABORT", because("abort", "Cannot suspend subflows.")))
	pending := r.post("/flow_runs/", `{"flow_id":"`+r.flowID("own")+`"}`).json()["id"].(string)
	r.set(pending, `{"type":"PAUSED"}`).is(200, outcomeJSON(stateJSON("PENDING", "Pending", ""), "REJECT", because("reject", "Cannot pause flows that are not currently running.")))
	require.Equal(t, []any{"k"}, r.get("/flow_runs/" + id).json()["empirical_policy"].(map[string]any)["pause_keys"])
}

func (r *rig) flowID(name string) string {
	r.t.Helper()
	return r.get("/flows/name/" + name).json()["id"].(string)
}

func TestTerminalRules(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, `{"type":"COMPLETED","message":"fine"}`).is(201, outcomeJSON(stateJSON("COMPLETED", "Completed", "fine"), "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionSucceeded, r.status(id))
	done := stateJSON("COMPLETED", "Completed", "fine")
	for _, kind := range []string{"PAUSED", "CANCELLING", "CRASHED"} {
		r.set(id, `{"type":"`+kind+`"}`).is(200, outcomeJSON(done, "ABORT", because("abort", "Run is already in terminal state COMPLETED.")))
	}
	r.set(id, `{"type":"SCHEDULED"}`).is(200, outcomeJSON(done, "ABORT", because("abort", "Cannot reschedule a run without an associated deployment.")))

	stored := r.run("")
	r.set(stored, `{"type":"COMPLETED","data":{"storage_key":"x"}}`)
	require.JSONEq(t, `{"storage_key":"x"}`, mustJSON(t, r.get("/flow_runs/" + stored).json()["state"].(map[string]any)["data"]))
	a := r.set(stored, `{"type":"RUNNING"}`)
	require.Equal(t, []any{200, "REJECT", map[string]any{"type": "reject_details", "reason": "Run is already COMPLETED."}}, []any{a.code, a.json()["status"], a.json()["details"]})
	a = r.set(stored, `{"type":"COMPLETED"}`)
	require.Equal(t, "Cannot overwrite a COMPLETED state that carries persisted result data with one that does not.", a.json()["details"].(map[string]any)["reason"])

	failed := r.run("")
	r.set(failed, `{"type":"FAILED","message":"boom"}`).is(201, outcomeJSON(stateJSON("FAILED", "Failed", "boom"), "ACCEPT", accepted))
	x, err := r.engine.Execution(t.Context(), failed)
	require.NoError(t, err)
	require.Equal(t, []string{"prefect_failed", "boom"}, []string{x.Error.Code, x.Error.Message})
	r.set(failed, `{"type":"RUNNING"}`).is(201, resumed)
	require.Equal(t, workflow.ExecutionRunning, r.status(failed), "it goes on in place")
	require.InDelta(t, 2, r.get("/flow_runs/" + failed).json()["run_count"], 0)
	r.set(failed, `{"type":"CRASHED"}`).is(201, outcomeJSON(stateJSON("CRASHED", "Crashed", ""), "ACCEPT", accepted))
	require.Equal(t, []any{"CRASHED", "Crashed", nil}, r.stateOf(failed))
	r.set(failed, `{"type":"COMPLETED"}`).is(201, outcomeJSON(stateJSON("COMPLETED", "Completed", ""), "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionSucceeded, r.status(failed))
}

func TestPausedRules(t *testing.T) {
	r := newRig(t)
	for kind, want := range map[string]workflow.ExecutionStatus{
		"COMPLETED": workflow.ExecutionSucceeded, "FAILED": workflow.ExecutionFailed, "CRASHED": workflow.ExecutionFailed, "CANCELLED": workflow.ExecutionCanceled,
		"RUNNING": workflow.ExecutionRunning, "SCHEDULED": workflow.ExecutionRunning, "CANCELLING": workflow.ExecutionRunning,
	} {
		id := r.run("")
		r.set(id, `{"type":"PAUSED"}`)
		a := r.set(id, `{"type":"`+kind+`"}`)
		require.Equal(t, []any{201, "ACCEPT"}, []any{a.code, a.json()["status"]}, "%s: %s", kind, a.text)
		require.Equal(t, want, r.status(id), kind)
		require.Equal(t, kind, r.stateOf(id)[0])
	}
	id := r.run("")
	r.set(id, `{"type":"PAUSED"}`)
	r.set(id, `{"type":"PENDING"}`).is(200, outcomeJSON(stateJSON("PAUSED", "Paused", ""), "REJECT",
		because("reject", "This run cannot transition to the StateType.PENDING state from the StateType.PAUSED state.")))
}

func TestCancellingRules(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	cancellingState := stateJSON("CANCELLING", "Cancelling", "")
	r.set(id, `{"type":"CANCELLING"}`).is(201, outcomeJSON(cancellingState, "ACCEPT", accepted))
	r.set(id, `{"type":"COMPLETED"}`).is(200, outcomeJSON(cancellingState, "REJECT", because("reject", "Cannot transition flows that are cancelling to a state other than Cancelled.")))
	r.set(id, `{"type":"CANCELLED"}`).is(201, outcomeJSON(stateJSON("CANCELLED", "Cancelled", ""), "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionCanceled, r.status(id))

	scheduled := r.post("/flow_runs/", `{"flow_id":"`+r.flowID("own")+`","state":{"type":"SCHEDULED"}}`).json()["id"].(string)
	r.set(scheduled, `{"type":"CANCELLING"}`).is(201, outcomeJSON(stateJSON("CANCELLED", "Cancelled", ""), "REJECT", because("reject", "Scheduled flow run has no infrastructure to terminate.")))
	require.Equal(t, workflow.ExecutionCanceled, r.status(scheduled))

	suspended := r.start("work", `{}`)
	r.set(suspended, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true}}`)
	r.set(suspended, `{"type":"CANCELLING"}`).is(201, outcomeJSON(stateJSON("CANCELLED", "Cancelled", ""), "REJECT", because("reject", "Suspended flow run has no infrastructure to terminate.")))
	require.Equal(t, workflow.ExecutionCanceled, r.status(suspended))

	native := r.start("work", `{}`)
	r.set(native, `{"type":"CANCELLING","name":"Cancelling"}`).is(201, outcomeJSON(cancellingState, "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionCanceled, r.status(native))
	require.Equal(t, "CANCELLED", r.stateOf(native)[0])
	blocking := r.start("work", `{}`)
	r.set(blocking, `{"type":"PAUSED"}`)
	r.set(blocking, `{"type":"CANCELLING"}`).is(201, outcomeJSON(cancellingState, "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionCanceled, r.status(blocking))
}

func TestPendingRules(t *testing.T) {
	r := newRig(t)
	r.run("")
	id := r.post("/flow_runs/", `{"flow_id":"`+r.flowID("own")+`"}`).json()["id"].(string)
	pendingState := stateJSON("PENDING", "Pending", "")
	r.set(id, `{"type":"PENDING"}`).is(200, outcomeJSON(pendingState, "ABORT", because("abort", "This run is in a PENDING state and cannot transition to a PENDING state.")))
	r.set(id, `{"type":"PENDING","name":"Submitting"}`).is(201, outcomeJSON(stateJSON("PENDING", "Submitting", ""), "ACCEPT", accepted))
	r.set(id, `{"type":"RUNNING"}`).is(201, resumed)
	r.set(id, `{"type":"PENDING"}`).is(200, outcomeJSON(runningState, "ABORT", because("abort", "This run is in a RUNNING state and cannot transition to a PENDING state.")))
	r.set(id, `{"type":"CANCELLED"}`)
	r.set(id, `{"type":"PENDING"}`).is(200, outcomeJSON(stateJSON("CANCELLED", "Cancelled", ""), "ABORT", because("abort", "This run is in a CANCELLED state and cannot transition to a PENDING state.")))
}

func TestScheduledForLater(t *testing.T) {
	r := newRig(t)
	r.run("")
	at := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	id := r.post("/flow_runs/", `{"flow_id":"`+r.flowID("own")+`","state":{"type":"SCHEDULED","state_details":{"scheduled_time":"`+at+`"}}}`).json()["id"].(string)
	a := r.set(id, `{"type":"RUNNING"}`)
	require.Equal(t, []any{200, "WAIT", "wait_details", "Scheduled time is in the future"}, []any{a.code, a.json()["status"], a.json()["details"].(map[string]any)["type"], a.json()["details"].(map[string]any)["reason"]})
	require.InDelta(t, 3600, a.json()["details"].(map[string]any)["delay_seconds"], 5)
	require.Equal(t, "SCHEDULED", r.stateOf(id)[0])

	pending := stateJSON("PENDING", "Pending", "", "scheduled_time", `"<time>"`)
	r.set(id, `{"type":"PENDING"}`).is(201, outcomeJSON(pending, "ACCEPT", accepted))
	require.Equal(t, at, r.get("/flow_runs/" + id).json()["state"].(map[string]any)["state_details"].(map[string]any)["scheduled_time"])
	require.Equal(t, "WAIT", r.set(id, `{"type":"RUNNING"}`).json()["status"], "it waits as what is pending, too")
	r.set(id, `{"type":"SCHEDULED","state_details":{"scheduled_time":"`+at+`"}}`)
	r.set(id, `{"type":"PENDING","state_details":{"scheduled_time":"2026-01-01T00:00:00Z"}}`).is(201, outcomeJSON(pending, "ACCEPT", accepted))
	r.set(id, `{"type":"RUNNING"}`).is(201, resumed)
}

func TestLateRules(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, `{"type":"SCHEDULED","name":"Late"}`).is(200, outcomeJSON(runningState, "REJECT", because("reject", "Only scheduled flows can be marked late.")))
	r.set(id, `{"type":"SCHEDULED"}`)
	late := stateJSON("SCHEDULED", "Late", "", "scheduled_time", `"<time>"`)
	r.set(id, `{"type":"SCHEDULED","name":"Late"}`).is(201, outcomeJSON(late, "ACCEPT", accepted))
	r.set(id, `{"type":"SCHEDULED","name":"Late"}`).is(200, outcomeJSON(late, "REJECT", because("reject", "This flow run is already marked late.")))
}

func TestRetriesOfPrefectsOwn(t *testing.T) {
	r := newRig(t)
	id := r.run(`,"empirical_policy":{"retries":2,"retry_delay":0}`)
	r.set(id, `{"type":"PAUSED","state_details":{"pause_key":"1"}}`)
	r.resume(id, ``)
	a := r.set(id, `{"type":"FAILED","message":"boom"}`)
	a.is(201, outcomeJSON(stateJSON("SCHEDULED", "AwaitingRetry", "boom", "scheduled_time", `"<time>"`), "REJECT", because("reject", "Retrying")))
	policy := r.get("/flow_runs/" + id).json()["empirical_policy"].(map[string]any)
	require.Equal(t, []any{[]any{}, "in_process", false}, []any{policy["pause_keys"], policy["retry_type"], policy["resuming"]})
	r.set(id, `{"type":"RUNNING"}`).is(201, resumed)
	r.set(id, `{"type":"FAILED"}`).is(201, outcomeJSON(stateJSON("FAILED", "Failed", ""), "ACCEPT", accepted))
	require.Equal(t, workflow.ExecutionFailed, r.status(id))
}

func TestATransitionIsMadeOnce(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	once := `{"type":"RUNNING","name":"Retrying","state_details":{"transition_id":"` + noID + `"}}`
	state := stateJSON("RUNNING", "Retrying", "", "transition_id", `"<id>"`)
	r.set(id, once).is(201, outcomeJSON(state, "ACCEPT", accepted))
	r.set(id, once).is(200, outcomeJSON(state, "REJECT", because("reject", "This run has already made this state transition.")))
}

func TestWhatRedriveRunsIsNotSettledByPrefect(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	for _, kind := range []string{"COMPLETED", "FAILED", "CRASHED"} {
		a := r.set(id, `{"type":"`+kind+`"}`)
		a.is(200, outcomeJSON(runningState, "REJECT", because("reject", "Redrive's workers run this flow run: it does not become "+kind+" because somebody says so.")))
	}
	require.Equal(t, workflow.ExecutionRunning, r.status(id))
	r.set(noID, `{"type":"RUNNING"}`).is(404, `{"exception_message":"Flow run with id `+noID+` not found"}`)
}

func TestRetryIsARedrive(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	_, err := r.engine.Cancel(t.Context(), id, engine.Request{})
	require.NoError(t, err)
	a := r.post("/flow_runs/"+id+"/set_state", `{"force":true,"state":{"type":"SCHEDULED","name":"AwaitingRetry","message":"Retried via CLI"}}`)
	a.is(201, outcomeJSON(stateJSON("SCHEDULED", "AwaitingRetry", "Retried via CLI", "scheduled_time", `"<time>"`), "ACCEPT", accepted))
	x, err := r.engine.Execution(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []any{workflow.ExecutionRunning, 1, "Retried via CLI"}, []any{x.Status, x.Redrives, x.Reason})
	require.Equal(t, []any{"RUNNING", "Running", nil}, r.stateOf(id))
	w := r.get("/flow_runs/" + id).json()
	require.InDelta(t, 2, w["run_count"], 0)

	free := r.start("free", `{}`)
	r.resume(free, ``)
	require.Equal(t, workflow.ExecutionSucceeded, r.status(free))
	require.Equal(t, "ACCEPT", r.set(free, `{"type":"SCHEDULED"}`).json()["status"])
	require.Equal(t, "PAUSED", r.stateOf(free)[0], "all of it runs again, from the start")
}

func TestHistoryOfStates(t *testing.T) {
	r := newRig(t)
	id := r.start("expenses", `{"n":1}`)
	r.set(id, `{"type":"PAUSED"}`)
	_, err := r.engine.Pause(t.Context(), id, engine.Request{Reason: "hold"})
	require.NoError(t, err)
	r.resume(id, ``)
	r.resume(id, `{"run_input":{"approved":true}}`)
	_, err = r.engine.Cancel(t.Context(), id, engine.Request{Reason: "enough"})
	require.NoError(t, err)
	var kinds []string
	all := r.get("/flow_run_states/?flow_run_id=" + id).list()
	for _, s := range all {
		kinds = append(kinds, s["type"].(string))
		found := r.get("/flow_run_states/" + s["id"].(string))
		require.Equal(t, 200, found.code, "%v: %s", s, found.text)
		require.Equal(t, s, found.json())
	}
	require.Equal(t, []string{"RUNNING", "PAUSED", "PAUSED", "RUNNING", "PAUSED", "RUNNING", "CANCELLING", "CANCELLED"}, kinds)
	require.Equal(t, r.get("/flow_runs/" + id).json()["state_id"], all[len(all)-1]["id"])

	own := r.run("")
	r.set(own, `{"type":"PAUSED"}`)
	r.resume(own, ``)
	r.set(own, `{"type":"COMPLETED"}`)
	kinds = nil
	for _, s := range r.get("/flow_run_states/?flow_run_id=" + own).list() {
		kinds = append(kinds, s["type"].(string))
	}
	require.Equal(t, []string{"PENDING", "RUNNING", "PAUSED", "RUNNING", "COMPLETED"}, kinds)
	r.get("/flow_run_states/?flow_run_id="+noID).is(200, `[]`)
	r.get("/flow_run_states/"+noID).is(404, `{"detail":"Flow run state not found"}`)
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
