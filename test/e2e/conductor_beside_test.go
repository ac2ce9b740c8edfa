package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConductorRerunTakesWhatEndedBadlyAlong: what was canceled because of a failure runs again with it, or the
// workflow could only end badly once more.
func TestConductorRerunTakesWhatEndedBadlyAlong(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("three", `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[[{"name":"work","taskReferenceName":"a"}],[{"name":"work","taskReferenceName":"b"},{"name":"close","taskReferenceName":"b2"}],
	    [{"name":"work","taskReferenceName":"c"}],[{"name":"work","taskReferenceName":"soft","optional":true}]]},
	  {"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["a","b2","c","soft"]}`)
	id := c.begin("three", `{}`)
	tasks := c.polls("work", 4)
	c.complete(tasks["a"], `{"n":1}`)
	c.report(tasks["soft"], "FAILED", "")
	c.report(tasks["b"], "FAILED", "")
	w := c.ends(id, "FAILED")
	require.Equal(t, []string{"f FORK COMPLETED", "a work COMPLETED", "b work FAILED", "c work CANCELED", "soft work COMPLETED_WITH_ERRORS", "j JOIN CANCELED"}, w.lines())
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, tasks["b"].TaskID))
	tasks = c.polls("work", 2)
	c.complete(tasks["b"], `{}`)
	c.complete(tasks["c"], `{}`)
	c.complete(c.poll("close"), `{}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, []int{0, 1, 1, 0, 0}, []int{w.task("a").RetryCount, w.task("b").RetryCount, w.task("c").RetryCount, w.task("b2").RetryCount, w.task("soft").RetryCount})

	// Sub-workflows: of the one that failed and of the one that was canceled beside it, each goes on where it was.
	c.defines("Leaf", `{"name":"work","taskReferenceName":"x","inputParameters":{"n":"${workflow.input.n}"}},{"name":"close","taskReferenceName":"y"}`)
	sub := func(ref string, n int) string {
		return fmt.Sprintf(`[{"name":"s","taskReferenceName":%q,"type":"SUB_WORKFLOW","inputParameters":{"n":%d},"subWorkflowParam":{"name":"Leaf"}}]`, ref, n)
	}
	c.defines("families", `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[`+sub("s1", 1)+","+sub("s2", 2)+`]},{"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["s1","s2"]}`)
	id = c.begin("families", `{}`)
	children := map[any]conductorTask{}
	for range 2 {
		x := c.poll("work")
		c.complete(x, `{}`)
		children[x.InputData["n"]] = x
	}
	closing := map[string]conductorTask{}
	for range 2 {
		y := c.poll("close")
		closing[y.WorkflowInstanceID] = y
	}
	first, second := children[1.0].WorkflowInstanceID, children[2.0].WorkflowInstanceID
	c.report(closing[first], "FAILED", "")
	w = c.ends(id, "FAILED")
	require.Equal(t, []string{"f FORK COMPLETED", "s1 SUB_WORKFLOW FAILED", "s2 SUB_WORKFLOW CANCELED", "j JOIN CANCELED"}, w.lines())
	c.must("POST", "/workflow/"+first+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, closing[first].TaskID))
	for range 2 {
		y := c.poll("close")
		require.Contains(t, []string{first, second}, y.WorkflowInstanceID, "in place")
		c.complete(y, `{}`)
	}
	w = c.ends(id, "COMPLETED")
	require.Equal(t, []string{first, second}, []string{w.task("s1").SubWorkflowID, w.task("s2").SubWorkflowID})
	require.Equal(t, []string{"x work COMPLETED", "y close CANCELED", "y close COMPLETED"}, c.get(second).lines())

	// By the id of the inner one, with another input for that alone.
	id = c.begin("families", `{}`)
	children = map[any]conductorTask{}
	for range 2 {
		x := c.poll("work")
		c.complete(x, `{}`)
		children[x.InputData["n"]] = x
	}
	closing = map[string]conductorTask{}
	for range 2 {
		y := c.poll("close")
		closing[y.WorkflowInstanceID] = y
	}
	first, second = children[1.0].WorkflowInstanceID, children[2.0].WorkflowInstanceID
	c.report(closing[first], "FAILED", "")
	c.ends(id, "FAILED")
	c.must("POST", "/workflow/"+first+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"workflowInput":{"n":100},"correlationId":"again"}`, children[1.0].TaskID))
	x := c.poll("work")
	require.Equal(t, []any{first, object{"n": 100.0}}, []any{x.WorkflowInstanceID, x.InputData})
	c.complete(x, `{}`)
	for range 2 {
		y := c.poll("close")
		require.Contains(t, []string{first, second}, y.WorkflowInstanceID, "in place")
		c.complete(y, `{}`)
	}
	w = c.ends(id, "COMPLETED")
	require.Equal(t, []string{first, second}, []string{w.task("s1").SubWorkflowID, w.task("s2").SubWorkflowID})
	inner := c.get(first)
	require.Equal(t, []any{object{"n": 100.0}, "again", "corr"}, []any{inner.Input, inner.CorrelationID, w.CorrelationID})
}
