package cognite_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// fn is a task that calls a function, under a name that counts its calls.
func fn(id, function, more string) string {
	return `{"externalId":"` + id + `","type":"function","parameters":{"function":{"externalId":"` + function + `","data":{"name":"` + id + `"}}}` + more + `}`
}

const (
	once     = `,"retries":0`
	optional = `,"retries":0,"onFailure":"skipTask"`
)

func needs(id string) string { return `,"dependsOn":[{"externalId":"` + id + `"}]` }

// TestRetryGivesOneMoreTry: tasks that had used up their tries get one more at each request, optional ones none, and what succeeded is kept.
func TestRetryGivesOneMoreTry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("first", "echo", "")+","+fn("bad", "flaky", `,"retries":1`+needs("first"))+","+fn("opt", "flaky", optional+needs("first"))+","+fn("last", "echo", needs("bad"))+"]")
	r.set("bad", true)
	r.set("opt", true)
	id := r.run("w", `{}`)
	x := r.ends(id, "FAILED")
	require.Equal(t, "bad is broken", x["reasonForIncompletion"])
	require.Equal(t, []int{1, 2, 1, 0}, r.counts("first", "bad", "opt", "last"))
	require.Equal(t, map[string]string{"first": "COMPLETED", "bad": "FAILED", "opt": "COMPLETED_WITH_ERRORS"}, r.statuses(id))
	for n := 3; n < 5; n++ {
		r.retry(id)
		r.ends(id, "FAILED")
		require.Equal(t, []int{1, n, 1, 0}, r.counts("first", "bad", "opt", "last"))
	}
	r.set("bad", false)
	r.retry(id)
	x = r.ends(id, "COMPLETED")
	require.NotContains(t, x, "reasonForIncompletion")
	require.Equal(t, []int{1, 5, 1, 1}, r.counts("first", "bad", "opt", "last"))
	require.Equal(t, map[string]string{"first": "COMPLETED", "bad": "COMPLETED", "opt": "COMPLETED_WITH_ERRORS", "last": "COMPLETED"}, r.statuses(id))
	require.Contains(t, r.refused(409, "POST", "/workflows/executions/"+id+"/retry", `{`+r.nonce()+`}`), "nothing to retry")
	require.Equal(t, []int{1, 5, 1, 1}, r.counts("first", "bad", "opt", "last"))
}

// TestRetryOfATerminalError: an error that no try overcomes ends its task at once, and a retry tries once more.
func TestRetryOfATerminalError(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "hopeless", "")+"]")
	r.set("a", true)
	id := r.run("w", `{}`)
	r.ends(id, "FAILED")
	require.Equal(t, map[string]string{"a": "FAILED_WITH_TERMINAL_ERROR"}, r.statuses(id))
	require.Equal(t, 1, r.count("a"))
	r.set("a", false)
	r.retry(id)
	r.ends(id, "COMPLETED")
	require.Equal(t, 2, r.count("a"))
}

// TestRetryOfACanceledExecution: what was running is canceled and runs again.
func TestRetryOfACanceledExecution(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "echo", "")+","+fn("b", "hold", needs("a"))+","+fn("c", "echo", needs("b"))+"]")
	id := r.run("w", `{}`)
	r.await(id, "b", "IN_PROGRESS")
	require.Contains(t, r.refused(409, "POST", "/workflows/executions/"+id+"/retry", `{`+r.nonce()+`}`), "running")
	x := r.must(200, "POST", "/workflows/executions/"+id+"/cancel", `{"reason":"why not"}`).json()
	require.Equal(t, []any{"TERMINATED", "why not"}, []any{x["status"], x["reasonForIncompletion"]})
	x = r.ends(id, "TERMINATED")
	require.Equal(t, "why not", x["reasonForIncompletion"])
	require.Contains(t, x, "endTime")
	require.Equal(t, map[string]string{"a": "COMPLETED", "b": "CANCELED"}, r.statuses(id))
	r.retry(id)
	r.await(id, "b", "IN_PROGRESS")
	r.release <- struct{}{}
	r.ends(id, "COMPLETED")
	require.Equal(t, []int{1, 2, 1}, r.counts("a", "b", "c"))
	require.Equal(t, "cancelled", r.canceled("w")["reasonForIncompletion"], "the reason when none is given")
}

// canceled starts a workflow that holds and cancels it with no body.
func (r *rig) canceled(workflow string) map[string]any {
	r.t.Helper()
	id := r.run(workflow, `{}`)
	r.await(id, "b", "IN_PROGRESS")
	r.must(200, "POST", "/workflows/executions/"+id+"/cancel", ``)
	return r.ends(id, "TERMINATED")
}

// poll is a run that a remote worker is given.
func (r *rig) poll() engine.RemoteRun {
	r.t.Helper()
	runs, err := r.engine.Poll(r.t.Context(), engine.Poll{Worker: "py", Types: []string{"remote"}, Wait: time.Minute, Lease: 10 * time.Minute})
	require.NoError(r.t, err)
	require.Len(r.t, runs, 1)
	return runs[0]
}

// TestTimeouts: abortWorkflow does not try again after a timeout, and fails; skipTask goes on.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("abort", "["+fn("a", "remote", `,"timeout":100`)+","+fn("b", "echo", needs("a"))+"]")
	id := r.run("abort", `{}`)
	late := r.poll()
	r.later(101 * time.Second)
	r.ends(id, "FAILED")
	require.Equal(t, map[string]string{"a": "TIMED_OUT"}, r.statuses(id))
	_, err := r.engine.RemoteComplete(t.Context(), late.Execution, late.Ref, late.Token, nil)
	require.ErrorContains(t, err, "this run is over")
	r.retry(id)
	again := r.poll()
	require.Equal(t, 2, again.Attempt)
	_, err = r.engine.RemoteComplete(t.Context(), again.Execution, again.Ref, again.Token, nil)
	require.NoError(t, err)
	r.ends(id, "COMPLETED")
	require.Equal(t, 1, r.count("b"))

	r.store("skip", "["+fn("c", "remote", `,"timeout":100`+optional)+","+fn("d", "echo", needs("c"))+"]")
	id = r.run("skip", `{}`)
	r.poll()
	r.later(101 * time.Second)
	r.ends(id, "COMPLETED")
	require.Equal(t, map[string]string{"c": "COMPLETED_WITH_ERRORS", "d": "COMPLETED"}, r.statuses(id))
}

// TestTimeoutsOfOptionalTasks are tried again, as their failures are.
func TestTimeoutsOfOptionalTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "remote", `,"timeout":100,"retries":1,"onFailure":"skipTask"`)+"]")
	id := r.run("w", `{}`)
	r.poll()
	r.later(101 * time.Second)
	again := r.poll()
	require.Equal(t, 2, again.Attempt)
	_, err := r.engine.RemoteComplete(t.Context(), again.Execution, again.Ref, again.Token, nil)
	require.NoError(t, err)
	r.ends(id, "COMPLETED")
	require.Equal(t, map[string]string{"a": "COMPLETED"}, r.statuses(id))
}

// TestRetryOfNestedTasks: of subworkflows, dynamic tasks and versions that are referred to only the tasks inside that failed run again.
func TestRetryOfNestedTasks(t *testing.T) {
	t.Parallel()
	inside := "[" + fn("good", "echo", "") + "," + fn("bad", "flaky", once+needs("good")) + "]"
	for name, outer := range map[string]string{
		"subworkflow": `{"externalId":"outer","type":"subworkflow","parameters":{"subworkflow":{"tasks":` + inside + `}},"dependsOn":[{"externalId":"list"}]}`,
		"reference":   `{"externalId":"outer","type":"subworkflow","parameters":{"subworkflow":{"workflowExternalId":"inner","version":"1"}},"dependsOn":[{"externalId":"list"}]}`,
		"dynamic":     `{"externalId":"outer","type":"dynamic","parameters":{"dynamic":{"tasks":"${list.output.response.tasks}"}},"dependsOn":[{"externalId":"list"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.store("inner", inside)
			r.store("w", `[{"externalId":"list","type":"function","parameters":{"function":{"externalId":"echo","data":{"tasks":"${workflow.input.tasks}"}}}},`+outer+","+fn("last", "echo", needs("outer"))+"]")
			r.set("bad", true)
			id := r.run("w", `{"tasks":`+inside+`}`)
			r.ends(id, "FAILED")
			require.Equal(t, map[string]string{"list": "COMPLETED", "outer": "FAILED", "good": "COMPLETED", "bad": "FAILED"}, r.statuses(id))
			require.Equal(t, "outer", r.task(id, "bad")["parentTaskExternalId"])
			require.Nil(t, r.task(id, "outer")["parentTaskExternalId"])
			require.Equal(t, []int{1, 1, 1, 0}, r.counts("echo", "good", "bad", "last"))
			before := []any{r.task(id, "outer")["id"], r.task(id, "bad")["id"]}
			r.set("bad", false)
			r.retry(id)
			r.ends(id, "COMPLETED")
			require.Equal(t, []int{1, 1, 2, 1}, r.counts("echo", "good", "bad", "last"))
			after := []any{r.task(id, "outer")["id"], r.task(id, "bad")["id"]}
			require.Equal(t, before, after, "ids stay")
			r.listed(1, `{"status":["COMPLETED"]}`)
			r.listed(1, `{}`) // what is nested is no execution of its own
		})
	}
}
