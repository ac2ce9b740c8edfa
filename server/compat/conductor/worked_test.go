package conductor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
)

type wireTask struct {
	TaskID, ReferenceTaskName, Status, WorkflowInstanceID, SubWorkflowID, RetriedTaskID string
	RetryCount, Iteration                                                               int
	InputData, OutputData                                                               map[string]any
}

type wireRun struct {
	WorkflowID, Status                          string
	StartTime, EndTime, LastRetriedTime         int64
	ReasonForIncompletion, ParentWorkflowTaskID string
	Tasks                                       []wireTask
}

// worked is a rig in which somebody runs what definitions need besides Conductor's workers: noops and scripts.
func worked(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	builtin, err := tasks.NewRegistry(tasks.Builtin(tasks.DefaultOptions())...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var hand sync.WaitGroup
	t.Cleanup(func() { cancel(); hand.Wait() })
	hand.Go(func() {
		for ctx.Err() == nil {
			runs, err := r.engine.Poll(ctx, engine.Poll{Worker: "hand", Types: []string{"noop", "script"}, Max: 10, Wait: engine.MaxPollWait})
			if err != nil {
				continue // it was canceled
			}
			for _, run := range runs {
				kind, _ := builtin.Get(run.At.Type)
				output, failure := tasks.Run(ctx, kind.Handler, &tasks.Job{Input: run.Input})
				if failure != nil {
					_, err = r.engine.RemoteFail(ctx, run.Execution, run.Ref, run.Token, *failure)
				} else {
					_, err = r.engine.RemoteComplete(ctx, run.Execution, run.Ref, run.Token, output)
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("%s of %s: %v", run.Ref, run.Execution, err)
				}
			}
		}
	})
	return r
}

// says is what is answered to a request: its status, its content type, and its body.
func (r *rig) says(method, path, body string) []any {
	r.t.Helper()
	w := r.ask(method, "/api"+path, body)
	return []any{w.Code, w.Header().Get("Content-Type"), w.Body.String()}
}

func (r *rig) must(method, path, body string) string {
	r.t.Helper()
	w := r.ask(method, "/api"+path, body)
	require.Less(r.t, w.Code, 300, w.Body.String())
	return w.Body.String()
}

func (r *rig) define(name, list string, more ...string) {
	r.t.Helper()
	r.must("POST", "/metadata/workflow", fmt.Sprintf(`{"name":%q,"version":1,"tasks":[%s]%s}`, name, list, strings.Join(more, "")))
}

func (r *rig) begin(name, input string) string {
	r.t.Helper()
	return r.must("POST", "/workflow", fmt.Sprintf(`{"name":%q,"version":1,"input":%s}`, name, input))
}

func (r *rig) get(id string) (w wireRun) {
	r.t.Helper()
	require.NoError(r.t, json.Unmarshal([]byte(r.must("GET", "/workflow/"+id, "")), &w))
	return w
}

// until waits until a workflow is as it should be.
func (r *rig) until(id, what string, ok func(wireRun) bool) (w wireRun) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for after := ""; ; {
		events, ended, err := r.engine.Watch(ctx, id, after)
		w = r.get(id)
		if ok(w) {
			return w
		}
		require.NoError(r.t, err, "%s: %v", what, w.lines())
		require.False(r.t, ended && len(events) == 0, "%s: it ended %s: %v", what, w.Status, w.lines())
		if len(events) > 0 {
			after = events[len(events)-1].Seq
		}
	}
}

func (r *rig) ends(id, status string) wireRun {
	r.t.Helper()
	return r.until(id, status, func(w wireRun) bool { return w.Status == status })
}

// works takes one task as a worker does.
func (r *rig) works(name string) wireTask {
	r.t.Helper()
	var polled []wireTask
	for range 12 { // a minute
		require.NoError(r.t, json.Unmarshal([]byte(r.must("GET", "/tasks/poll/batch/"+name+"?workerid=w&timeout=5000", "")), &polled))
		if len(polled) == 1 {
			return polled[0]
		}
	}
	require.Len(r.t, polled, 1, name)
	return wireTask{}
}

func (r *rig) report(t wireTask, status string) {
	r.t.Helper()
	body := fmt.Sprintf(`{"workflowInstanceId":%q,"taskId":%q,"status":%q,"workerId":"w","outputData":{"by":%q}}`, t.WorkflowInstanceID, t.TaskID, status, t.ReferenceTaskName)
	require.Equal(r.t, []any{http.StatusOK, "text/plain", t.TaskID}, r.says("POST", "/tasks", body))
}

// does takes tasks and completes them, one after the other.
func (r *rig) does(names ...string) (last wireTask) {
	r.t.Helper()
	for _, name := range names {
		last = r.works(name)
		r.report(last, "COMPLETED")
	}
	return last
}

// rerun runs a workflow again from a task, and holds what is answered against what Conductor does.
func (r *rig) rerun(id, task string, more ...string) {
	r.t.Helper()
	body := fmt.Sprintf(`{"reRunFromTaskId":%q%s}`, task, strings.Join(more, ""))
	require.Equal(r.t, []any{http.StatusOK, "text/plain", id}, r.says("POST", "/workflow/"+id+"/rerun", body))
}

func (w wireRun) lines() []string {
	lines := []string{}
	for _, t := range w.Tasks {
		lines = append(lines, t.ReferenceTaskName+" "+t.Status)
	}
	return lines
}

// task is the newest under a reference name.
func (w wireRun) task(ref string) (last wireTask) {
	for _, t := range w.Tasks {
		if t.ReferenceTaskName == ref {
			last = t
		}
	}
	return last
}

func simple(name, ref string, more ...string) string {
	return fmt.Sprintf(`{"name":%q,"taskReferenceName":%q,"type":"SIMPLE","retryCount":0%s}`, name, ref, strings.Join(more, ""))
}

func sub(ref, name string, more ...string) string {
	return fmt.Sprintf(`{"name":%q,"taskReferenceName":%q,"type":"SUB_WORKFLOW","subWorkflowParam":{"name":%q,"version":1}%s}`, ref, ref, name, strings.Join(more, ""))
}

func forked(branches ...string) string {
	return `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[[` + strings.Join(branches, "],[") + `]]}`
}

func joined(on ...string) string {
	return fmt.Sprintf(`{"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["%s"]}`, strings.Join(on, `","`))
}

// newest tells of the newest tasks under some reference names: their status, and how often they were run before.
func (w wireRun) newest(refs ...string) []string {
	lines := []string{}
	for _, ref := range refs {
		t := w.task(ref)
		lines = append(lines, fmt.Sprintf("%s %s %d", ref, t.Status, t.RetryCount))
	}
	return lines
}

// levels registers a workflow in a workflow in a workflow.
func (r *rig) levels() {
	r.t.Helper()
	r.define("leaf", simple("l1", "l1")+","+simple("l2", "l2"))
	r.define("mid", simple("m1", "m1")+","+sub("inner", "leaf")+","+simple("m2", "m2"))
	r.define("top", sub("child", "mid")+","+simple("end", "end"))
}

// failed runs such a workflow until the innermost task has failed; it answers what is in each other, and that task.
func (r *rig) failed() (top, mid, leaf string, bad wireTask) {
	r.t.Helper()
	top = r.begin("top", `{}`)
	mid = r.does("m1").WorkflowInstanceID
	leaf = r.does("l1").WorkflowInstanceID
	bad = r.works("l2")
	r.report(bad, "FAILED")
	r.ends(top, "FAILED")
	return top, mid, leaf, bad
}
