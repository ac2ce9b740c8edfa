package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/test/fleet"
)

// defines registers a workflow without outputs of its own; more are fields of it.
func (c conductor) defines(name, tasks string, more ...string) {
	c.t.Helper()
	text := fmt.Sprintf(`{"name":%q,"version":1,"tasks":[%s]`, name, tasks)
	for _, field := range more {
		text += "," + field
	}
	c.must("POST", "/metadata/workflow?overwrite=true", text+"}")
}

// begin starts a workflow and answers its id.
func (c conductor) begin(name, input string) string {
	c.t.Helper()
	return c.must("POST", "/workflow", fmt.Sprintf(`{"name":%q,"correlationId":"corr","input":%s}`, name, input))
}

// polls takes as many tasks of a name as there are to be, by reference name.
func (c conductor) polls(name string, n int) map[string]conductorTask {
	c.t.Helper()
	all := map[string]conductorTask{}
	for len(all) < n {
		task := c.poll(name)
		all[task.ReferenceTaskName] = task
	}
	require.Len(c.t, all, n)
	return all
}

// lines tells the tasks of a workflow, as "ref TYPE STATUS", with the iteration behind those in loops.
func (w conductorWorkflow) lines() []string {
	var all []string
	for i, t := range w.Tasks {
		line := t.ReferenceTaskName + " " + t.TaskType + " " + t.Status
		if t.Iteration > 0 {
			line += fmt.Sprint(" ", t.Iteration)
		}
		if t.Seq != i+1 {
			line += fmt.Sprint(" at ", t.Seq)
		}
		all = append(all, line)
	}
	return all
}

type object = map[string]any

func TestConductorDynamicTask(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("Which One", `
	  {"name":"any","taskReferenceName":"dyn","type":"DYNAMIC","dynamicTaskNameParam":"which","inputParameters":{"which":"${workflow.input.which}","n":"${workflow.input.n}"}},
	  {"name":"close","taskReferenceName":"after","type":"SIMPLE","inputParameters":{"got":"${dyn.output.m}"}}`, `"outputParameters":{"m":"${dyn.output.m}"}`)
	id := c.begin("Which One", `{"which":"work","n":7}`)
	task := c.poll("work")
	require.Equal(t, []any{id, "dyn", "work", object{"which": "work", "n": 7.0}}, []any{task.WorkflowInstanceID, task.ReferenceTaskName, task.TaskType, task.InputData})
	c.report(task, "FAILED", `,"reasonForIncompletion":"not today"`)
	w := c.ends(id, "FAILED")
	require.Equal(t, []string{"dyn work FAILED"}, w.lines())
	require.Contains(t, w.ReasonForIncompletion, "not today")

	c.must("POST", "/workflow/"+id+"/retry?resumeSubworkflowTasks=true", "")
	again := c.poll("work")
	require.Equal(t, []any{"dyn", 1, task.TaskID}, []any{again.ReferenceTaskName, again.RetryCount, again.RetriedTaskID})
	c.complete(again, `{"m":70}`)
	last := c.poll("close")
	require.Equal(t, object{"got": 70.0}, last.InputData)
	c.complete(last, `{}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, object{"m": 70.0}, w.Output)
	require.Equal(t, []string{"dyn work FAILED", "dyn work COMPLETED", "after close COMPLETED"}, w.lines())

	// From the dynamic task, with another input; the execution that it runs in natively is found through the workflow's id.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"n":8}}`, again.TaskID))
	again = c.poll("work")
	require.Equal(t, object{"n": 8.0}, again.InputData)
	c.complete(again, `{"m":80}`)
	c.complete(c.poll("close"), `{}`)
	require.Equal(t, object{"m": 80.0}, c.ends(id, "COMPLETED").Output)

	none := c.ends(c.begin("Which One", `{}`), "FAILED")
	require.Contains(t, none.ReasonForIncompletion, "no task name is given")
}

func TestConductorDynamicFork(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("Fan Out", `
	  {"name":"f","taskReferenceName":"fork","type":"FORK_JOIN_DYNAMIC","dynamicForkTasksParam":"tasks","dynamicForkTasksInputParamName":"inputs",
	   "inputParameters":{"tasks":"${workflow.input.tasks}","inputs":"${workflow.input.inputs}"}},
	  {"name":"j","taskReferenceName":"join","type":"JOIN"},
	  {"name":"close","taskReferenceName":"after","type":"SIMPLE","inputParameters":{"one":"${join.output.b.n}","all":"${join.output}"}}`)
	c.defines("Leaf", `{"name":"work","taskReferenceName":"leaf","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}}`, `"outputParameters":{"n":"${leaf.output.n}"}`)

	id := c.begin("Fan Out", `{"inputs":{"a":{"n":1},"b":{"n":2},"c d":{"n":3}},"tasks":[
	  {"name":"work","taskReferenceName":"a","type":"SIMPLE"},{"name":"work","taskReferenceName":"b"},
	  {"name":"sub","taskReferenceName":"c d","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"Leaf","version":1}}]}`)
	tasks := c.polls("work", 3)
	require.Equal(t, []string{"fork FORK COMPLETED", "a work IN_PROGRESS", "b work IN_PROGRESS", "c d SUB_WORKFLOW IN_PROGRESS", "join JOIN IN_PROGRESS"}, c.get(id).lines())
	require.Equal(t, object{"n": 2.0}, tasks["b"].InputData)
	require.Equal(t, id, tasks["b"].WorkflowInstanceID)
	require.Equal(t, "Leaf", c.get(tasks["leaf"].WorkflowInstanceID).WorkflowName)
	children := decode[object](t, c.must("GET", "/workflow/search?query=parentWorkflowId="+id, ""))["results"].([]any)
	require.Len(t, children, 1)
	require.Equal(t, tasks["leaf"].WorkflowInstanceID, children[0].(object)["workflowId"], "it is found by the workflow that it is shown with")
	c.complete(tasks["a"], `{"n":10}`)
	c.complete(tasks["leaf"], `{"n":30}`)
	fork := c.get(id).task("fork")
	require.Equal(t, []any{"a", "b", "c d"}, fork.InputData["forkedTasks"])
	require.Len(t, fork.InputData["forkedTaskDefs"], 3)
	require.Len(t, fork.InputData["tasks"], 3)
	c.report(tasks["b"], "FAILED", `,"reasonForIncompletion":"two is odd"`)
	w := c.ends(id, "FAILED")
	require.Equal(t, "FAILED", w.task("b").Status)
	require.Contains(t, w.ReasonForIncompletion, "two is odd")

	// Only the branch that failed runs again; those that ended well keep their tasks.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"n":22}}`, w.task("b").TaskID))
	b := c.poll("work")
	require.Equal(t, []any{"b", object{"n": 22.0}}, []any{b.ReferenceTaskName, b.InputData})
	c.complete(b, `{"n":20}`)
	last := c.poll("close")
	require.Equal(t, object{"one": 20.0, "all": object{"a": object{"n": 10.0}, "b": object{"n": 20.0}, "c d": last.InputData["all"].(object)["c d"]}}, last.InputData)
	c.complete(last, `{}`)
	w = c.ends(id, "COMPLETED")
	require.Equal(t, tasks["a"].TaskID, w.task("a").TaskID)
	require.Equal(t, "COMPLETED", w.task("join").Status)
	require.Equal(t, []any{"a", "b", "c d"}, w.task("join").InputData["joinOn"])
	require.EqualValues(t, 10, w.task("join").OutputData["a"].(object)["n"])

	// From the fork: it is asked anew what it forks.
	c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"tasks":[{"name":"work","taskReferenceName":"z"}],"inputs":{"z":{"n":9}}}}`, w.task("fork").TaskID))
	z := c.poll("work")
	require.Equal(t, []any{"z", object{"n": 9.0}}, []any{z.ReferenceTaskName, z.InputData})
	c.complete(z, `{"n":90}`)
	last = c.poll("close")
	require.Equal(t, object{"one": nil, "all": object{"z": object{"n": 90.0}}}, last.InputData)
	c.complete(last, `{}`)
	c.ends(id, "COMPLETED")

	// What people are given is shown as it is, and the tasks as they were given.
	asked := c.begin("Fan Out", `{"inputs":{"p":{"form":{"n":1}}},"tasks":[{"name":"p","taskReferenceName":"p","type":"HUMAN","inputParameters":{"title":"Order"}},{"name":"q","taskReferenceName":"q","type":"WAIT"}]}`)
	w = c.awaitTask(asked, "p", "IN_PROGRESS")
	require.Equal(t, object{"title": "Order", "form": object{"n": 1.0}}, w.task("p").InputData)
	require.Equal(t, object{"title": "Order"}, w.task("fork").InputData["forkedTaskDefs"].([]any)[0].(object)["inputParameters"])
	require.Empty(t, w.task("q").InputData)
	require.Equal(t, "p", w.Tasks[1].ReferenceTaskName)
	c.must("POST", "/workflow/"+asked+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"title":"Again"}}`, w.task("p").TaskID))
	w = c.awaitTask(asked, "p", "IN_PROGRESS")
	require.Equal(t, []any{1, object{"title": "Again"}}, []any{w.task("p").RetryCount, w.task("p").InputData})
	c.must("DELETE", "/workflow/"+asked, "")

	// The branches go to the domains that the start names.
	domains := object{"work": "night"}
	routed := c.must("POST", "/workflow", `{"name":"Fan Out","taskToDomain":{"work":"night"},"input":{"tasks":[{"name":"work","taskReferenceName":"n"}],"inputs":{}}}`)
	var night []conductorTask
	fleet.Await(t, patience, "there is a task in the domain", func() bool {
		night = decode[[]conductorTask](t, c.must("GET", "/tasks/poll/batch/work?workerid=w&domain=night&timeout=1000", ""))
		return len(night) == 1
	})
	require.Equal(t, []any{routed, "n"}, []any{night[0].WorkflowInstanceID, night[0].ReferenceTaskName})
	require.Equal(t, domains, decode[object](t, c.must("GET", "/workflow/"+routed, ""))["taskToDomain"])
	c.complete(night[0], `{}`)
	c.complete(c.poll("close"), `{}`)
	c.ends(routed, "COMPLETED")

	none := c.begin("Fan Out", `{"tasks":[],"inputs":{}}`)
	c.complete(c.poll("close"), `{}`)
	require.Equal(t, []string{"fork FORK COMPLETED", "join JOIN COMPLETED", "after close COMPLETED"}, c.ends(none, "COMPLETED").lines())
	require.Contains(t, c.ends(c.begin("Fan Out", `{"tasks":"x"}`), "FAILED").ReasonForIncompletion, "is not a list of tasks")
	require.Contains(t, c.ends(c.begin("Fan Out", `{"tasks":[null],"inputs":{}}`), "FAILED").ReasonForIncompletion, "[0] is null")
	found := decode[object](t, c.must("GET", "/workflow/search?query=workflowType='Fan+Out'", ""))
	require.EqualValues(t, 6, found["totalHits"], "what runs the branches natively is no workflow of its own")
}

func TestConductorDynamicForkOfOneKind(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	c.defines("Leaf", `{"name":"work","taskReferenceName":"leaf","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}}`, `"outputParameters":{"n":"${leaf.output.n}"}`)
	of := func(parameters string) string {
		return `{"name":"f","taskReferenceName":"fork","type":"FORK_JOIN_DYNAMIC","inputParameters":{` + parameters + `,"forkTaskInputs":"${workflow.input.list}"}},{"name":"j","taskReferenceName":"join","type":"JOIN"}`
	}
	c.defines("tasks", of(`"forkTaskName":"work"`))
	id := c.begin("tasks", `{"list":[{"n":1},5]}`)
	tasks := c.polls("work", 2)
	require.Equal(t, object{"n": 1.0, "__index": 0.0}, tasks["_work_0"].InputData)
	require.Equal(t, object{"input": 5.0, "__index": 1.0}, tasks["_work_1"].InputData)
	for _, task := range tasks {
		c.complete(task, `{"ok":true}`)
	}
	w := c.ends(id, "COMPLETED")
	require.Equal(t, []string{"fork FORK COMPLETED", "_work_0 work COMPLETED", "_work_1 work COMPLETED", "join JOIN COMPLETED"}, w.lines())
	require.Equal(t, object{"_work_0": object{"ok": true}, "_work_1": object{"ok": true}}, w.Output)

	c.defines("workflows", of(`"forkTaskWorkflow":"Leaf"`))
	id = c.begin("workflows", `{"list":[{"n":1},{"n":2}]}`)
	for range 2 {
		task := c.poll("work")
		input, err := json.Marshal(task.InputData)
		require.NoError(t, err)
		c.complete(task, string(input))
	}
	w = c.ends(id, "COMPLETED")
	require.Equal(t, []string{"fork FORK COMPLETED", "_Leaf_0 SUB_WORKFLOW COMPLETED", "_Leaf_1 SUB_WORKFLOW COMPLETED", "join JOIN COMPLETED"}, w.lines())
	require.EqualValues(t, 2, w.task("join").OutputData["_Leaf_1"].(object)["n"])
}

func TestConductorInlineSubWorkflow(t *testing.T) {
	f := start(t)
	c := conductor{t, f}
	c.must("POST", "/metadata/taskdefs", conductorTaskDefs)
	const flow = `{"name":"Order Flow","version":3,"tasks":[{"name":"work","taskReferenceName":"w","type":"SIMPLE","inputParameters":{"n":"${workflow.input.n}"}}],"outputParameters":{"n":"${w.output.n}"}}`
	c.defines("written", `{"name":"s","taskReferenceName":"sub","type":"SUB_WORKFLOW","inputParameters":{"n":"${workflow.input.n}"},"subWorkflowParam":{"name":"x","workflowDefinition":`+flow+`}}`,
		`"outputParameters":{"n":"${sub.output.n}"}`)
	c.defines("given", `{"name":"s","taskReferenceName":"sub","type":"SUB_WORKFLOW","inputParameters":{"n":"${workflow.input.n}"},"subWorkflowParam":{"name":"x","workflowDefinition":"${workflow.input.flow}"}}`,
		`"outputParameters":{"n":"${sub.output.n}"}`)
	c.defines("Order Flow", `{"name":"n","taskReferenceName":"other","type":"NOOP"}`) // what is registered under the name is another thing
	for _, name := range []string{"written", "given"} {
		id := c.begin(name, `{"n":4,"flow":`+flow+`}`)
		task := c.poll("work")
		require.Equal(t, []any{"w", object{"n": 4.0}}, []any{task.ReferenceTaskName, task.InputData})
		inner := c.get(task.WorkflowInstanceID)
		require.Equal(t, []any{"Order Flow", 3, id, "corr", "RUNNING"}, []any{inner.WorkflowName, inner.WorkflowVersion, inner.ParentWorkflowID, inner.CorrelationID, inner.Status})
		require.Equal(t, []string{"w work IN_PROGRESS"}, inner.lines())
		c.report(task, "FAILED", `,"reasonForIncompletion":"no stock"`)
		w := c.ends(id, "FAILED")
		require.Equal(t, []string{"sub SUB_WORKFLOW FAILED"}, w.lines())
		require.Equal(t, inner.WorkflowID, w.task("sub").SubWorkflowID)

		// A rerun through the id of the outer one, of the task inside.
		c.must("POST", "/workflow/"+id+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q,"taskInput":{"n":5}}`, task.TaskID))
		task = c.poll("work")
		require.Equal(t, []any{inner.WorkflowID, object{"n": 5.0}}, []any{task.WorkflowInstanceID, task.InputData})
		c.complete(task, `{"n":50}`)
		w = c.ends(id, "COMPLETED")
		require.Equal(t, object{"n": 50.0}, w.Output)
		require.Equal(t, []string{"w work CANCELED", "w work COMPLETED"}, c.get(inner.WorkflowID).lines())
	}
	// What comes behind reads which workflow it was, in a loop and behind it, too; without outputParameters it is in the output of all.
	c.defines("child", `{"name":"n","taskReferenceName":"n","type":"INLINE","inputParameters":{"expression":"({m: 1})","evaluatorType":"javascript"}}`, `"outputParameters":{"m":"${n.output.result.m}"}`)
	const sub = `{"name":"s","taskReferenceName":"sub","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"child"}}`
	c.defines("reader", sub+`,{"name":"v","taskReferenceName":"v","type":"SET_VARIABLE","inputParameters":{"id":"${sub.output.subWorkflowId}","all":"${sub.output}"}},
	  {"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"$.l.iteration < 2","loopOver":[{"name":"s","taskReferenceName":"in","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"child"}}]}`,
		`"outputParameters":{"id":"${workflow.variables.id}","all":"${workflow.variables.all}","last":"${in.output.subWorkflowId}"}`)
	w := c.ends(c.begin("reader", `{}`), "COMPLETED")
	id, last := w.task("sub").SubWorkflowID, w.task("in__2").SubWorkflowID
	require.Equal(t, object{"id": id, "all": object{"subWorkflowId": id, "m": 1.0}, "last": last}, w.Output)
	require.Equal(t, object{"subWorkflowId": id, "m": 1.0}, w.task("sub").OutputData)
	require.NotEqual(t, w.task("in__1").SubWorkflowID, last)
	c.defines("only", sub)
	w = c.ends(c.begin("only", `{}`), "COMPLETED")
	require.Equal(t, object{"subWorkflowId": w.task("sub").SubWorkflowID, "m": 1.0}, w.Output)

	bad := c.ends(c.begin("given", `{"flow":{"name":"bad","tasks":[{"name":"k","taskReferenceName":"k","type":"KAFKA_PUBLISH"}]}}`), "FAILED")
	require.Contains(t, bad.ReasonForIncompletion, "cannot be translated")
	found := decode[object](t, c.must("GET", "/workflow/search?query=workflowType='Order+Flow'+AND+version=3", ""))
	require.EqualValues(t, 2, found["totalHits"])
}
