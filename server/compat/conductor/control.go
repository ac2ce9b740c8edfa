package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// operation is something that is done to one execution, by request or in bulk.
type operation func(ctx context.Context, x *engine.Execution) error

// does is the route of an operation on one execution that answers with a status and nothing else.
func (h *handlers) does(status int, ask func(c *gin.Context) operation) func(*gin.Context) error {
	return func(c *gin.Context) error {
		ctx := c.Request.Context()
		x, err := h.found(ctx, c.Param("id"))
		if err != nil {
			return err
		}
		if err := ask(c)(ctx, x); err != nil {
			return err
		}
		return silent(c.Writer, status)
	}
}

func asked(ctx context.Context, reason string) engine.Request {
	return engine.Request{By: auth.From(ctx).By(), Reason: reason}
}

func (h *handlers) pause(*gin.Context) operation {
	return func(ctx context.Context, x *engine.Execution) error {
		if workflowStatus(x) == "PAUSED" {
			return nil
		}
		_, err := h.engine.Pause(ctx, x.ID, asked(ctx, ""))
		return conflict(err, http.StatusConflict, "Workflow %s has ended, status cannot be updated.", h.describe(ctx, x))
	}
}

func (h *handlers) resume(*gin.Context) operation {
	return func(ctx context.Context, x *engine.Execution) error {
		_, err := h.engine.Resume(ctx, x.ID, asked(ctx, ""))
		return conflict(err, http.StatusConflict, "The workflow %s is not PAUSED so cannot resume. Current status is %s", x.ID, workflowStatus(x))
	}
}

// endTime bounds how long a termination waits for what runs in other processes to be over.
const endTime = 5 * time.Second

func (h *handlers) terminate(c *gin.Context) operation {
	reason := c.Query("reason")
	return func(ctx context.Context, x *engine.Execution) error {
		switch status := workflowStatus(x); {
		case status == "COMPLETED":
			return refuse(http.StatusConflict, "Cannot terminate a COMPLETED workflow.")
		case terminal(status):
			return nil
		}
		now, err := h.engine.Cancel(ctx, x.ID, asked(ctx, reason))
		if err != nil {
			if now, again := h.engine.Execution(ctx, x.ID); again == nil && now.Status.Ended() {
				return h.terminate(c)(ctx, now) // it ended meanwhile
			}
			return err
		}
		if now.Status.Ended() {
			return nil
		}
		return h.await(ctx, now, endTime, "")
	}
}

// described is an execution as Conductor's messages name it.
func described(x *engine.Execution, version int) string {
	if version == 0 {
		version = x.Version
	}
	return fmt.Sprintf("%s.%d/%s.%s", x.Workflow, version, x.ID, workflowStatus(x))
}

func (h *handlers) describe(ctx context.Context, x *engine.Execution) string {
	if k, err := h.runs(ctx, x); err == nil {
		return described(x, k.version)
	}
	return described(x, 0)
}

func (h *handlers) redrive(ctx context.Context, x *engine.Execution, r workflow.Redrive, reason string) error {
	_, err := h.engine.Redrive(ctx, x.ID, engine.RedriveRequest{Redrive: r, By: auth.From(ctx).By(), Reason: reason})
	return err
}

// retry runs again what failed: POST /workflow/{id}/retry.
func (h *handlers) retry(c *gin.Context) operation {
	inPlace := boolean(c, "resumeSubworkflowTasks", false)
	return func(ctx context.Context, x *engine.Execution) error {
		if status := workflowStatus(x); !terminal(status) {
			return refuse(http.StatusNotFound, "Workflow is still running.  status=%s", status)
		}
		r := workflow.Redrive{Operation: workflow.OperationRetry, Budget: workflow.BudgetOne, Subworkflows: workflow.SubworkflowsRestart}
		if inPlace {
			r.Subworkflows = workflow.SubworkflowsResume
		}
		outer, from, err := h.besides(ctx, x, inPlace)
		if err != nil {
			return err
		}
		if len(from) > 0 {
			x, r.From = outer, from
		}
		return conflict(h.redrive(ctx, x, r, ""), http.StatusConflict, "There are no retryable tasks! Use restart if you want to attempt entire workflow execution again.")
	}
}

// restart runs a workflow again from its start: POST /workflow/{id}/restart.
func (h *handlers) restart(c *gin.Context) operation {
	latest := boolean(c, "useLatestDefinitions", false)
	return func(ctx context.Context, x *engine.Execution) error {
		if !terminal(workflowStatus(x)) {
			return refuse(http.StatusConflict, "Workflow: %s is not in terminal state, unable to restart.", h.describe(ctx, x))
		}
		k, err := h.runs(ctx, x)
		if err != nil {
			return err
		}
		if restartable, ok := k.definition["restartable"].(bool); ok && !restartable && workflowStatus(x) == "COMPLETED" {
			return refuse(http.StatusNotFound, "Workflow: %s is non-restartable", h.describe(ctx, x))
		}
		r := workflow.Redrive{Operation: workflow.OperationRerun}
		if latest {
			labels, err := h.engine.Labels(ctx, x.Project, x.Workflow)
			if err != nil {
				return err
			}
			r.Definition = "latest"
			if n := newest(labels); n > 0 {
				version, err := h.routed(ctx, x.Project, x.Workflow, labels[strconv.Itoa(n)], k.domains)
				if err != nil {
					return err
				}
				r.Definition = strconv.Itoa(version)
			} else if k.definition != nil {
				return refuse(http.StatusNotFound, "No such workflow found by name: %s, version: null", x.Workflow)
			}
		}
		return conflict(h.redrive(ctx, x, r, ""), http.StatusConflict, "Workflow: %s is not in terminal state, unable to restart.", h.describe(ctx, x))
	}
}

// rerun runs a workflow again from its start, or from a task: POST /workflow/{id}/rerun.
func (h *handlers) rerun(c *gin.Context) error {
	ctx := c.Request.Context()
	x, err := h.found(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	var q rerunRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	r := workflow.Redrive{Operation: workflow.OperationRerun, WorkflowInput: given(q.WorkflowInput), CorrelationID: q.CorrelationID}
	if q.FromTask == nil {
		if !terminal(workflowStatus(x)) {
			return refuse(http.StatusConflict, "Workflow: %s is not in terminal state, unable to rerun.", h.describe(ctx, x))
		}
	} else {
		f, path, err := h.within(ctx, x, *q.FromTask)
		if err != nil {
			return err
		}
		outer, full, err := h.around(ctx, x, path)
		if err != nil {
			return err
		}
		prefix := strings.TrimSuffix(full, path)
		if r.WorkflowInput == nil && r.CorrelationID == nil {
			x, path, prefix = outer, full, ""
		} else if !outer.Status.Ended() { // they are of the one that is asked for, and what is around it goes on by itself
			outer, full, prefix = x, path, ""
		}
		beside, err := h.unwell(ctx, outer, full, false)
		if err != nil {
			return err
		}
		r.From = []string{path}
		for _, ref := range beside {
			r.From = append(r.From, relative(ref, prefix))
		}
		if input := given(q.TaskInput); input != nil {
			if input, err = h.taskInput(ctx, f, input); err != nil {
				return err
			}
			if input != nil {
				r.TaskInput = map[string]json.RawMessage{path: input}
			}
		}
	}
	if err := h.redrive(ctx, x, r, ""); err != nil {
		return err
	}
	h.decided(ctx, x.ID)
	return text(c.Writer, c.Param("id"))
}

// relative is a ref of an outermost execution as one of the execution at a path in it.
func relative(ref, prefix string) string {
	if inside, ok := strings.CutPrefix(ref, prefix); ok {
		return inside
	}
	return strings.Repeat("../", strings.Count(prefix, "/")) + ref
}

// given is a value of a request; nil for null.
func given(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// within finds the task that an id names, and the way there from an execution that it is somewhere in.
func (h *handlers) within(ctx context.Context, x *engine.Execution, id string) (engine.Fence, string, error) {
	missing := refuse(http.StatusBadRequest, "Task %s not found", id)
	f, ok := parseTaskID(id)
	if !ok {
		return f, "", missing
	}
	path := f.Ref
	for at := f.Execution; at != x.ID; {
		inner, err := h.engine.Execution(ctx, at)
		if compat.IsMissing(err) {
			return f, "", missing
		}
		if err != nil {
			return f, "", err
		}
		if inner.Parent == nil {
			return f, "", missing
		}
		path, at = inner.Parent.Task+"/"+path, inner.Parent.Execution
	}
	t, err := h.engine.Task(ctx, f.Execution, f.Ref)
	if compat.IsMissing(err) || err == nil && (f.Attempt > t.Attempt+1 || t.Attempt == 0 && !t.Status.Ended()) {
		return f, "", missing
	}
	return f, path, err
}

// taskInput is an input that a client gives to a task, as its node takes it; nil = that takes none.
func (h *handlers) taskInput(ctx context.Context, f engine.Fence, input json.RawMessage) (json.RawMessage, error) {
	x, err := h.engine.Execution(ctx, f.Execution)
	if err != nil {
		return nil, err
	}
	t, err := h.engine.Task(ctx, f.Execution, f.Ref)
	if err != nil {
		return nil, err
	}
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	n := k.node(t.Name, t.Type)
	old := t.Input
	if len(old) == 0 {
		attempts, _, err := h.engine.Attempts(ctx, f.Execution, f.Ref, engine.Page{Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, a := range attempts {
			if len(a.Input) > 0 {
				old = a.Input
			}
		}
	}
	return nativeInput(n, k.task(n.Ref), old, input), nil
}

// skip ends a task that has not begun: PUT /workflow/{id}/skiptask/{ref}. Natively it is completed, so that what
// comes after it runs.
func (h *handlers) skip(c *gin.Context) error {
	ctx := c.Request.Context()
	x, err := h.found(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	var q skipRequest
	if err := readOptional(c.Request, &q); err != nil {
		return err
	}
	ref := c.Param("ref")
	if workflowStatus(x) != "RUNNING" {
		return refuse(http.StatusConflict, "The workflow %s is not RUNNING so the task referenced by %s cannot be skipped", x.ID, ref)
	}
	k, err := h.runs(ctx, x)
	if err != nil {
		return err
	}
	for name, n := range k.nodes {
		if n.Ref != ref || n.Helper {
			continue
		}
		t, err := h.engine.Task(ctx, x.ID, name)
		if err != nil {
			return err
		}
		if t.Status != workflow.TaskPending || t.Attempt > 0 {
			return refuse(http.StatusConflict, "The task referenced %s has already been processed, cannot be skipped", ref)
		}
		hand := engine.HandRequest{To: workflow.TaskSucceeded, Output: given(q.TaskOutput), Reason: skippedReason, By: auth.From(ctx).By()}
		if n.Type == "DO_WHILE" {
			hand.Output = nil
		}
		if _, err := h.engine.SettleByHand(ctx, x.ID, name, hand); err != nil {
			return conflict(err, http.StatusConflict, "The task referenced %s has already been processed, cannot be skipped", ref)
		}
		return silent(c.Writer, http.StatusOK)
	}
	return refuse(http.StatusBadRequest, "The task referenced by %s does not exist in the WorkflowDefinition %s", ref, x.Workflow)
}

// remove takes an execution that has ended away: DELETE /workflow/{id}/remove.
func (h *handlers) remove(c *gin.Context) operation {
	archive := boolean(c, "archiveWorkflow", true)
	return func(ctx context.Context, x *engine.Execution) error {
		if !x.Status.Ended() {
			if archive {
				return refuse(http.StatusBadRequest, "Cannot archive workflow: %s with status: %s", x.ID, workflowStatus(x))
			}
			if err := h.terminate(c)(ctx, x); err != nil {
				return err
			}
		}
		return h.engine.Remove(ctx, x.ID)
	}
}

func (h *handlers) terminateRemove(c *gin.Context) operation {
	return func(ctx context.Context, x *engine.Execution) error {
		if !x.Status.Ended() {
			if err := h.terminate(c)(ctx, x); err != nil {
				return err
			}
		}
		return h.engine.Remove(ctx, x.ID)
	}
}

// advance is for those who ask that something be decided: it always is, sooner or later.
func (h *handlers) advance(*gin.Context) operation {
	return func(ctx context.Context, x *engine.Execution) error {
		if err := h.engine.Advance(ctx, x.ID); err != nil {
			return err
		}
		h.decided(ctx, x.ID)
		return nil
	}
}

// resetCallbacks makes tasks that workers get only later ones that they get now: POST /workflow/{id}/resetcallbacks.
func (h *handlers) resetCallbacks(*gin.Context) operation {
	return func(ctx context.Context, x *engine.Execution) error {
		if status := workflowStatus(x); terminal(status) {
			return refuse(http.StatusConflict, "Workflow is in terminal state. Status = %s", status)
		}
		all, err := h.tasksOf(ctx, x)
		if err != nil {
			return err
		}
		for _, w := range all {
			if w.node.Type != "SIMPLE" || w.Status != "SCHEDULED" || w.CallbackAfterSeconds == 0 {
				continue
			}
			f, _ := parseTaskID(w.TaskID)
			f.Attempt = w.native.Attempt // the next one is shown before it is made
			if err := h.engine.Hasten(ctx, f); err != nil && !stale(err) {
				return err
			}
		}
		return nil
	}
}
