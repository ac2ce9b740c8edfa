package cognite_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDataFlows: what each type of task is given and gives, and what references to both mean.
func TestDataFlows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[
		{"externalId":"read me.v1","type":"cdf","parameters":{"cdfRequest":{"method":"POST","resourcePath":"/timeseries/list","queryParameters":{"q":"a b"},"body":{"n":"${workflow.input.n}"},"cdfVersionHeader":"beta"}}},
		{"externalId":"absolute","type":"cdf","parameters":{"cdfRequest":{"method":"GET","resourcePath":"`+r.cdf.URL+`/elsewhere"}}},
		{"externalId":"job","type":"transformation","parameters":{"transformation":{"externalId":"job","concurrencyPolicy":"fail"}}},
		{"externalId":"sim","type":"simulation","parameters":{"simulation":{"routineExternalId":"routine","inputs":[{"referenceId":"p","value":5}]}}},
		{"externalId":"all","type":"function","dependsOn":[{"externalId":"read me.v1"},{"externalId":"absolute"},{"externalId":"job"},{"externalId":"sim"}],"parameters":{"function":{"externalId":"echo","data":{
			"whole":"${absolute.output}","body":"${read me.v1.output.response}","code":"${read me.v1.output.statusCode}","path":"at ${absolute.output.response.path}",
			"given":"${read me.v1.input.cdfRequest.resourcePath}","input":"${workflow.input}","job":"${job.output.jobId}","run":"${sim.output}","large":1234567890123456789}}}},
		{"externalId":"echoed","type":"function","dependsOn":[{"externalId":"all"}],"parameters":{"function":{"externalId":"echo","data":{"was":"${all.output}","large":"${all.input.function.data.large}"}}}}]`)
	id := r.run("w", `{"n":[1,{"x":12345678901234567}]}`)
	r.ends(id, "COMPLETED")
	asked := `{"method":"POST","path":"/cdf/timeseries/list","query":"q=a+b","version":"beta","body":{"n":[1,{"x":12345678901234567}]}}`
	far := `{"method":"GET","path":"/elsewhere","query":"","version":"","body":null}`
	all := `{"whole":{"response":` + far + `,"statusCode":200},"body":` + asked + `,"code":200,"path":"at /elsewhere","given":"/timeseries/list",
		"input":{"n":[1,{"x":12345678901234567}]},"job":7,"run":{"runId":1,"logId":2,"statusMessage":"done"},"large":1234567890123456789}`
	for task, want := range map[string]string{
		"read me.v1": `{"response":` + asked + `,"statusCode":200}`, "absolute": `{"response":` + far + `,"statusCode":200}`, "job": `{"jobId":7}`,
		"sim": `{"runId":1,"logId":2,"statusMessage":"done"}`, "all": `{"response":` + all + `}`,
		"echoed": `{"response":{"was":{"response":` + all + `},"large":1234567890123456789}}`,
	} {
		r.exactly(id, task, "output", want)
	}
	r.exactly(id, "absolute", "input", `{"cdfRequest":{"method":"GET","resourcePath":"`+r.cdf.URL+`/elsewhere"}}`)
}

// exactly holds a field of a task against JSON, all digits of its numbers included.
func (r *rig) exactly(id, task, field, want string) {
	r.t.Helper()
	var x struct {
		Tasks []map[string]json.RawMessage `json:"executedTasks"`
	}
	require.NoError(r.t, json.Unmarshal(r.must(200, "GET", "/workflows/executions/"+id, "").Body.Bytes(), &x))
	for _, t := range x.Tasks {
		if string(t["externalId"]) == `"`+task+`"` {
			require.Equal(r.t, sorted(r.t, want), sorted(r.t, string(t[field])), task)
			return
		}
	}
	require.Fail(r.t, "there is no task "+task)
}

// sorted is JSON with its fields in order, its numbers as they are written.
func sorted(t testing.TB, text string) string {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	require.NoError(t, d.Decode(&v), text)
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return string(out)
}

// TestACDFTaskThatFails is tried again, and says with which status it was answered.
func TestACDFTaskThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[{"externalId":"a","type":"cdf","retries":0,"parameters":{"cdfRequest":{"method":"GET","resourcePath":"/down"}}}]`)
	r.set("/cdf/down", true)
	id := r.run("w", `{}`)
	r.ends(id, "FAILED")
	require.Contains(t, r.task(id, "a")["reasonForIncompletion"], "502")
	r.set("/cdf/down", false)
	r.retry(id)
	r.ends(id, "COMPLETED")
	require.Equal(t, 2, r.count("/cdf/down"))
}

const asyncTask = `{"externalId":"a","type":"function","retries":1,"parameters":{"isAsyncComplete":true,"function":{"externalId":"async","data":{"x":1}}}}`

func (r *rig) update(status int, task, body string) map[string]any {
	r.t.Helper()
	return r.must(status, "POST", "/workflows/tasks/"+task+"/update", body).json()
}

// TestAsyncTasks: a function that is completed from outside waits for the update, whose output is merged with its own.
func TestAsyncTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+asyncTask+`,{"externalId":"b","type":"function","dependsOn":[{"externalId":"a"}],"parameters":{"function":{"externalId":"echo","data":{"begun":"${a.output.response.begun}","more":"${a.output.more}"}}}}]`)
	id := r.run("w", `{}`)
	task := <-r.asked
	r.waits(id)
	require.Equal(t, map[string]string{"a": "IN_PROGRESS"}, r.statuses(id))
	require.Equal(t, task, r.task(id, "a")["id"])
	done := r.update(200, task, `{"status":"COMPLETED","output":{"more":[1,2]}}`)
	require.Equal(t, []any{task, "a", "COMPLETED"}, []any{done["id"], done["externalId"], done["status"]})
	r.ends(id, "COMPLETED")
	r.exactly(id, "a", "output", `{"response":{"begun":true},"more":[1,2]}`)
	r.exactly(id, "b", "output", `{"response":{"begun":true,"more":[1,2]}}`)
	require.EqualValues(t, 409, r.update(409, task, `{"status":"COMPLETED"}`)["error"].(map[string]any)["code"])
	require.Equal(t, 1, r.count("async"))
}

// waits blocks until the call of the async task of an execution has returned.
func (r *rig) waits(id string) {
	r.t.Helper()
	for after := ""; ; {
		if one, err := r.engine.Task(r.t.Context(), id, "a.done"); err == nil && one.Status == "waiting" {
			return
		}
		events, ended, err := r.engine.Watch(r.t.Context(), id, after)
		require.NoError(r.t, err)
		require.False(r.t, ended)
		after = events[len(events)-1].Seq
	}
}

// TestUpdatesThatFail: FAILED is tried again as the task's retries say, FAILED_WITH_TERMINAL_ERROR is not.
func TestUpdatesThatFail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+asyncTask+"]")
	id := r.run("w", `{}`)
	for range 2 { // one retry
		task := <-r.asked
		r.waits(id)
		r.update(200, task, `{"status":"FAILED"}`)
	}
	r.ends(id, "FAILED")
	require.Equal(t, map[string]string{"a": "FAILED"}, r.statuses(id))
	r.retry(id)
	task := <-r.asked
	r.waits(id)
	r.update(200, task, `{"status":"COMPLETED"}`)
	r.ends(id, "COMPLETED")
	require.Equal(t, 3, r.count("async"), "a retry calls the function again")

	id = r.run("w", `{}`)
	task = <-r.asked
	r.waits(id)
	r.update(200, task, `{"status":"FAILED_WITH_TERMINAL_ERROR"}`)
	r.ends(id, "FAILED")
	require.Equal(t, map[string]string{"a": "FAILED_WITH_TERMINAL_ERROR"}, r.statuses(id))
	require.Equal(t, 4, r.count("async"))
}

// TestRetryOfAsyncTasksBesideOthers: what failed beside a task that is completed from outside runs again too, and nothing else.
func TestRetryOfAsyncTasksBesideOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dynamic := `{"externalId":"dyn","type":"dynamic","parameters":{"dynamic":{"tasks":"${workflow.input.tasks}"}}}`
	r.store("w", "["+fn("good", "echo", "")+","+fn("opt", "flaky", optional)+","+fn("bad", "flaky", once+needs("good"))+","+dynamic+","+fn("last", "echo", needs("dyn"))+"]")
	r.set("opt", true)
	id := r.run("w", `{"tasks":[`+asyncTask+`]}`)
	<-r.asked
	r.await(id, "bad", "COMPLETED")
	r.await(id, "opt", "COMPLETED_WITH_ERRORS")
	r.await(id, "a", "IN_PROGRESS")
	r.must(200, "POST", "/workflows/executions/"+id+"/cancel", `{}`)
	r.ends(id, "TERMINATED")
	require.Equal(t, "CANCELED", r.statuses(id)["a"])
	r.retry(id)
	task := <-r.asked
	require.Equal(t, task, r.task(id, "a")["id"], "the task of the dynamic task's own execution")
	r.update(200, task, `{"status":"COMPLETED"}`)
	r.ends(id, "COMPLETED")
	require.Equal(t, []int{1, 1, 1, 2, 1}, r.counts("good", "opt", "bad", "async", "last"))
}

// TestAnUpdateBeforeTheCallReturns is taken: what the function set off may be faster than its answer.
func TestAnUpdateBeforeTheCallReturns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[{"externalId":"a","type":"function","parameters":{"isAsyncComplete":true,"function":{"externalId":"remote"}}}]`)
	id := r.run("w", `{}`)
	run := r.poll()
	require.Equal(t, "COMPLETED", r.update(200, r.task(id, "a")["id"].(string), `{"status":"COMPLETED","output":{"early":true}}`)["status"])
	_, err := r.engine.RemoteComplete(t.Context(), run.Execution, run.Ref, run.Token, json.RawMessage(`{"n":1}`))
	require.NoError(t, err)
	r.ends(id, "COMPLETED")
	r.exactly(id, "a", "output", `{"response":{"n":1},"early":true}`)
}

// TestAFailedUpdateBeforeTheCallReturns says why, and ends the task only where no try is left.
func TestAFailedUpdateBeforeTheCallReturns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[{"externalId":"a","type":"function","retries":1,"parameters":{"isAsyncComplete":true,"function":{"externalId":"remote"}}}]`)
	id := r.run("w", `{}`)
	for _, status := range []string{"IN_PROGRESS", "FAILED"} {
		run := r.poll()
		updated := r.update(200, r.task(id, "a")["id"].(string), `{"status":"FAILED"}`)
		require.Equal(t, []any{status, "the task was reported as FAILED"}, []any{updated["status"], updated["reasonForIncompletion"]})
		require.Equal(t, status == "FAILED", updated["endTime"] != nil)
		_, err := r.engine.RemoteComplete(t.Context(), run.Execution, run.Ref, run.Token, json.RawMessage(`{"n":1}`))
		require.NoError(t, err)
	}
	r.ends(id, "FAILED")
	require.Equal(t, map[string]string{"a": "FAILED"}, r.statuses(id))
}

// TestALateWorkerIsRefused: a task that runs is settled by its update; what its worker says afterwards counts for nothing.
func TestALateWorkerIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "remote", "")+"]")
	id := r.run("w", `{}`)
	run := r.poll()
	task := r.task(id, "a")["id"].(string)
	require.Equal(t, "IN_PROGRESS", r.task(id, "a")["status"])
	require.Equal(t, "COMPLETED", r.update(200, task, `{"status":"COMPLETED","output":{"by":"hand"}}`)["status"])
	_, err := r.engine.RemoteComplete(t.Context(), run.Execution, run.Ref, run.Token, json.RawMessage(`{"by":"worker"}`))
	require.ErrorContains(t, err, "this run is over")
	r.ends(id, "COMPLETED")
	r.exactly(id, "a", "output", `{"response":{"by":"hand"}}`)
	r.refused(400, "POST", "/workflows/tasks/"+task+"/update", `{"status":"COMPLETED","output":[1]}`)
}
