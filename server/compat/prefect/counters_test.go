package prefect_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// view is a flow run with its policy.
func (r *rig) view(id string) (run, policy map[string]any) {
	r.t.Helper()
	run = r.get("/flow_runs/" + id).json()
	return run, run["empirical_policy"].(map[string]any)
}

// counted is run_count, resuming and retry_type.
func (r *rig) counted(id string) []any {
	r.t.Helper()
	run, policy := r.view(id)
	return []any{run["run_count"], policy["resuming"], policy["retry_type"]}
}

// stateText is the present state as it is written.
func (r *rig) stateText(id string) string {
	r.t.Helper()
	var w struct {
		State json.RawMessage `json:"state"`
	}
	require.NoError(r.t, json.Unmarshal([]byte(r.get("/flow_runs/"+id).text), &w))
	return masked(string(w.State))
}

// TestRunCount: each step as Prefect 3.9.1 counted it.
func TestRunCount(t *testing.T) {
	r := newRig(t)
	id := r.post("/flow_runs/", `{"flow_id":"`+r.post("/flows/", `{"name":"own"}`).json()["id"].(string)+`"}`).json()["id"].(string)
	require.Equal(t, []any{0.0, false, nil}, r.counted(id))
	for i, step := range []struct {
		state    string
		count    float64
		resuming bool
	}{
		{`{"type":"RUNNING"}`, 1, false},
		{`{"type":"PAUSED"}`, 1, false},
		{`{"type":"RUNNING"}`, 2, true}, // the flag is set behind that
		{`{"type":"PAUSED"}`, 2, true},
		{`{"type":"RUNNING"}`, 2, true},
		{`{"type":"RUNNING","name":"Retrying"}`, 2, false},
		{`{"type":"RUNNING"}`, 3, false},
		{`{"type":"PAUSED"}`, 3, false},
		{`{"type":"FAILED"}`, 3, true},
		{`{"type":"RUNNING"}`, 4, false},
	} {
		require.Equal(t, "ACCEPT", r.set(id, step.state).json()["status"], i)
		require.Equal(t, []any{step.count, step.resuming, nil}, r.counted(id), "step %d", i)
	}
	paused := r.run("")
	r.set(paused, `{"type":"PAUSED"}`)
	r.resume(paused, ``).is(201, resumed)
	require.Equal(t, []any{2.0, true, nil}, r.counted(paused), "by resume, too")

	// Retries count with it: of one that paused there is one less.
	once := r.run(`,"empirical_policy":{"retries":1}`)
	r.set(once, `{"type":"PAUSED"}`)
	r.resume(once, ``)
	r.set(once, `{"type":"FAILED"}`).is(201, outcomeJSON(stateJSON("FAILED", "Failed", ""), "ACCEPT", accepted))

	// A suspended one goes on as the same go. What Redrive's workers run counts what they ran.
	suspended := r.start("work", `{}`)
	r.set(suspended, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true,"pause_key":"k"}}`)
	r.resume(suspended, ``)
	require.Equal(t, []any{1.0, true, nil}, r.counted(suspended))
	r.set(suspended, `{"type":"RUNNING"}`)
	require.Equal(t, []any{1.0, false, nil}, r.counted(suspended))
}

// TestRunTimeIsOfRunningOnly: neither a pause nor the time between two goes is run time.
func TestRunTimeIsOfRunningOnly(t *testing.T) {
	r := newRig(t)
	near := func(id string, minutes float64, why string) {
		t.Helper()
		run, _ := r.view(id)
		require.InDelta(t, 60*minutes, run["total_run_time"], 30, why)
		require.InDelta(t, 60*minutes, run["estimated_run_time"], 30, why)
	}
	id := r.run("")
	began := r.get("/flow_runs/" + id).json()["start_time"]
	near(id, 0, "")
	r.offset += 10 * time.Minute
	r.set(id, `{"type":"PAUSED"}`)
	near(id, 10, "paused")
	r.offset += time.Hour
	r.resume(id, ``)
	near(id, 10, "it goes on")
	r.offset += 5 * time.Minute
	r.set(id, `{"type":"FAILED"}`)
	run, _ := r.view(id)
	require.Equal(t, run["state"].(map[string]any)["timestamp"].(string)[:16], run["end_time"].(string)[:16])
	near(id, 15, "failed")
	r.offset += 5 * time.Hour
	r.set(id, `{"type":"RUNNING"}`)
	run, _ = r.view(id)
	require.Equal(t, []any{nil, began}, []any{run["end_time"], run["start_time"]}, "it goes on")
	r.offset += time.Minute
	r.set(id, `{"type":"RUNNING"}`)
	near(id, 16, "")

	_, err := r.engine.Pause(t.Context(), id, engine.Request{}) // natively
	require.NoError(t, err)
	r.offset += time.Hour
	near(id, 16, "what is natively paused does not run")
	r.resume(id, ``)
	r.offset += 4 * time.Minute
	_, err = r.engine.Cancel(t.Context(), id, engine.Request{})
	require.NoError(t, err)
	r.offset += time.Hour
	near(id, 20, "canceled natively")
	r.set(id, `{"type":"RUNNING"}`)
	near(id, 20, "")
	var kinds []string
	for _, s := range r.get("/flow_run_states/?flow_run_id=" + id).list() {
		kinds = append(kinds, s["type"].(string))
	}
	require.Equal(t, []string{"PENDING", "RUNNING", "PAUSED", "RUNNING", "FAILED", "RUNNING", "RUNNING", "PAUSED", "RUNNING", "CANCELLED", "RUNNING"}, kinds)

	never := r.post("/flow_runs/", `{"flow_id":"`+r.flowID("own")+`"}`).json()["id"].(string)
	run, _ = r.view(never)
	require.Equal(t, []any{nil, nil, 0.0, 0.0}, []any{run["start_time"], run["end_time"], run["run_count"], run["total_run_time"]})
	r.set(never, `{"type":"FAILED"}`)
	run, _ = r.view(never)
	require.NotNil(t, run["end_time"])
	require.Equal(t, run["end_time"], run["start_time"], "it ended before it began")
	require.Equal(t, []any{0.0, 0.0}, []any{run["run_count"], run["total_run_time"]})
}

func TestPauseKeys(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	r.set(id, `{"type":"PAUSED"}`)
	_, policy := r.view(id)
	require.Len(t, policy["pause_keys"], 1)
	require.Regexp(t, `^[0-9a-f-]{36}$`, policy["pause_keys"].([]any)[0], "one that has no key is given a UUID")
	r.resume(id, ``)
	require.Equal(t, "ACCEPT", r.set(id, `{"type":"PAUSED"}`).json()["status"])

	// Where the rules are not asked, nothing of theirs is kept.
	forced := r.run("")
	force := func(state string) {
		t.Helper()
		require.Equal(t, "ACCEPT", r.post("/flow_runs/"+forced+"/set_state", `{"force":true,"state":`+state+`}`).json()["status"])
	}
	force(`{"type":"PAUSED","state_details":{"pause_key":"k"}}`)
	_, policy = r.view(forced)
	require.Empty(t, policy["pause_keys"])
	force(`{"type":"RUNNING"}`)
	require.Equal(t, []any{2.0, false, nil}, r.counted(forced))
	r.set(forced, `{"type":"PAUSED","state_details":{"pause_key":"k"}}`)
	r.set(forced, `{"type":"FAILED"}`)
	force(`{"type":"SCHEDULED"}`)
	_, policy = r.view(forced)
	require.Equal(t, []any{[]any{"k"}, true, nil}, []any{policy["pause_keys"], policy["resuming"], policy["retry_type"]})
}

// TestLeavingTheEnd: the metadata of pauses is of one go.
func TestLeavingTheEnd(t *testing.T) {
	r := newRig(t)
	for to, name := range map[string]string{"PENDING": "Pending", "RUNNING": "Running"} {
		id := r.run("")
		r.set(id, `{"type":"PAUSED","state_details":{"pause_key":"k"}}`)
		r.set(id, `{"type":"FAILED"}`)
		_, policy := r.view(id)
		require.Equal(t, []any{[]any{"k"}, true, nil}, []any{policy["pause_keys"], policy["resuming"], policy["retry_type"]})
		r.set(id, `{"type":"`+to+`"}`).is(201, outcomeJSON(stateJSON(to, name, ""), "ACCEPT", accepted))
		_, policy = r.view(id)
		require.Equal(t, []any{[]any{}, false, nil}, []any{policy["pause_keys"], policy["resuming"], policy["retry_type"]}, to)
	}
	again := r.start("work", `{}`)
	r.set(again, `{"type":"PAUSED","state_details":{"pause_key":"k"}}`)
	r.set(again, `{"type":"CANCELLED"}`)
	run, policy := r.view(again)
	require.Equal(t, []any{[]any{"k"}, true}, []any{policy["pause_keys"], policy["resuming"]})
	require.NotNil(t, run["end_time"])
	r.set(again, `{"type":"SCHEDULED"}`).is(201, outcomeJSON(stateJSON("SCHEDULED", "Scheduled", "", "scheduled_time", `"<time>"`), "ACCEPT", accepted))
	run, policy = r.view(again)
	require.Equal(t, []any{[]any{}, false, "reschedule"}, []any{policy["pause_keys"], policy["resuming"], policy["retry_type"]})
	require.Nil(t, run["end_time"])

	// A blocking pause that is rescheduled begins anew, too.
	id := r.run("")
	r.set(id, `{"type":"PAUSED","state_details":{"pause_key":"k"}}`)
	r.set(id, `{"type":"SCHEDULED"}`)
	_, policy = r.view(id)
	require.Equal(t, []any{[]any{}, false, "reschedule"}, []any{policy["pause_keys"], policy["resuming"], policy["retry_type"]})
	r.set(id, `{"type":"RUNNING"}`)
	require.Equal(t, []any{2.0, false, "reschedule"}, r.counted(id))
}

func TestRetryDelay(t *testing.T) {
	r := newRig(t)
	id := r.run(`,"empirical_policy":{"retries":1,"retry_delay":100}`)
	waits := stateJSON("SCHEDULED", "AwaitingRetry", "boom", "scheduled_time", `"<time>"`)
	before := time.Now()
	r.set(id, `{"type":"FAILED","message":"boom"}`).is(201, outcomeJSON(waits, "REJECT", because("reject", "Retrying")))
	run, _ := r.view(id)
	require.Equal(t, []any{1.0, false, "in_process"}, r.counted(id))
	at, err := time.Parse(time.RFC3339, run["next_scheduled_start_time"].(string))
	require.NoError(t, err)
	require.WithinRange(t, at, before.Add(99*time.Second), time.Now().Add(101*time.Second))
	require.Equal(t, run["next_scheduled_start_time"], run["state"].(map[string]any)["state_details"].(map[string]any)["scheduled_time"])
	a := r.set(id, `{"type":"RUNNING","name":"Retrying"}`)
	delay := a.json()["details"].(map[string]any)["delay_seconds"].(float64)
	require.Greater(t, delay, 1.0)
	require.LessOrEqual(t, delay, 100.0)
	a.is(200, outcomeJSON(waits, "WAIT", `{"type":"wait_details","delay_seconds":`+mustJSON(t, delay)+`,"reason":"Scheduled time is in the future"}`))
	require.Equal(t, workflow.ExecutionRunning, r.status(id), "it is one go for Redrive")
}

// TestAFlowRunIsMadeInAnyState: as Prefect does, no rule is asked.
func TestAFlowRunIsMadeInAnyState(t *testing.T) {
	r := newRig(t)
	flow := r.post("/flows/", `{"name":"own"}`).json()["id"].(string)
	for state, want := range map[string]struct {
		name   string
		count  float64
		status workflow.ExecutionStatus
	}{
		`{"type":"PAUSED"}`: {"Paused", 0, workflow.ExecutionPaused}, `{"type":"PAUSED","name":"Suspended"}`: {"Suspended", 0, workflow.ExecutionPaused},
		`{"type":"RUNNING"}`: {"Running", 1, workflow.ExecutionRunning}, `{"type":"CANCELLING"}`: {"Cancelling", 0, workflow.ExecutionRunning},
		`{"type":"COMPLETED"}`: {"Completed", 0, workflow.ExecutionSucceeded}, `{"type":"CRASHED"}`: {"Crashed", 0, workflow.ExecutionFailed},
		`{"type":"CANCELLED"}`: {"Cancelled", 0, workflow.ExecutionCanceled}, `{"type":"SCHEDULED","name":"Late"}`: {"Late", 0, workflow.ExecutionRunning},
	} {
		a := r.post("/flow_runs/", `{"flow_id":"`+flow+`","flow_version":"v1","state":`+state+`}`)
		require.Equal(t, 201, a.code, state)
		w := a.json()
		require.Equal(t, []any{want.name, want.count, "v1"}, []any{w["state_name"], w["run_count"], w["flow_version"]}, state)
		require.Equal(t, want.status, r.status(w["id"].(string)), state)
		require.Equal(t, want.name == "Running" || want.status.Ended(), w["start_time"] != nil, state)
		require.Equal(t, want.status.Ended(), w["end_time"] != nil, state)
		require.Len(t, r.get("/flow_run_states/?flow_run_id="+w["id"].(string)).list(), 1, state)
	}
}

func TestAFlowRunIsMadeAsAskedForOrNotAtAll(t *testing.T) {
	r := newRig(t)
	flow := r.post("/flows/", `{"name":"own"}`).json()["id"].(string)
	create := func(more string) reply {
		return r.post("/flow_runs/", `{"flow_id":"`+flow+`","idempotency_key":"k",`+more+`}`)
	}
	large := `"` + strings.Repeat("x", 300<<10) + `"`
	for _, more := range []string{
		`"state":{"type":"COMPLETED","data":` + large + `}`, `"state":{"type":"CRASHED","message":` + large + `}`, `"state":{"type":"PAUSED","data":` + large + `}`,
		`"state":{"type":"CANCELLED","message":` + large + `}`, `"state":{"type":"RUNNING","data":` + large + `}`, `"job_variables":{"a":` + large + `}`,
	} {
		a := create(more)
		require.Equal(t, 422, a.code, "%.40s: %s", more, a.text)
		require.Contains(t, a.json()["detail"], "262144", "%.40s", more)
		r.post("/flow_runs/count", `{}`).is(200, `0`)
	}
	for i, state := range []string{"PAUSED", "CANCELLED", "FAILED"} {
		message := strings.Repeat("é", 2500) // longer than a reason of Redrive's may be
		w := r.post("/flow_runs/", fmt.Sprintf(`{"flow_id":%q,"idempotency_key":"%d","state":{"type":%q,"message":"%s"}}`, flow, i, state, message)).json()
		require.Equal(t, message, w["state"].(map[string]any)["message"], state)
	}
	require.Equal(t, 201, create(`"state":{"type":"COMPLETED"}`).code) // the key is free
}

func TestCancellingWhatHasInfrastructure(t *testing.T) {
	r := newRig(t)
	flow := r.post("/flows/", `{"name":"own"}`).json()["id"].(string)
	cancelling := stateJSON("CANCELLING", "Cancelling", "")
	none := outcomeJSON(stateJSON("CANCELLED", "Cancelled", ""), "REJECT", because("reject", "Scheduled flow run has no infrastructure to terminate."))
	pid := func(id string) string {
		t.Helper()
		require.Equal(t, 204, r.ask("PATCH", "/flow_runs/"+id, `{"infrastructure_pid":"host:17"}`).code)
		return id
	}
	id := pid(r.post("/flow_runs/", `{"flow_id":"`+flow+`","state":{"type":"SCHEDULED"}}`).json()["id"].(string))
	r.set(id, `{"type":"CANCELLING"}`).is(201, outcomeJSON(cancelling, "ACCEPT", accepted))
	retries := pid(r.run(`,"empirical_policy":{"retries":1,"retry_delay":100}`))
	r.set(retries, `{"type":"FAILED"}`)
	r.set(retries, `{"type":"CANCELLING"}`).is(201, outcomeJSON(cancelling, "ACCEPT", accepted))
	resuming := pid(r.run(""))
	r.set(resuming, `{"type":"SCHEDULED","name":"Resuming"}`)
	r.set(resuming, `{"type":"CANCELLING"}`).is(201, none)
	require.Equal(t, workflow.ExecutionCanceled, r.status(resuming))

	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "work", StartAt: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	forced := r.post("/flow_runs/"+x.ID+"/set_state", `{"force":true,"state":{"type":"CANCELLING"}}`)
	forced.is(201, none)
	require.Equal(t, workflow.ExecutionCanceled, r.status(x.ID))
}

func TestResume10Suspended(t *testing.T) {
	r := newRig(t)
	id := r.start("work", `{}`)
	r.set(id, `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true,"pause_timeout":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}}`)
	r.offset += 2 * time.Hour
	r.resume(id, ``).is(201, outcomeJSON(stateJSON("FAILED", "Failed", "The flow was resuming and never resumed."), "REJECT",
		because("reject", "The flow run pause has timed out and can no longer resume.")))
	require.Equal(t, []any{"FAILED", "Failed", "The flow was resuming and never resumed."}, r.stateOf(id))
}

// TestPauseExpiresByItself: nobody has to ask Prefect's API for it.
func TestPauseExpiresByItself(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{r.start("work", `{}`), r.run("")} {
		r.set(id, `{"type":"PAUSED","state_details":{"pause_timeout":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}}`)
		r.offset += 2 * time.Hour
		_, err := r.engine.Resume(t.Context(), id, engine.Request{})
		require.ErrorContains(t, err, "ended at its deadline")
		run, _ := r.view(id)
		require.Equal(t, stateJSON("FAILED", "Failed", "The flow was paused and never resumed."), r.stateText(id))
		require.NotNil(t, run["end_time"])
		r.resume(id, ``).is(200, notPaused)
	}
}
