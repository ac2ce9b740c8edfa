package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConductorReportsKeepTheirOutput(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", `[{"name":"crawl","retryCount":1,"retryDelaySeconds":0}]`)
	c.defines("Crawl", `{"name":"crawl","taskReferenceName":"c","type":"SIMPLE"},{"name":"ask","taskReferenceName":"h","type":"HUMAN"}`, `"outputParameters":{"c":"${c.output}","h":"${h.output}"}`)
	id := c.begin("Crawl", `{}`)
	task := c.poll("crawl")
	require.Empty(t, task.OutputData)
	c.report(task, "IN_PROGRESS", `,"outputData":{"pages":1}`)
	again := c.poll("crawl")
	require.Equal(t, []any{task.TaskID, object{"pages": 1.0}}, []any{again.TaskID, again.OutputData})
	require.Equal(t, object{"pages": 1.0}, c.get(id).task("c").OutputData)
	c.report(task, "IN_PROGRESS", `,"callbackAfterSeconds":1,"outputData":{"pages":2}`)
	now := decode[conductorTask](t, c.must("GET", "/tasks/"+task.TaskID, ""))
	require.Equal(t, object{"pages": 2.0}, now.OutputData)
	again = c.poll("crawl")
	require.Equal(t, []any{task.TaskID, object{"pages": 2.0}}, []any{again.TaskID, again.OutputData})
	c.report(task, "IN_PROGRESS", `,"callbackAfterSeconds":3000`)
	now = decode[conductorTask](t, c.must("GET", "/tasks/"+task.TaskID, ""))
	require.Equal(t, []any{"SCHEDULED", object{"pages": 2.0}}, []any{now.Status, now.OutputData})
	require.InDelta(t, 3000, now.CallbackAfterSeconds, 60)
	c.report(task, "FAILED", `,"outputData":{"pages":3},"reasonForIncompletion":"no answer"`) // while it waits to be delivered again

	second := c.poll("crawl")
	require.Equal(t, []any{task.TaskID, 1}, []any{second.RetriedTaskID, second.RetryCount})
	require.Empty(t, second.OutputData)
	c.report(second, "FAILED_WITH_TERMINAL_ERROR", `,"outputData":{"pages":4},"reasonForIncompletion":"gone"`)
	c.report(task, "IN_PROGRESS", `,"outputData":{"pages":99}`) // of an attempt that is over
	w := c.ends(id, "FAILED")
	require.Equal(t, []string{"c crawl FAILED", "c crawl FAILED_WITH_TERMINAL_ERROR"}, w.lines())
	require.Equal(t, []any{object{"pages": 3.0}, "no answer", object{"pages": 4.0}, "gone"},
		[]any{w.Tasks[0].OutputData, w.Tasks[0].ReasonForIncompletion, w.Tasks[1].OutputData, w.Tasks[1].ReasonForIncompletion})

	c.must("POST", "/workflow/"+id+"/retry", "")
	third := c.poll("crawl")
	c.report(third, "IN_PROGRESS", `,"outputData":{"pages":5}`)
	c.complete(c.poll("crawl"), `{"done":true}`)
	w = c.awaitTask(id, "h", "IN_PROGRESS")
	require.Equal(t, object{"done": true}, w.task("c").OutputData)
	c.must("POST", "/tasks/"+id+"/h/IN_PROGRESS", `{"draft":"x"}`)
	require.Equal(t, object{"draft": "x"}, c.get(id).task("h").OutputData)
	c.must("POST", "/tasks/"+id+"/h/COMPLETED", `{"text":"y"}`)
	require.Equal(t, object{"c": object{"done": true}, "h": object{"text": "y"}}, c.ends(id, "COMPLETED").Output)
}

func TestConductorLimitsOfATask(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", `[{"name":"press","concurrentExecLimit":2},{"name":"mail","rateLimitPerFrequency":1,"rateLimitFrequencyInSeconds":3600}]`)
	c.defines("Press", `{"name":"press","taskReferenceName":"p","type":"SIMPLE"},{"name":"mail","taskReferenceName":"m","type":"SIMPLE"}`)
	for range 3 {
		c.begin("Press", `{}`)
	}
	polls := func(name string) []conductorTask {
		return decode[[]conductorTask](t, c.must("GET", "/tasks/poll/batch/"+name+"?workerid=w&count=10&timeout=1000", ""))
	}
	first := c.poll("press")
	second := c.poll("press")
	require.Empty(t, polls("press"))
	c.complete(first, `{}`)
	third := c.poll("press")
	require.Empty(t, polls("press"))
	c.complete(second, `{}`)
	c.complete(third, `{}`)
	c.complete(c.poll("mail"), `{}`)
	require.Empty(t, polls("mail"), "one an hour")

	c.must("PUT", "/metadata/taskdefs", `{"name":"mail"}`) // without a limit
	c.complete(c.poll("mail"), `{}`)
	c.complete(c.poll("mail"), `{}`)
}

// TestConductorShowsWhatATaskWillBeGiven before a worker has it.
func TestConductorShowsWhatATaskWillBeGiven(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.defines("Two", `{"name":"one","taskReferenceName":"a","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}},{"name":"two","taskReferenceName":"b","type":"SIMPLE","inputParameters":{"m":"${a.output.m}","x":1}}`)
	id := c.begin("Two", `{"n":7}`)
	require.Equal(t, object{"n": 7.0}, c.awaitTask(id, "a", "SCHEDULED").task("a").InputData)
	c.complete(c.poll("one"), `{"m":[1]}`)
	w := c.awaitTask(id, "b", "SCHEDULED")
	require.Equal(t, object{"m": []any{1.0}, "x": 1.0}, w.task("b").InputData)
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"m":"mine"}}`, w.task("b").TaskID))
	w = c.awaitTask(id, "b", "SCHEDULED")
	require.Equal(t, object{"m": "mine"}, w.task("b").InputData)
	require.Equal(t, object{"m": "mine"}, c.poll("two").InputData)
}

func TestConductorSignals(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.defines("inner", `{"name":"y","taskReferenceName":"y","type":"YIELD"},{"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"a":"${y.output.a}","expression":"$.a + 1","evaluatorType":"javascript"}}`, `"outputParameters":{"b":"${i.output.result}"}`)
	c.defines("outer", `{"name":"s","taskReferenceName":"s","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"inner"}},{"name":"h","taskReferenceName":"h","type":"HUMAN","inputParameters":{"b":"${s.output.b}"}}`)
	run := decode[object](t, c.must("POST", "/workflow/execute/outer/1?waitForSeconds=60&returnStrategy=BLOCKING_WORKFLOW", `{}`))
	id, inner := run["targetWorkflowId"].(string), run["workflowId"].(string)
	require.Equal(t, []any{"BLOCKING_WORKFLOW", "RUNNING", "RUNNING"}, []any{run["responseType"], run["targetWorkflowStatus"], run["status"]})
	require.Equal(t, id, c.get(inner).ParentWorkflowID)
	run = decode[object](t, c.must("POST", "/tasks/"+id+"/COMPLETED/signal/sync?returnStrategy=BLOCKING_TASK_INPUT", `{"a":41}`))
	require.Equal(t, []any{id, "h", object{"b": 42.0}}, []any{run["workflowId"], run["referenceTaskName"], run["input"]})
	run = decode[object](t, c.must("POST", "/tasks/"+id+"/FAILED_WITH_TERMINAL_ERROR/signal/sync", `{"why":"no"}`))
	require.Equal(t, []any{"TARGET_WORKFLOW", "FAILED"}, []any{run["responseType"], run["status"]})
	require.Equal(t, object{"why": "no"}, c.get(id).task("h").OutputData)
}
