package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/test/fleet"
)

// awaitTask waits until the task of a reference name has a status.
func (c conductor) awaitTask(id, ref, status string) conductorWorkflow {
	c.t.Helper()
	var w conductorWorkflow
	fleet.Await(c.t, patience, ref+" is "+status, func() bool {
		w = c.get(id)
		return w.task(ref).Status == status
	})
	return w
}

func TestConductorWaitsAndPeople(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.defines("waits", `{"name":"w","taskReferenceName":"a while","type":"WAIT","inputParameters":{"duration":"1 seconds"}},
	  {"name":"w","taskReferenceName":"until","type":"WAIT","inputParameters":{"until":"${workflow.input.until}"}},
	  {"name":"w","taskReferenceName":"signal","type":"WAIT","inputParameters":{"for":"${workflow.input.what}"}},
	  {"name":"h","taskReferenceName":"person","type":"HUMAN","inputParameters":{"question":"well?"}}`, `"outputParameters":{"signal":"${signal.output.x}","person":"${person.output.y}"}`)
	began := time.Now()
	id := c.begin("waits", `{"until":"2024-01-01 10:00 GMT","what":"rain"}`)
	w := c.awaitTask(id, "signal", "IN_PROGRESS")
	require.Greater(t, time.Since(began), time.Second)
	require.Equal(t, []string{"a while WAIT COMPLETED", "until WAIT COMPLETED", "signal WAIT IN_PROGRESS"}, w.lines())
	require.NotEmpty(t, c.must("POST", "/tasks/"+id+"/signal/COMPLETED", `{"x":1}`))
	w = c.awaitTask(id, "person", "IN_PROGRESS")
	require.Equal(t, object{"question": "well?"}, w.task("person").InputData)
	c.complete(w.task("person"), `{"y":2}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, object{"signal": 1.0, "person": 2.0}, w.Output)
	require.Equal(t, object{"x": 1.0}, w.task("signal").OutputData)

	// A wait that is run again waits in full; somebody may fail it.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, w.task("signal").TaskID))
	w = c.awaitTask(id, "signal", "IN_PROGRESS")
	c.report(w.task("signal"), "FAILED", `,"reasonForIncompletion":"it stayed dry"`)
	w = c.ends(id, "FAILED")
	require.Equal(t, []any{"FAILED", "it stayed dry"}, []any{w.task("signal").Status, w.ReasonForIncompletion})
	bad := c.ends(c.begin("waits", `{"until":"soon"}`), "FAILED")
	require.Contains(t, bad.ReasonForIncompletion, `"soon" is no time`)
}

func TestConductorEvents(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("Leaf", `{"name":"work","taskReferenceName":"leaf","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}}`)
	c.defines("waiting", `{"name":"w","taskReferenceName":"signal","type":"WAIT"}`, `"outputParameters":{"x":"${signal.output.x}"}`)
	c.defines("telling", `{"name":"e","taskReferenceName":"tell","type":"EVENT","sink":"conductor:news","inputParameters":{"n":"${workflow.input.n}","target":"${workflow.input.target}"}}`)
	handler := func(name, condition, action string) {
		c.must("POST", "/event", fmt.Sprintf(`{"name":%q,"event":"conductor:telling:news","condition":%q,"active":true,"actions":[%s]}`, name, condition, action))
	}
	handler("start", "$.n > 5 && $.workflowType == 'telling'", `{"action":"start_workflow","start_workflow":{"name":"Leaf","version":1,"input":{"n":"${n}"},"correlationId":"${workflowInstanceId}"}}`)
	handler("complete", "", `{"action":"complete_task","complete_task":{"workflowId":"${target}","taskRefName":"signal","output":{"x":"${n}"}}}`)
	status, _, text := c.call("POST", "/event", `{"name":"bad","event":"conductor:a:b","condition":"$.n >","active":true,"actions":[{"action":"start_workflow","start_workflow":{"name":"Leaf"}}]}`)
	require.Equal(t, 400, status)
	require.Contains(t, text, "SyntaxError")

	waiting := c.begin("waiting", `{}`)
	c.awaitTask(waiting, "signal", "IN_PROGRESS")
	told := c.begin("telling", fmt.Sprintf(`{"n":8,"target":%q}`, waiting))
	w := c.ends(told, "COMPLETED")
	require.Equal(t, []string{"tell EVENT COMPLETED"}, w.lines())
	gave := w.task("tell").OutputData
	require.Equal(t, []any{8.0, "conductor:telling:news", told, "telling", 1.0, "corr"}, []any{gave["n"], gave["event_produced"], gave["workflowInstanceId"], gave["workflowType"], gave["workflowVersion"], gave["correlationId"]})
	require.Equal(t, "conductor:news", w.task("tell").InputData["sink"])
	require.Equal(t, object{"x": 8.0}, c.ends(waiting, "COMPLETED").Output)
	leaf := c.poll("work")
	require.Equal(t, object{"n": 8.0}, leaf.InputData)
	require.Equal(t, told, c.get(leaf.WorkflowInstanceID).CorrelationID)
	c.complete(leaf, `{}`)

	// The condition keeps the start from happening; what the other one cannot do is in the log of the task, and no failure of it.
	w = c.ends(c.begin("telling", fmt.Sprintf(`{"n":5,"target":%q}`, waiting)), "COMPLETED")
	require.Contains(t, c.must("GET", "/tasks/"+w.task("tell").TaskID+"/log", ""), "event handler complete: complete_task: Found no running task signal")
	require.Equal(t, []any{}, decode[[]any](t, c.must("GET", "/workflow/running/Leaf", "")))

	c.must("DELETE", "/event/complete", "")
	handler("fail", "true", `{"action":"fail_task","fail_task":{"workflowId":"${target}","taskRefName":"signal"}}`)
	waiting = c.begin("waiting", `{}`)
	c.awaitTask(waiting, "signal", "IN_PROGRESS")
	c.ends(c.begin("telling", fmt.Sprintf(`{"n":1,"target":%q}`, waiting)), "COMPLETED")
	require.Equal(t, []string{"signal WAIT FAILED"}, c.ends(waiting, "FAILED").lines())

	// A whole workflow is ended, by the handlers that are active.
	c.must("DELETE", "/event/fail", "")
	switched := func(method string, active bool) {
		c.must(method, "/event", fmt.Sprintf(`{"name":"end","event":"conductor:news","active":%t,"actions":[{"action":"terminate_workflow","terminate_workflow":{"workflowId":"${target}","terminationReason":"news of ${n}"}}]}`, active))
	}
	switched("POST", false)
	waiting = c.begin("waiting", `{}`)
	c.awaitTask(waiting, "signal", "IN_PROGRESS")
	news := fmt.Sprintf(`{"n":2,"target":%q}`, waiting)
	c.ends(c.begin("telling", news), "COMPLETED")
	require.Equal(t, "RUNNING", c.get(waiting).Status, "the handler is not active")
	switched("PUT", true)
	c.ends(c.begin("telling", news), "COMPLETED")
	w = c.ends(waiting, "TERMINATED")
	require.Equal(t, []any{"news of 2", []string{"signal WAIT CANCELED"}}, []any{w.ReasonForIncompletion, w.lines()})
	c.ends(c.begin("telling", news), "COMPLETED") // it has ended already: nothing is wrong
}

func TestConductorStartsOthers(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("Leaf", `{"name":"work","taskReferenceName":"leaf","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}}`, `"outputParameters":{"n":"${leaf.output.n}"}`)
	c.defines("starts", `{"name":"s","taskReferenceName":"s","type":"START_WORKFLOW","inputParameters":{"startWorkflow":{"name":"Leaf","version":1,"correlationId":"other","input":{"n":"${workflow.input.n}"}}}}`,
		`"outputParameters":{"id":"${s.output.workflowId}"}`)
	w := c.ends(c.begin("starts", `{"n":5}`), "COMPLETED")
	require.Equal(t, []string{"s START_WORKFLOW COMPLETED"}, w.lines())
	leaf := c.poll("work")
	require.Equal(t, []any{w.Output["id"], object{"n": 5.0}}, []any{leaf.WorkflowInstanceID, leaf.InputData})
	other := c.get(leaf.WorkflowInstanceID)
	require.Equal(t, []any{"other", ""}, []any{other.CorrelationID, other.ParentWorkflowID}, "it is nobody's child")
	c.complete(leaf, `{}`)

	c.defines("outer", `{"name":"sub","taskReferenceName":"s","type":"SUB_WORKFLOW","inputParameters":{"n":"${workflow.input.n}"},"subWorkflowParam":{"name":"Leaf"}}`, `"outputParameters":{"n":"${s.output.n}"}`)
	id := c.begin("outer", `{"n":6}`)
	leaf = c.poll("work")
	require.Equal(t, []any{id, "corr"}, []any{c.get(leaf.WorkflowInstanceID).ParentWorkflowID, c.get(leaf.WorkflowInstanceID).CorrelationID})
	c.complete(leaf, `{"n":60}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, object{"n": 60.0}, w.Output)
	require.Equal(t, leaf.WorkflowInstanceID, w.task("s").SubWorkflowID)
	require.Equal(t, object{"n": 60.0, "subWorkflowId": leaf.WorkflowInstanceID}, w.task("s").OutputData)

	// What cleans up is started with all that is known of the failure.
	c.defines("cleanup", `{"name":"ship","taskReferenceName":"c","type":"SIMPLE","inputParameters":{"id":"${workflow.input.workflowId}","why":"${workflow.input.reason}","how":"${workflow.input.failureStatus}",
	  "task":"${workflow.input.failureTaskId}","name":"${workflow.input.failedWorkflow.workflowName}"}}`)
	c.defines("fragile", `{"name":"work","taskReferenceName":"w","type":"SIMPLE"}`, `"failureWorkflow":"cleanup"`)
	id = c.begin("fragile", `{}`)
	broken := c.poll("work")
	c.report(broken, "FAILED", `,"reasonForIncompletion":"it broke"`)
	w = c.ends(id, "FAILED")
	require.Equal(t, []string{"w work FAILED"}, w.lines())
	clean := c.poll("ship")
	require.Equal(t, object{"id": id, "why": "it broke", "how": "FAILED", "task": broken.TaskID, "name": "fragile"}, clean.InputData)
	c.complete(clean, `{}`)
}

func TestConductorTaskDefinitions(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", `[{"name":"close","retryCount":0},
	  {"name":"fixed","retryCount":2,"retryLogic":"FIXED","retryDelaySeconds":1,"inputTemplate":{"usual":"u","n":0}},
	  {"name":"linear","retryCount":2,"retryLogic":"LINEAR_BACKOFF","retryDelaySeconds":1,"backoffScaleFactor":2},
	  {"name":"exponential","retryCount":3,"retryLogic":"EXPONENTIAL_BACKOFF","retryDelaySeconds":1,"maxRetryDelaySeconds":2},
	  {"name":"slow","retryCount":0,"timeoutSeconds":1,"responseTimeoutSeconds":1,"timeoutPolicy":"TIME_OUT_WF"}]`)
	for name, delays := range map[string][]int{"fixed": {1, 1}, "linear": {2, 4}, "exponential": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := conductor{t, f}
			c.defines("retries "+name, fmt.Sprintf(`{"name":%q,"taskReferenceName":"w","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}}`, name))
			id := c.begin("retries "+name, `{"n":1}`)
			var former conductorTask
			for n, delay := range delays {
				task := c.poll(name)
				require.Equal(t, []any{n, former.TaskID}, []any{task.RetryCount, task.RetriedTaskID})
				failed := time.Now()
				c.report(task, "FAILED", fmt.Sprintf(`,"reasonForIncompletion":"failure %d"`, n))
				w := c.get(id)
				next := w.task("w")
				require.Equal(t, []any{"SCHEDULED", n + 1, delay, task.TaskID}, []any{next.Status, next.RetryCount, next.CallbackAfterSeconds, next.RetriedTaskID})
				require.True(t, w.Tasks[len(w.Tasks)-2].Retried)
				next = c.poll(name)
				require.GreaterOrEqual(t, time.Since(failed)+50*time.Millisecond, time.Duration(delay)*time.Second, "it does not come before its time")
				c.report(next, "IN_PROGRESS", `,"callbackAfterSeconds":0`)
				former = task
			}
			last := c.poll(name)
			if name == "fixed" {
				require.Equal(t, object{"usual": "u", "n": 1.0}, last.InputData)
			}
			c.complete(last, `{}`)
			require.Equal(t, []string{"w " + name + " FAILED", "w " + name + " FAILED", "w " + name + " COMPLETED"}, c.ends(id, "COMPLETED").lines())
		})
	}
	t.Run("optional", func(t *testing.T) {
		t.Parallel()
		c := conductor{t, f}
		c.defines("optional", `{"name":"close","taskReferenceName":"w","type":"SIMPLE","optional":true},{"name":"n","taskReferenceName":"n","type":"NOOP"}`, `"outputParameters":{"status":"${w.status}"}`)
		id := c.begin("optional", `{}`)
		c.report(c.poll("close"), "FAILED", `,"reasonForIncompletion":"never mind"`)
		w := c.ends(id, "COMPLETED")
		require.Equal(t, []string{"w close COMPLETED_WITH_ERRORS", "n NOOP COMPLETED"}, w.lines())
		require.Equal(t, object{"status": "COMPLETED_WITH_ERRORS"}, w.Output)
	})
	t.Run("timed out", func(t *testing.T) {
		t.Parallel()
		c := conductor{t, f}
		c.defines("slow", `{"name":"slow","taskReferenceName":"w","type":"SIMPLE"}`)
		id := c.begin("slow", `{}`)
		c.poll("slow")
		require.Equal(t, []string{"w slow TIMED_OUT"}, c.ends(id, "TIMED_OUT").lines())
	})
}

func TestConductorForksAndLoopsWithWorkers(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("forks", `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[[{"name":"work","taskReferenceName":"a"},{"name":"close","taskReferenceName":"a2"}],[{"name":"work","taskReferenceName":"b"}]]},
	  {"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["a2","b"]}`)
	id := c.begin("forks", `{}`)
	tasks := c.polls("work", 2)
	require.Equal(t, []string{"f FORK COMPLETED", "a work IN_PROGRESS", "b work IN_PROGRESS", "j JOIN IN_PROGRESS"}, c.get(id).lines())
	c.report(tasks["b"], "FAILED", "")
	w := c.ends(id, "FAILED")
	require.Equal(t, []string{"f FORK COMPLETED", "a work CANCELED", "b work FAILED", "j JOIN CANCELED"}, w.lines())
	c.must("POST", "/workflow/"+id+"/retry", "")
	require.Equal(t, []string{"f FORK COMPLETED", "a work CANCELED", "b work FAILED", "j JOIN IN_PROGRESS", "a work SCHEDULED", "b work SCHEDULED"}, c.get(id).lines())
	tasks = c.polls("work", 2)
	c.complete(tasks["a"], `{}`)
	c.complete(tasks["b"], `{"n":2}`)
	c.complete(c.poll("close"), `{"n":1}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, object{"a2": object{"n": 1.0}, "b": object{"n": 2.0}}, w.Output)
	// Of one branch that ended well, only that one runs again, and what comes behind it.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, w.task("b").TaskID))
	b := c.poll("work")
	require.Equal(t, "b", b.ReferenceTaskName)
	require.Equal(t, "IN_PROGRESS", c.get(id).task("j").Status)
	c.complete(b, `{"n":3}`)
	require.Equal(t, object{"a2": object{"n": 1.0}, "b": object{"n": 3.0}}, c.ends(id, "COMPLETED").task("j").OutputData)

	c.defines("loops", `{"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"$.w['more'] == true","loopOver":[{"name":"work","taskReferenceName":"w","inputParameters":{"n":"${l.output.iteration}","former":"${w.output.v}"}}]}`,
		`"outputParameters":{"l":"${l.output}"}`)
	id = c.begin("loops", `{}`)
	one := c.poll("work")
	require.Equal(t, []any{"w__1", 1, object{"n": 1.0, "former": nil}}, []any{one.ReferenceTaskName, one.Iteration, one.InputData})
	c.complete(one, `{"more":true,"v":"x"}`)
	two := c.poll("work")
	require.Equal(t, []any{"w__2", 2, object{"n": 2.0, "former": "x"}}, []any{two.ReferenceTaskName, two.Iteration, two.InputData})
	require.Equal(t, []string{"l DO_WHILE IN_PROGRESS 2", "w__1 work COMPLETED 1", "w__2 work IN_PROGRESS 2"}, c.get(id).lines())
	c.complete(two, `{"more":false}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, object{"iteration": 2.0, "1": object{"w": object{"more": true, "v": "x"}}, "2": object{"w": object{"more": false}}}, w.Output["l"])
	require.Equal(t, w.Output["l"], any(w.task("l").OutputData))
	// From an iteration of a loop that has ended: the one before stays, the loop goes on.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, two.TaskID))
	two = c.poll("work")
	require.Equal(t, "w__2", two.ReferenceTaskName)
	c.complete(two, `{"more":true}`)
	three := c.poll("work")
	require.Equal(t, "w__3", three.ReferenceTaskName)
	c.complete(three, `{}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, one.TaskID, w.task("w__1").TaskID)
	require.EqualValues(t, 3, w.Output["l"].(object)["iteration"])
}
