package cognite_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// ids are the executions that a filter lets pass, newest first.
func (r *rig) ids(filter string) []any {
	r.t.Helper()
	all := []any{}
	for _, x := range r.must(200, "POST", "/workflows/executions/list", `{"filter":`+filter+`}`).json()["items"].([]any) {
		all = append(all, x.(map[string]any)["id"])
	}
	return all
}

// TestAnExecutionThatTimedOut shows as such, with what was under way canceled, and is retried from there.
func TestAnExecutionThatTimedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "echo", "")+","+fn("b", "remote", needs("a"))+","+fn("c", "echo", needs("b"))+"]")
	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "w", Timeout: time.Minute})
	require.NoError(t, err)
	r.poll()
	r.later(61 * time.Second)
	d := r.ends(x.ID, "TIMED_OUT")
	require.Equal(t, "the execution did not end within its timeout of 1m0s", d["reasonForIncompletion"])
	require.Greater(t, d["endTime"], d["startTime"])
	require.Equal(t, map[string]string{"a": "COMPLETED", "b": "CANCELED"}, r.statuses(x.ID))
	r.listed(1, `{"status":["TIMED_OUT"]}`)
	require.Empty(t, r.ids(`{"status":["FAILED","TERMINATED","COMPLETED","RUNNING"]}`))
	require.Contains(t, r.refused(409, "POST", "/workflows/executions/"+x.ID+"/cancel", `{}`), "timed_out")
	r.retry(x.ID)
	again := r.poll()
	_, err = r.engine.RemoteComplete(t.Context(), again.Execution, again.Ref, again.Token, nil)
	require.NoError(t, err)
	d = r.ends(x.ID, "COMPLETED")
	require.NotContains(t, d, "reasonForIncompletion")
	require.Equal(t, []int{1, 1}, r.counts("a", "c"))
}

// TestAPausedExecution is one that runs, here.
func TestAPausedExecution(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "hold", "")+","+fn("b", "echo", needs("a"))+"]")
	id := r.run("w", `{}`)
	r.await(id, "a", "IN_PROGRESS")
	_, err := r.engine.Pause(t.Context(), id, engine.Request{Reason: "a look first"})
	require.NoError(t, err)
	x := r.get(id)
	require.Equal(t, "RUNNING", x["status"])
	require.NotContains(t, x, "endTime")
	require.NotContains(t, x, "reasonForIncompletion")
	require.Equal(t, []any{id}, r.ids(`{"status":["RUNNING"]}`))
	require.Empty(t, r.ids(`{"status":["TERMINATED"]}`))
	require.Contains(t, r.refused(409, "POST", "/workflows/executions/"+id+"/retry", `{`+r.nonce()+`}`), "paused")
	r.release <- struct{}{}
	_, err = r.engine.Resume(t.Context(), id, engine.Request{})
	require.NoError(t, err)
	r.ends(id, "COMPLETED")
}

// TestTasksThatWaitForAWorker are SCHEDULED, before their first try and between two; what the task is given is known then.
func TestTasksThatWaitForAWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[{"externalId":"a","type":"function","parameters":{"function":{"externalId":"remote","data":{"n":"${workflow.input.n}"}}}}]`)
	id := r.run("w", `{"n":7}`)
	scheduled := r.await(id, "a", "SCHEDULED")
	for _, field := range []string{"startTime", "endTime", "reasonForIncompletion"} {
		require.NotContains(t, scheduled, field)
	}
	require.Equal(t, []any{map[string]any{}, nil, "function"}, []any{scheduled["output"], scheduled["parentTaskExternalId"], scheduled["taskType"]})
	run := r.poll()
	begun := r.task(id, "a")
	require.Equal(t, []any{"IN_PROGRESS", scheduled["id"]}, []any{begun["status"], begun["id"]})
	require.Contains(t, begun, "startTime")
	r.exactly(id, "a", "input", `{"function":{"externalId":"remote","data":{"n":7}}}`)
	_, err := r.engine.RemoteFail(t.Context(), id, "a", run.Token, workflow.Error{Code: "busy", Message: "come again", Retryable: true})
	require.NoError(t, err)
	between := r.await(id, "a", "SCHEDULED")
	require.Equal(t, "come again", between["reasonForIncompletion"])
	run = r.poll()
	require.Equal(t, 2, run.Attempt)
	_, err = r.engine.RemoteComplete(t.Context(), id, "a", run.Token, nil)
	require.NoError(t, err)
	r.ends(id, "COMPLETED")
	done := r.task(id, "a")
	require.Equal(t, "COMPLETED", done["status"])
	require.NotContains(t, done, "reasonForIncompletion")
}

// TestSkippedTasks: those of a native workflow whose condition does not hold.
func TestSkippedTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.engine.Publish(t.Context(), "default", []byte(`{"name":"native","tasks":[{"name":"a","type":"echo"},{"name":"b","type":"echo","if":false,"needs":["a"]}]}`), false)
	require.NoError(t, err)
	id := r.run("native", `{}`)
	r.ends(id, "COMPLETED")
	require.Equal(t, map[string]string{"a": "COMPLETED", "b": "SKIPPED"}, r.statuses(id))
	skipped := r.task(id, "b")
	require.NotContains(t, skipped, "startTime")
	require.Equal(t, []any{map[string]any{}, "function", nil}, []any{skipped["output"], skipped["taskType"], skipped["parentTaskExternalId"]})
	r.exactly(id, "b", "input", `{"function":{"externalId":"echo"}}`)
}

// TestCreatedTimes: a list is narrowed to the times that executions show, both ends included, also where the clock that
// ids are made by goes wrong.
func TestCreatedTimes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "echo", "")+"]")
	var ids []any
	var at []int64
	for range 3 {
		id := r.run("w", `{}`)
		ids = append(ids, id)
		at = append(at, int64(r.get(id)["createdTime"].(float64)))
		r.later(20 * time.Second)
	}
	r.listed(3, `{}`)
	for filter, want := range map[string][]any{
		fmt.Sprintf(`{"createdTimeStart":%d}`, at[0]):                                      {ids[2], ids[1], ids[0]},
		fmt.Sprintf(`{"createdTimeStart":%d}`, at[0]+1):                                    {ids[2], ids[1]},
		fmt.Sprintf(`{"createdTimeStart":%d}`, at[2]):                                      {ids[2]},
		fmt.Sprintf(`{"createdTimeStart":%d}`, at[2]+1):                                    {},
		fmt.Sprintf(`{"createdTimeEnd":%d}`, at[0]-1):                                      {},
		fmt.Sprintf(`{"createdTimeEnd":%d}`, at[0]):                                        {ids[0]},
		fmt.Sprintf(`{"createdTimeEnd":%d}`, at[2]-1):                                      {ids[1], ids[0]},
		fmt.Sprintf(`{"createdTimeStart":%d,"createdTimeEnd":%d}`, at[1], at[1]):           {ids[1]},
		fmt.Sprintf(`{"createdTimeStart":%d,"createdTimeEnd":%d}`, at[2], at[0]):           {},
		`{"createdTimeStart":0,"createdTimeEnd":9007199254740991}`:                         {ids[2], ids[1], ids[0]},
		fmt.Sprintf(`{"createdTimeEnd":%d,"workflowFilters":[{"externalId":"w"}]}`, at[1]): {ids[1], ids[0]},
	} {
		require.Equal(t, want, r.ids(filter), filter)
	}
}

// TestHistoryOfATrigger: that a run could not be started is a failure of the trigger; that one failed later is not.
func TestHistoryOfATrigger(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.engine.Publish(t.Context(), "default", []byte(`{"name":"one-at-a-time","concurrency":{"max_running":1,"when_full":"reject"},"tasks":[{"name":"a","type":"hold"}]}`), false)
	require.NoError(t, err)
	r.store("fails", "["+fn("bad", "flaky", once)+"]")
	r.set("bad", true)
	running := r.run("one-at-a-time", `{}`)
	r.await(running, "a", "IN_PROGRESS")
	for _, w := range []string{"one-at-a-time", "fails"} {
		r.must(200, "POST", "/workflows/triggers", `{"items":[{"externalId":"of `+w+`","triggerRule":{"triggerType":"schedule","cronExpression":"* * * * *"},"workflowExternalId":"`+w+`","workflowVersion":"1",`+r.nonce()+`}]}`)
	}
	r.later(time.Minute)
	first := func(trigger string) (fire map[string]any) {
		require.Eventually(t, func() bool {
			fires := r.must(200, "GET", "/workflows/triggers/"+trigger+"/history", "").json()["items"].([]any)
			if len(fires) > 0 {
				fire = fires[0].(map[string]any)
			}
			return len(fires) > 0
		}, time.Minute, 20*time.Millisecond)
		return fire
	}
	fire := first("of%20one-at-a-time")
	require.Equal(t, []any{"of one-at-a-time", "one-at-a-time", "1", "failed", nil},
		[]any{fire["externalId"], fire["workflowExternalId"], fire["workflowVersion"], fire["status"], fire["workflowExecutionId"]})
	require.Contains(t, fire["reasonForFailure"], "workflow one-at-a-time runs at most 1 executions at once")
	require.IsType(t, 0.0, fire["fireTime"])

	fire = first("of%20fails")
	require.Equal(t, []any{"success", nil}, []any{fire["status"], fire["reasonForFailure"]})
	r.ends(fire["workflowExecutionId"].(string), "FAILED")
	again := first("of%20fails")
	require.Equal(t, []any{"success", nil}, []any{again["status"], again["reasonForFailure"]})
	r.release <- struct{}{}
	r.ends(running, "COMPLETED")
}

// TestMaxConcurrentExecutions: what is one too many waits, and begins when another has ended. Without a limit nothing waits.
func TestMaxConcurrentExecutions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"w","maxConcurrentExecutions":1}]}`)
	r.must(200, "POST", "/workflows/versions", version("w", "1", "["+fn("a", "hold", "")+"]"))
	one := r.run("w", `{}`)
	r.await(one, "a", "IN_PROGRESS")
	x := r.must(202, "POST", "/workflows/w/versions/1/run", `{`+r.nonce()+`}`).json()
	two := x["id"].(string)
	require.Equal(t, "RUNNING", x["status"])
	require.NotContains(t, x, "startTime")
	waiting := r.get(two)
	require.Equal(t, "RUNNING", waiting["status"])
	require.NotContains(t, waiting, "startTime")
	require.Equal(t, map[string]string{"a": "SCHEDULED"}, r.statuses(two))
	require.Equal(t, 1, r.count("a"))
	r.release <- struct{}{}
	r.ends(one, "COMPLETED")
	r.await(two, "a", "IN_PROGRESS")
	require.Contains(t, r.get(two), "startTime")

	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"w","maxConcurrentExecutions":null}]}`)
	three := r.run("w", `{}`)
	r.await(three, "a", "IN_PROGRESS")
	for range 2 {
		r.release <- struct{}{}
	}
	r.ends(two, "COMPLETED")
	r.ends(three, "COMPLETED")
}

// TestACanceledExecutionThatWaited never began, and ends at once.
func TestACanceledExecutionThatWaited(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"w","maxConcurrentExecutions":1}]}`)
	r.must(200, "POST", "/workflows/versions", version("w", "1", "["+fn("a", "hold", "")+"]"))
	one := r.run("w", `{}`)
	r.await(one, "a", "IN_PROGRESS")
	two := r.run("w", `{}`)
	reason := strings.Repeat("é", 500) // as long as it may be
	x := r.must(200, "POST", "/workflows/executions/"+two+"/cancel", `{"reason":"`+reason+`"}`).json()
	require.Equal(t, []any{"TERMINATED", reason}, []any{x["status"], x["reasonForIncompletion"]})
	x = r.ends(two, "TERMINATED")
	require.NotContains(t, x, "startTime")
	require.Equal(t, reason, x["reasonForIncompletion"])
	require.Contains(t, x, "endTime")
	require.Equal(t, map[string]string{"a": "CANCELED"}, r.statuses(two))
	require.NotContains(t, r.task(two, "a"), "startTime")
	r.release <- struct{}{}
	r.ends(one, "COMPLETED")
}

// TestWhatADynamicTaskMayNotStart fails it, and says which task of its list it was.
func TestWhatADynamicTaskMayNotStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[{"externalId":"dyn","type":"dynamic","parameters":{"dynamic":{"tasks":"${workflow.input.tasks}"}}}]`)
	echo := fn("fine", "echo", "")
	for inner, want := range map[string]string{
		`{"externalId":"in","type":"dynamic","parameters":{"dynamic":{"tasks":"${workflow.input.tasks}"}}}`:             "tasks[1].parameters: a dynamic task cannot be in another, nor in a subworkflow",
		`{"externalId":"in","type":"subworkflow","parameters":{"subworkflow":{"tasks":[` + fn("b", "echo", "") + `]}}}`: "tasks[1].parameters: a subworkflow cannot be in another, nor in a dynamic task",
		fn("in", "echo", `,"name":"`+strings.Repeat("é", 256)+`"`):                                                      "tasks[1].name: has 256 characters; allowed: at most 255",
		`7`: "tasks[1]: must be an object",
	} {
		id := r.run("w", `{"tasks":[`+echo+`,`+inner+`]}`)
		x := r.ends(id, "FAILED")
		require.Contains(t, x["reasonForIncompletion"], want)
		dyn := r.task(id, "dyn")
		require.Contains(t, []any{"FAILED", "FAILED_WITH_TERMINAL_ERROR"}, dyn["status"])
		require.Contains(t, dyn["reasonForIncompletion"], want)
		require.Equal(t, map[string]any{}, dyn["output"])
	}
	require.Zero(t, r.count("fine"), "nothing of the list began")
}

// TestAVersionThatNests cannot be in another.
func TestAVersionThatNests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("dynamic", `[{"externalId":"d","type":"dynamic","parameters":{"dynamic":{"tasks":"${workflow.input.tasks}"}}}]`)
	r.store("nested", `[{"externalId":"s","type":"subworkflow","parameters":{"subworkflow":{"tasks":[`+fn("b", "echo", "")+`]}}}]`)
	r.store("outer", "["+fn("a", "echo", "")+"]")
	for _, name := range []string{"dynamic", "nested"} {
		inner := `[{"externalId":"in","type":"subworkflow","parameters":{"subworkflow":{"workflowExternalId":"` + name + `","version":"1"}}}]`
		require.Equal(t, `the version cannot be stored: workflowDefinition.tasks[0].parameters.subworkflow: version "1" of "`+name+`" has dynamic tasks or subworkflows, and cannot be in another`,
			r.refused(400, "POST", "/workflows/versions", version("outer", "2", inner)))
	}
	r.refused(404, "GET", "/workflows/outer/versions/2", "")
}

// TestWhatTasksWereGiven: references are resolved in what an executed task shows, whatever its type.
func TestWhatTasksWereGiven(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", `[
		{"externalId":"put","type":"cdf","parameters":{"cdfRequest":{"method":"PUT","resourcePath":"/files/${workflow.input.file}","queryParameters":{"q":"${workflow.input.q}"},"body":{"n":"${workflow.input.n}"},"requestTimeoutInMillis":5000,"cdfVersionHeader":"alpha"}}},
		{"externalId":"method","type":"cdf","parameters":{"cdfRequest":{"method":"${workflow.input.method}","resourcePath":"plain"}}},
		{"externalId":"load","type":"transformation","parameters":{"transformation":{"externalId":"job","concurrencyPolicy":"waitForCurrent","useTransformationCredentials":true}}},
		{"externalId":"sim","type":"simulation","parameters":{"simulation":{"routineExternalId":"routine","runTime":17,"inputs":[{"referenceId":"p","value":"${workflow.input.n}"}]}}},
		{"externalId":"later","type":"function","parameters":{"isAsyncComplete":true,"function":{"externalId":"async","data":{"n":"${workflow.input.n}"}}}}]`)
	id := r.run("w", `{"file":7,"q":"a b","n":12345678901234567,"method":"GET"}`)
	task := <-r.asked
	r.update(200, task, `{"status":"COMPLETED"}`)
	r.ends(id, "COMPLETED")
	r.exactly(id, "put", "input", `{"cdfRequest":{"method":"PUT","resourcePath":"/files/7","queryParameters":{"q":"a b"},"body":{"n":12345678901234567},"requestTimeoutInMillis":5000,"cdfVersionHeader":"alpha"}}`)
	r.exactly(id, "put", "output", `{"response":{"method":"PUT","path":"/cdf/files/7","query":"q=a+b","version":"alpha","body":{"n":12345678901234567}},"statusCode":200}`)
	r.exactly(id, "method", "input", `{"cdfRequest":{"method":"GET","resourcePath":"/plain"}}`)
	r.exactly(id, "load", "input", `{"transformation":{"externalId":"job","concurrencyPolicy":"waitForCurrent","useTransformationCredentials":true}}`)
	r.exactly(id, "sim", "input", `{"simulation":{"routineExternalId":"routine","runTime":17,"inputs":[{"referenceId":"p","value":12345678901234567}]}}`)
	r.exactly(id, "later", "input", `{"function":{"externalId":"async","data":{"n":12345678901234567,"cogniteOrchestrationTaskId":"`+task+`"}},"isAsyncComplete":true}`)
}

// TestUpdatesThatAreTooLarge change nothing; one that is as large as it may be is taken.
func TestUpdatesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+asyncTask+"]")
	id := r.run("w", `{}`)
	task := <-r.asked
	r.waits(id)
	output := func(bytes int) string { return `{"x":"` + strings.Repeat("x", bytes-8) + `"}` }
	message := r.refused(400, "POST", "/workflows/tasks/"+task+"/update", `{"status":"COMPLETED","output":`+output(100<<10+1)+`}`)
	require.Equal(t, "the request is malformed: output: is too large (allowed: at most 100 KB)", message)
	for _, wrong := range []string{`"text"`, `[1]`, `7`, `true`} {
		message = r.refused(400, "POST", "/workflows/tasks/"+task+"/update", `{"status":"COMPLETED","output":`+wrong+`}`)
		require.Equal(t, "the request is malformed: output: is no object (allowed: an object)", message)
	}
	require.Equal(t, "IN_PROGRESS", r.task(id, "a")["status"])
	r.update(200, task, `{"status":"COMPLETED","output":`+output(100<<10)+`}`)
	r.ends(id, "COMPLETED")
	require.Len(t, r.task(id, "a")["output"].(map[string]any)["x"], 100<<10-8)
}

// TestMostFilters: a list takes a hundred workflows, and no more.
func TestMostFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	filters := func(n int) string {
		all := make([]map[string]string, n)
		for i := range all {
			all[i] = map[string]string{"externalId": "w" + strconv.Itoa(i)}
		}
		text, err := json.Marshal(map[string]any{"filter": map[string]any{"workflowFilters": all}})
		require.NoError(t, err)
		return string(text)
	}
	for _, path := range []string{"/workflows/executions/list", "/workflows/versions/list"} {
		require.Empty(t, r.must(200, "POST", path, filters(100)).json()["items"])
		require.Equal(t, "the request is malformed: filter.workflowFilters: has 101 items (allowed: at most 100)", r.refused(400, "POST", path, filters(101)))
	}
}
