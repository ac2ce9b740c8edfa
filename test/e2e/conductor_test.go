package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/test/fleet"
)

// conductor calls Conductor's API, with the key where its clients put it.
type conductor struct {
	t *testing.T
	f *fleet.Fleet
}

func (c conductor) call(method, path, body string) (int, string, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.f.URL+"/api"+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("X-Authorization", c.f.Key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.f.HTTP.Do(r)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, resp.Body.Close()) }()
	text, err := readAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), text
}

// must is call that is answered with a status of 2xx.
func (c conductor) must(method, path, body string) string {
	c.t.Helper()
	status, _, text := c.call(method, path, body)
	require.Less(c.t, status, 300, "%s %s: %s", method, path, text)
	return text
}

type conductorTask struct {
	TaskID, TaskType, TaskDefName, Status, ReferenceTaskName, WorkflowInstanceID, RetriedTaskID, ReasonForIncompletion, SubWorkflowID string
	RetryCount, Seq, Iteration, CallbackAfterSeconds                                                                                  int
	Retried                                                                                                                           bool
	InputData, OutputData                                                                                                             map[string]any
}

type conductorWorkflow struct {
	WorkflowID, WorkflowName, Status, ReasonForIncompletion, CorrelationID, ParentWorkflowID string
	WorkflowVersion                                                                          int
	Input, Output, Variables                                                                 map[string]any
	Tasks                                                                                    []conductorTask
}

func (c conductor) get(id string) conductorWorkflow {
	c.t.Helper()
	return decode[conductorWorkflow](c.t, c.must("GET", "/workflow/"+id, ""))
}

// ends waits until a workflow has a status.
func (c conductor) ends(id, status string) conductorWorkflow {
	c.t.Helper()
	var w conductorWorkflow
	fleet.Await(c.t, patience, id+" is "+status, func() bool {
		w = c.get(id)
		return w.Status == status
	})
	return w
}

// poll takes one task as a worker does.
func (c conductor) poll(name string) conductorTask {
	c.t.Helper()
	var tasks []conductorTask
	fleet.Await(c.t, patience, "there is a task "+name, func() bool {
		tasks = decode[[]conductorTask](c.t, c.must("GET", "/tasks/poll/batch/"+name+"?workerid=w&count=1&timeout=1000", ""))
		return len(tasks) == 1
	})
	return tasks[0]
}

func (c conductor) report(t conductorTask, status, more string) {
	c.t.Helper()
	body := fmt.Sprintf(`{"workflowInstanceId":%q,"taskId":%q,"status":%q,"workerId":"w"%s}`, t.WorkflowInstanceID, t.TaskID, status, more)
	require.Equal(c.t, t.TaskID, c.must("POST", "/tasks", body))
}

func (c conductor) complete(t conductorTask, output string) {
	c.t.Helper()
	c.report(t, "COMPLETED", `,"outputData":`+output)
}

// refs tells the tasks of a workflow, as "ref:STATUS".
func (w conductorWorkflow) refs() []string {
	var all []string
	for _, t := range w.Tasks {
		all = append(all, t.ReferenceTaskName+":"+t.Status)
	}
	return all
}

func (w conductorWorkflow) task(ref string) conductorTask {
	var last conductorTask
	for _, t := range w.Tasks {
		if t.ReferenceTaskName == ref {
			last = t
		}
	}
	return last
}

const conductorOrder = `[{"name": "order", "version": 1, "tasks": [
  {"name": "fetch", "taskReferenceName": "fetch_ref", "type": "SIMPLE", "inputParameters": {"id": "${workflow.input.id}"}},
  {"name": "sw", "taskReferenceName": "sw", "type": "SWITCH", "evaluatorType": "value-param", "expression": "kind", "inputParameters": {"kind": "${fetch_ref.output.kind}"},
   "decisionCases": {"paid": [{"name": "ship", "taskReferenceName": "ship_ref", "type": "SIMPLE", "inputParameters": {"to": "${fetch_ref.output.to}", "text": "to ${fetch_ref.output.to}!"}}]},
   "defaultCase": [{"name": "t", "taskReferenceName": "refuse", "type": "TERMINATE", "inputParameters": {"terminationStatus": "FAILED", "terminationReason": "not paid"}}]},
  {"name": "close", "taskReferenceName": "close_ref", "type": "SIMPLE", "inputParameters": {"shipped": "${ship_ref.output.no}", "missing": "${fetch_ref.output.a.b.c}"}}
], "outputParameters": {"no": "${ship_ref.output.no}", "closed": "${close_ref.output}"}}]`

const conductorTaskDefs = `[{"name":"fetch","retryCount":1,"retryDelaySeconds":0,"timeoutSeconds":0,"responseTimeoutSeconds":60},
  {"name":"ship","retryCount":0},{"name":"close","retryCount":0},{"name":"work","retryCount":0}]`

func TestConductorRunsAndReruns(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	require.JSONEq(t, `{"bulkErrorResults":{},"bulkSuccessfulResults":["order"]}`, c.must("PUT", "/metadata/workflow", conductorOrder))
	status, kind, id := c.call("POST", "/workflow", `{"name":"order","version":1,"correlationId":"c1","input":{"id":7}}`)
	require.Equal(t, []any{200, "text/plain"}, []any{status, kind})

	first := c.poll("fetch")
	require.Equal(t, map[string]any{"id": 7.0}, first.InputData)
	require.Equal(t, []any{id, "fetch_ref", "fetch", 0, "IN_PROGRESS"}, []any{first.WorkflowInstanceID, first.ReferenceTaskName, first.TaskType, first.RetryCount, first.Status})
	c.report(first, "FAILED", `,"reasonForIncompletion":"try again"`)
	again := c.poll("fetch")
	require.Equal(t, 1, again.RetryCount)
	require.Equal(t, first.TaskID, again.RetriedTaskID)
	c.complete(first, `{"kind":"late"}`) // of the former attempt: taken, and means nothing
	c.complete(again, `{"kind":"paid","to":"Oslo"}`)
	ship := c.poll("ship")
	require.Equal(t, map[string]any{"to": "Oslo", "text": "to Oslo!"}, ship.InputData)
	c.report(ship, "FAILED_WITH_TERMINAL_ERROR", `,"reasonForIncompletion":"no boat"`)
	w := c.ends(id, "FAILED")
	require.Equal(t, []string{"fetch_ref:FAILED", "fetch_ref:COMPLETED", "sw:COMPLETED", "ship_ref:FAILED_WITH_TERMINAL_ERROR"}, w.refs())
	require.Equal(t, "no boat", w.ReasonForIncompletion)
	require.Equal(t, []any{"c1", 1}, []any{w.CorrelationID, w.WorkflowVersion})

	status, kind, answer := c.call("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"to":"Rome"}}`, w.task("ship_ref").TaskID))
	require.Equal(t, []any{200, "text/plain", id}, []any{status, kind, answer})
	ship = c.poll("ship")
	require.Equal(t, map[string]any{"to": "Rome"}, ship.InputData)
	c.complete(ship, `{"no":12}`)
	last := c.poll("close")
	require.Equal(t, map[string]any{"shipped": 12.0, "missing": nil}, last.InputData)
	c.complete(last, `{}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, map[string]any{"no": 12.0, "closed": map[string]any{}}, w.Output)
	require.Equal(t, []string{"fetch_ref:FAILED", "fetch_ref:COMPLETED", "sw:COMPLETED", "ship_ref:CANCELED", "ship_ref:COMPLETED", "close_ref:COMPLETED"}, w.refs())

	// From a task that succeeded: all that came after it is canceled, however it had ended.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"workflowInput":{"id":8},"correlationId":"c2"}`, again.TaskID))
	now := c.poll("fetch")
	require.Equal(t, map[string]any{"id": 8.0}, now.InputData)
	c.complete(now, `{"kind":"owed"}`)
	w = c.ends(id, "FAILED")
	require.Equal(t, "not paid", w.ReasonForIncompletion)
	require.Equal(t, "c2", w.CorrelationID)
	require.Equal(t, "CANCELED", w.task("close_ref").Status)
	status, _, answer = c.call("POST", "/workflow/"+id+"/rerun", `{"reRunFromTaskId":"nope"}`)
	require.Equal(t, 400, status)
	require.Contains(t, answer, `"message":"Task nope not found"`)

	// The same execution natively: it was asked for through Conductor, and is retried and seen from both sides.
	native := await(t, f, id)
	require.EqualValues(t, "failed", native.Status)
	require.Regexp(t, `^conductor:`, askers(t, f, id)["execution.started"])
	f.Must("rerun", id, "--from", "fetch_ref")
	c.complete(c.poll("fetch"), `{"kind":"paid"}`)
	c.complete(c.poll("ship"), `{"no":13}`)
	c.complete(c.poll("close"), `{"done":true}`)
	require.Equal(t, map[string]any{"no": 13.0, "closed": map[string]any{"done": true}}, c.ends(id, "COMPLETED").Output)
}

func TestConductorVersionsAreLabels(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	def := func(version int, say string) string {
		return fmt.Sprintf(`{"name":"Say it","version":%d,"ownerEmail":"a@b.c","tasks":[{"name":"work","taskReferenceName":"w","type":"SIMPLE","inputParameters":{"say":%q}}]}`, version, say)
	}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.must("POST", "/metadata/workflow", def(1, "one"))
	c.must("POST", "/metadata/workflow", def(2, "two"))
	status, _, text := c.call("POST", "/metadata/workflow", def(1, "again"))
	require.Equal(t, 409, status)
	require.Contains(t, text, "Workflow with Say it.1 already exists!")
	running := c.must("POST", "/workflow", `{"name":"Say it","version":1}`)
	c.must("PUT", "/metadata/workflow", "["+def(1, "changed")+"]")
	says := func(id string) any {
		task := c.poll("work")
		require.Equal(t, id, task.WorkflowInstanceID)
		c.complete(task, `{}`)
		c.ends(id, "COMPLETED")
		return task.InputData["say"]
	}
	require.Equal(t, "one", says(running), "what runs keeps its own")
	require.Equal(t, "changed", says(c.must("POST", "/workflow", `{"name":"Say it","version":1}`)))
	require.Equal(t, "two", says(c.must("POST", "/workflow/Say%20it", `{}`)), "the newest is the highest")
	got := decode[map[string]any](t, c.must("GET", "/metadata/workflow/Say%20it", ""))
	require.Equal(t, []any{2.0, "ALERT_ONLY", 2.0, true}, []any{got["version"], got["timeoutPolicy"], got["schemaVersion"], got["restartable"]})
	c.must("DELETE", "/metadata/workflow/Say%20it/2", "")
	require.Equal(t, "changed", says(c.must("POST", "/workflow/Say%20it", `{}`)))
	status, _, text = c.call("POST", "/workflow", `{"name":"Say it","version":2}`)
	require.Equal(t, 404, status)
	require.Contains(t, text, "No such workflow defined. name=Say it, version=2")
	list := decode[[]map[string]any](t, c.must("GET", "/metadata/workflow", ""))
	require.Len(t, list, 1)
	w := c.get(running)
	require.Equal(t, 1, w.WorkflowVersion)

	c.must("POST", "/workflow/"+running+"/restart?useLatestDefinitions=true", "")
	require.Equal(t, "changed", says(running))
}

func TestConductorOperations(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.must("POST", "/metadata/workflow", `{"name":"ops","version":1,"tasks":[
	  {"name":"work","taskReferenceName":"a","type":"SIMPLE"},
	  {"name":"h","taskReferenceName":"person","type":"HUMAN"},
	  {"name":"work","taskReferenceName":"b","type":"SIMPLE","inputParameters":{"said":"${person.output.say}"}}]}`)
	id := c.must("POST", "/workflow", `{"name":"ops"}`)
	a := c.poll("work")

	refuses := func(method, path, body string, status int, message string) {
		t.Helper()
		got, kind, text := c.call(method, path, body)
		require.Equal(t, []any{status, "application/json"}, []any{got, kind}, text)
		require.Contains(t, text, message)
	}
	at := "/workflow/" + id
	refuses("POST", at+"/rerun", `{}`, 409, fmt.Sprintf("Workflow: ops.1/%s.RUNNING is not in terminal state, unable to rerun.", id))
	refuses("POST", at+"/rerun", `{`, 400, "Cannot read the request")
	refuses("POST", at+"/retry", "", 404, "Workflow is still running.  status=RUNNING")
	refuses("POST", at+"/restart", "", 409, fmt.Sprintf("Workflow: ops.1/%s.RUNNING is not in terminal state, unable to restart.", id))
	refuses("PUT", at+"/resume", "", 409, fmt.Sprintf("The workflow %s is not PAUSED so cannot resume. Current status is RUNNING", id))
	refuses("GET", "/workflow/nope", "", 404, "No such workflow found by id: nope")
	refuses("POST", "/tasks", `{"taskId":"x"}`, 400, "Validation failed")
	refuses("POST", "/tasks", `{"taskId":"x","workflowInstanceId":"y","status":"COMPLETED"}`, 404, "No such task found by id: x")
	refuses("PUT", at+"/skiptask/nope", "", 400, "does not exist in the WorkflowDefinition ops")
	refuses("PUT", at+"/skiptask/a", "", 409, "has already been processed, cannot be skipped")

	c.must("PUT", at+"/pause", "")
	require.Equal(t, "PAUSED", c.get(id).Status)
	c.must("PUT", at+"/pause", "")
	c.complete(a, `{}`)
	c.must("PUT", at+"/resume", "")
	c.ends(id, "RUNNING")
	fleet.Await(t, patience, "a person is asked", func() bool { return c.get(id).task("person").Status == "IN_PROGRESS" })
	c.must("PUT", at+"/skiptask/b", `{"taskOutput":{"x":1}}`)
	require.NotEmpty(t, c.must("POST", "/tasks/"+id+"/person/COMPLETED", `{"say":"yes"}`))
	w := c.ends(id, "COMPLETED")
	require.Equal(t, []string{"a:COMPLETED", "person:COMPLETED", "b:SKIPPED"}, w.refs())
	require.Empty(t, c.must("POST", "/tasks/"+id+"/person/COMPLETED", `{"say":"late"}`))
	refuses("DELETE", at, "", 409, "Cannot terminate a COMPLETED workflow.")
	refuses("POST", at+"/retry", "", 409, "There are no retryable tasks! Use restart if you want to attempt entire workflow execution again.")
	refuses("PUT", at+"/pause", "", 409, "has ended, status cannot be updated.")

	// Rerun of one that runs, from a task that has ended.
	c.must("POST", at+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, w.task("person").TaskID))
	fleet.Await(t, patience, "a person is asked again", func() bool { return c.get(id).task("person").Status == "IN_PROGRESS" })
	c.must("POST", at+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, w.task("a").TaskID))
	a = c.poll("work")
	c.must("DELETE", at+"?reason=enough", "")
	w = c.get(id)
	require.Equal(t, []any{"TERMINATED", "enough"}, []any{w.Status, w.ReasonForIncompletion})
	require.Equal(t, "CANCELED", w.task("a").Status)
	c.complete(a, `{"zombie":true}`)
	c.must("POST", at+"/retry", "")
	retried := c.poll("work")
	c.complete(a, `{"zombie":true}`)
	require.Equal(t, "IN_PROGRESS", c.get(id).task("a").Status, "a late result changes nothing")
	c.complete(retried, `{}`)
	fleet.Await(t, patience, "a person is asked once more", func() bool { return c.get(id).task("person").Status == "IN_PROGRESS" })

	other := c.must("POST", "/workflow", `{"name":"ops"}`)
	ids, err := json.Marshal([]string{id, other, "nope"})
	require.NoError(t, err)
	bulk := decode[map[string]any](t, c.must("POST", "/workflow/bulk/terminate?reason=all", string(ids)))
	require.Equal(t, []any{id, other}, bulk["bulkSuccessfulResults"])
	require.Equal(t, map[string]any{"nope": "No such workflow found by id: nope"}, bulk["bulkErrorResults"])
	refuses("PUT", "/workflow/bulk/pause", `[]`, 400, "WorkflowIds list cannot be null.")
	found := decode[map[string]any](t, c.must("GET", "/workflow/search?query=status+IN+(TERMINATED,FAILED)+AND+workflowType=ops&sort=startTime:ASC", ""))
	require.EqualValues(t, 2, found["totalHits"])
	require.Equal(t, id, found["results"].([]any)[0].(map[string]any)["workflowId"])
	c.must("DELETE", "/workflow/"+other+"/remove", "")
	refuses("GET", "/workflow/"+other, "", 404, "No such workflow found by id: "+other)
}
