package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConductorRetryOfAPartTakesAlong: who retries a sub-workflow has what was canceled beside it run again, too, or
// the workflow around it could only end badly once more.
func TestConductorRetryOfAPartTakesAlong(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("Part", `{"name":"work","taskReferenceName":"x"},{"name":"close","taskReferenceName":"y"}`)
	c.defines("around", `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[
	    [{"name":"s","taskReferenceName":"s","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"Part"}}],[{"name":"beside","taskReferenceName":"b"}]]},
	  {"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["s","b"]}`, `"failureWorkflow":"there is none"`)
	for _, query := range []string{"", "?resumeSubworkflowTasks=true"} {
		id := c.begin("around", `{}`)
		x := c.poll("work")
		part := x.WorkflowInstanceID
		c.complete(x, `{}`)
		c.report(c.poll("close"), "FAILED_WITH_TERMINAL_ERROR", "")
		w := c.ends(id, "FAILED")
		require.Equal(t, []string{"f FORK COMPLETED", "s SUB_WORKFLOW FAILED", "b beside CANCELED", "j JOIN CANCELED"}, w.lines(), "whatever made its task fail")
		c.must("POST", "/workflow/"+part+"/retry"+query, "")
		again := c.poll("close")
		require.Equal(t, part, again.WorkflowInstanceID, "in place")
		c.complete(again, `{}`)
		c.complete(c.poll("beside"), `{}`)
		w = c.ends(id, "COMPLETED")
		require.Equal(t, part, w.task("s").SubWorkflowID)
		require.Equal(t, []string{"x work COMPLETED", "y close FAILED_WITH_TERMINAL_ERROR", "y close COMPLETED"}, c.get(part).lines())
	}
}

// TestConductorLoopsGoOnBehindASwitch: a SWITCH that takes none of its cases at the end of a DO_WHILE ends an iteration as
// any other task does.
func TestConductorLoopsGoOnBehindASwitch(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.defines("loops", `{"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"$.l['iteration'] < 3","loopOver":[
	    {"name":"n","taskReferenceName":"n","type":"INLINE","inputParameters":{"expression":"1"}},
	    {"name":"sw","taskReferenceName":"sw","type":"SWITCH","evaluatorType":"value-param","expression":"v","inputParameters":{"v":"${workflow.input.v}"},
	     "decisionCases":{"a":[{"name":"s","taskReferenceName":"s1","type":"SET_VARIABLE","inputParameters":{"x":1}}],"b":[{"name":"s","taskReferenceName":"s2","type":"SET_VARIABLE","inputParameters":{"x":2}}]}}]}`)
	w := c.ends(c.begin("loops", `{}`), "COMPLETED")
	require.Equal(t, 3, w.task("l").Iteration)
	require.Equal(t, "COMPLETED", w.task("sw__3").Status)
	id := c.begin("loops", `{"v":"b"}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, 3, w.task("l").Iteration)
	require.Equal(t, object{"x": 2.0}, decode[conductorWorkflow](t, c.must("GET", "/workflow/"+id+"?includeTasks=false", "")).Variables, "also where no tasks are asked for")
}

func TestConductorTellsOfWhatCameOfAFailure(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.defines("Cleaning", `{"name":"n","taskReferenceName":"n","type":"NOOP"}`)
	c.defines("fails", `{"name":"soft","taskReferenceName":"soft","optional":true,"retryCount":1},
	  {"name":"in","taskReferenceName":"in","type":"INLINE","inputParameters":{"expression":"[{type:'INLINE',taskReferenceName:'p',inputParameters:{expression:'4'}},{name:'work',taskReferenceName:'q',inputParameters:{me:'$'+'{CPEWF_TASK_ID}'}}]"}},
	  {"name":"df","taskReferenceName":"df","type":"FORK_JOIN_DYNAMIC","dynamicForkTasksParam":"tasks","dynamicForkTasksInputParamName":"inputs","inputParameters":{"tasks":"${in.output.result}","inputs":{}}},
	  {"name":"dj","taskReferenceName":"dj","type":"JOIN"}`, `"failureWorkflow":"Cleaning"`)
	c.must("POST", "/metadata/taskdefs", `[{"name":"work","retryCount":0},{"name":"soft","retryCount":1,"retryDelaySeconds":0}]`)
	id := c.begin("fails", `{}`)
	for range 2 {
		c.report(c.poll("soft"), "FAILED", "")
	}
	q := c.poll("work")
	w := c.awaitTask(id, "p", "COMPLETED")
	require.Equal(t, []string{"soft soft FAILED", "soft soft COMPLETED_WITH_ERRORS"}, w.lines()[:2], "only the last attempt of an optional task is completed with errors")
	require.Equal(t, object{"me": q.TaskID}, w.task("q").InputData)
	require.Equal(t, object{"result": 4.0}, w.task("p").OutputData, "a task that no worker takes needs no name")
	c.report(q, "FAILED_WITH_TERMINAL_ERROR", `,"reasonForIncompletion":"no more"`)
	w = c.ends(id, "FAILED")
	cleaning, _ := w.Output["conductor.failure_workflow"].(string)
	w = c.ends(cleaning, "COMPLETED")
	require.Equal(t, []any{id, "FAILED"}, []any{w.Input["workflowId"], w.Input["failureStatus"]})
	require.Contains(t, w.Input["reason"], "no more")
}

// TestConductorDecidesBeforeItAnswers: what Conductor runs itself, at once, is done when a call answers that it does that in.
func TestConductorDecidesBeforeItAnswers(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.defines("decides", `{"name":"work","taskReferenceName":"a"},{"name":"n","taskReferenceName":"n","type":"INLINE","inputParameters":{"expression":"$.v + 1","v":"${a.output.v}"}},
	  {"name":"sw","taskReferenceName":"sw","type":"SWITCH","evaluatorType":"value-param","expression":"v","inputParameters":{"v":"${n.output.result}"},
	   "decisionCases":{"2":[{"name":"close","taskReferenceName":"two"}],"3":[{"name":"close","taskReferenceName":"three"}]}}`)
	id := c.begin("decides", `{}`)
	w := decode[conductorWorkflow](t, c.must("POST", "/tasks/"+id+"/a/COMPLETED/sync", `{"v":1}`))
	require.Equal(t, []string{"a work COMPLETED", "n INLINE COMPLETED", "sw SWITCH COMPLETED", "two close SCHEDULED"}, w.lines())
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"v":"3"}}`, w.task("sw").TaskID))
	w = c.get(id)
	require.Equal(t, []string{"SCHEDULED", "COMPLETED"}, []string{w.task("three").Status, w.task("sw").Status})
}
