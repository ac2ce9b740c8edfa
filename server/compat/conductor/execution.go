package conductor

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// What a start through Conductor keeps with its execution.
const (
	labelCreatedBy = "conductor.createdBy"
	labelPriority  = "conductor.priority"

	labelIdempotency = "conductor.idempotencyKey"
	maxLabel         = 256 // bytes of a label's value
)

// found reads an execution that the caller may see.
func (h *handlers) found(ctx context.Context, id string) (*engine.Execution, error) {
	x, err := compat.Execution(ctx, h.engine, id)
	if err != nil {
		return nil, noWorkflow(id, err)
	}
	return x, nil
}

func boolean(c *gin.Context, name string, otherwise bool) bool {
	b, err := strconv.ParseBool(c.Query(name))
	if err != nil {
		return otherwise
	}
	return b
}

func count(c *gin.Context, name string, otherwise int) (int, error) {
	s := c.Query(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "%s: %q is not a whole number", name, s)
	}
	return n, nil
}

// several are the values of a parameter that may be given more than once, and hold some, with commas between them.
func several(c *gin.Context, name string) []string {
	var all []string
	for _, some := range c.QueryArray(name) {
		all = append(all, strings.Split(some, ",")...)
	}
	return all
}

// get answers an execution: GET /workflow/{id}.
func (h *handlers) get(c *gin.Context) error {
	ctx := c.Request.Context()
	x, err := h.found(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	w, err := h.wire(ctx, x, boolean(c, "includeTasks", true))
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, w)
}

// status answers the short form: GET /workflow/{id}/status.
func (h *handlers) status(c *gin.Context) error {
	ctx := c.Request.Context()
	x, err := h.found(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	answer := statusAnswer{WorkflowID: x.ID, CorrelationID: x.CorrelationID, Status: workflowStatus(x)}
	output, variables := boolean(c, "includeOutput", false), boolean(c, "includeVariables", false)
	if output || variables {
		w, err := h.wire(ctx, x, false)
		if err != nil {
			return err
		}
		if output {
			answer.Output = w.Output
		}
		if variables {
			answer.Variables = &w.Variables
		}
	}
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

// tasks answers a page of the tasks: GET /workflow/{id}/tasks.
func (h *handlers) tasks(c *gin.Context) error {
	ctx := c.Request.Context()
	x, err := h.found(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	start, err := count(c, "start", 0)
	if err != nil {
		return err
	}
	most, err := count(c, "count", 15)
	if err != nil {
		return err
	}
	all, err := h.tasksOf(ctx, x)
	if err != nil {
		return err
	}
	if wanted := several(c, "status"); len(wanted) > 0 {
		all = slices.DeleteFunc(all, func(w shown) bool { return !slices.Contains(wanted, w.Status) })
	}
	page := all[min(max(start, 0), len(all)):]
	page = page[:min(max(most, 0), len(page))]
	answer := searchAnswer{TotalHits: len(all), Results: make([]any, len(page))}
	for i := range page {
		answer.Results[i] = page[i].task
	}
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

// wire is an execution as Conductor shows it.
func (h *handlers) wire(ctx context.Context, x *engine.Execution, withTasks bool) (*workflowRun, error) {
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	w := &workflowRun{
		CreateTime: x.CreatedAt.UnixMilli(), UpdateTime: max(x.CreatedAt.UnixMilli(), millis(x.EndedAt)), CreatedBy: x.Labels[labelCreatedBy],
		Status: workflowStatus(x), EndTime: millis(x.EndedAt), WorkflowID: x.ID, Tasks: []task{}, Input: asObject(x.Input), Output: asObject(x.Output),
		CorrelationID: x.CorrelationID, TaskToDomain: map[string]string{}, FailedRefs: []string{}, FailedNames: []string{},
		Priority: wirePriority(x), Variables: k.variablesOf(nil), StartTime: millis(x.StartedAt), WorkflowName: x.Workflow, WorkflowVersion: k.version,
	}
	maps.Copy(w.TaskToDomain, k.domains)
	if w.StartTime == 0 {
		w.StartTime = w.CreateTime
	}
	if k.definition != nil {
		w.Definition = k.definition
	} else {
		w.Definition = map[string]any{"name": x.Workflow, "version": x.Version, "tasks": []any{}}
	}
	if w.Reason, err = h.reason(ctx, x); err != nil {
		return nil, err
	}
	redrives, err := h.redrives(ctx, x)
	if err != nil {
		return nil, err
	}
	w.LastRetriedTime = lastRetried(x, redrives)
	if x.Parent == nil { // parts have the labels of the whole
		w.IdempotencyKey = x.Labels[labelIdempotency]
	}
	if x.Parent != nil {
		if err := h.addParent(ctx, x, w); err != nil {
			return nil, err
		}
	}
	if withTasks || k.givesOutput(x) || k.sets() {
		all, err := h.tasksAfter(ctx, x, redrives)
		if err != nil {
			return nil, err
		}
		if k.givesOutput(x) {
			w.Output = k.output(w.Output, all)
		}
		w.Variables = k.variablesOf(all)
		if withTasks {
			w.addTasks(all)
		}
	}
	return w, h.addFailureWorkflow(ctx, x, k, w)
}

func (w *workflowRun) addTasks(all []shown) {
	for _, s := range all {
		w.Tasks = append(w.Tasks, s.task)
		w.UpdateTime = max(w.UpdateTime, s.UpdateTime)
	}
	w.FailedRefs, w.FailedNames = failedOf(all)
}

// reason is why an execution did not complete; of one that was canceled with what it is in, why that did not. "" = it did, or runs.
func (h *handlers) reason(ctx context.Context, x *engine.Execution) (string, error) {
	status := workflowStatus(x)
	if !terminal(status) || status == "COMPLETED" {
		return "", nil
	}
	own := x.Reason
	if x.Error != nil {
		own = x.Error.Message
	}
	if x.Parent == nil || !strings.HasPrefix(own, engine.ReasonPart) {
		return own, nil
	}
	parent, err := h.engine.Execution(ctx, x.Parent.Execution)
	if compat.IsMissing(err) {
		return own, nil
	}
	if err != nil {
		return "", err
	}
	t, err := h.engine.Task(ctx, parent.ID, x.Parent.Task)
	if compat.IsMissing(err) {
		return own, nil
	}
	if err != nil {
		return "", err
	}
	if t.Child != x.ID || t.Status != workflow.TaskCanceled { // it was ended for itself, or is in there no more
		return own, nil
	}
	outer, err := h.reason(ctx, parent)
	switch status = workflowStatus(parent); {
	case err != nil:
		return "", err
	case outer != "":
		return "Parent workflow has been terminated with reason: " + outer, nil
	case !terminal(status) || status == "COMPLETED": // it goes on without
		return own, nil
	}
	return "Parent workflow has been terminated with status " + status, nil
}

// lastRetried is when an execution was last made to go on since it began from its start, in ms; 0 = it was not.
func lastRetried(x *engine.Execution, redrives []engine.Redriven) int64 {
	var began, last int64
	for _, r := range redrives {
		switch {
		case r.Number == 0: // it made another execution
		case anew(&r):
			began, last = r.At.UnixMilli(), 0
		default:
			last = r.At.UnixMilli()
		}
	}
	if resumed := millis(x.ResumedAt); resumed > began {
		last = max(last, resumed)
	}
	return last
}

// failedOf are the reference names of the tasks that failed, and the names of their definitions, each once.
func failedOf(all []shown) (refs, names []string) {
	refs, names = []string{}, []string{}
	for _, s := range all {
		if s.Retried || !slices.Contains([]string{"FAILED", "TIMED_OUT", "FAILED_WITH_TERMINAL_ERROR"}, s.Status) {
			continue
		}
		refs = append(refs, s.Ref)
		if !slices.Contains(names, s.TaskDefName) {
			names = append(names, s.TaskDefName)
		}
	}
	return refs, names
}

// addParent says what the execution is a part of.
func (h *handlers) addParent(ctx context.Context, x *engine.Execution, w *workflowRun) error {
	parent, err := h.engine.Execution(ctx, x.Parent.Execution)
	if compat.IsMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := h.engine.Task(ctx, parent.ID, x.Parent.Task)
	if err != nil {
		return err
	}
	shownAs, err := h.outermost(ctx, parent)
	if err != nil {
		return err
	}
	w.ParentID, w.ParentTaskID = shownAs.ID, taskID(parent.ID, x.Parent.Task, max(t.Attempt, 1))
	return nil
}

// outermost is the execution that one is shown as: a part that was made at run time is shown as what it runs in.
func (h *handlers) outermost(ctx context.Context, x *engine.Execution) (*engine.Execution, error) {
	for x.Parent != nil {
		k, err := h.runs(ctx, x)
		if err != nil || !k.part {
			return x, err
		}
		parent, err := h.engine.Execution(ctx, x.Parent.Execution)
		if err != nil {
			return nil, err
		}
		x = parent
	}
	return x, nil
}

// givesOutput reports whether a TERMINATE may have given an execution an output that it has not natively, for it failed.
func (k *known) givesOutput(x *engine.Execution) bool {
	return x.Status == workflow.ExecutionFailed && k.terminates()
}

// terminates reports whether a TERMINATE may fail the workflow: natively it is two tasks then.
func (k *known) terminates() bool {
	for _, n := range k.nodes {
		if n.Type == "TERMINATE" && n.Helper {
			return true
		}
	}
	return false
}

// sets reports whether a SET_VARIABLE, here or in what is made at run time, may have given the workflow's variables other values.
func (k *known) sets() bool {
	for _, n := range k.nodes {
		if n.Type == "SET_VARIABLE" || n.Inner {
			return true
		}
	}
	return false
}

// output is what a TERMINATE gave an execution that it failed, else what it gave itself.
func (k *known) output(own json.RawMessage, all []shown) json.RawMessage {
	for _, s := range slices.Backward(all) {
		if s.node.Type == "TERMINATE" && !s.Retried && s.Status == "COMPLETED" {
			return s.OutputData
		}
	}
	return own
}

// failureOutput is the field of a workflow's output that names the run of its failureWorkflow.
const failureOutput = "conductor.failure_workflow"

// addFailureWorkflow says in the output which workflow was started because this one failed.
func (h *handlers) addFailureWorkflow(ctx context.Context, x *engine.Execution, k *known, w *workflowRun) error {
	if name, _ := k.definition["failureWorkflow"].(string); name == "" || !x.Status.Ended() || x.Status == workflow.ExecutionSucceeded {
		return nil
	}
	for name, n := range k.nodes {
		if n.Type != "START_WORKFLOW" || !n.Helper {
			continue
		}
		t, err := h.engine.Task(ctx, x.ID, workflow.HandlersPath+"."+name)
		if compat.IsMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if started := fields(t.Output)["workflowId"]; started != nil {
			out := fields(w.Output)
			out[failureOutput] = started
			w.Output = encoded(out)
		}
	}
	return nil
}

// variablesOf are the workflow's variables: those that it begins with, and what its SET_VARIABLE tasks set, the last of them last.
func (k *known) variablesOf(all []shown) map[string]any {
	variables := map[string]any{}
	if usual, ok := k.definition["variables"].(map[string]any); ok {
		maps.Copy(variables, usual)
	}
	for _, s := range all {
		if s.node.Type == "SET_VARIABLE" && s.Status == "COMPLETED" && !s.Retried {
			for name, value := range fields(s.output) {
				variables[name] = value
			}
		}
	}
	return variables
}

func wirePriority(x *engine.Execution) int {
	n, _ := strconv.Atoi(x.Labels[labelPriority])
	return n
}
