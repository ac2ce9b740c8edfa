package cognite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

const taskFunction = "function"

// taskID is the id of a task: its place in the record, and the number of its execution.
func taskID(index int, number int64) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012d", index, number)
}

var taskIDs = regexp.MustCompile(`^([0-9a-f]{8})-0000-4000-8000-(\d{12})$`)

// executed are the tasks of an execution that were begun, with those of its dynamic tasks and of the versions that it refers to.
func (h *handlers) executed(ctx context.Context, x *engine.Execution, parent *string, known records) ([]taskView, error) {
	r, err := h.recordFor(ctx, x, known)
	if err != nil {
		return nil, err
	}
	native, order, err := h.nativeTasks(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	refs := r.Refs
	if refs == nil { // it was published natively
		for _, ref := range order {
			refs = append(refs, taskRef{ID: ref, Ref: ref, Type: taskFunction})
		}
	}
	given := parametersOf(r.Definition)
	all := []taskView{}
	for i, ref := range refs {
		t := native[ref.Ref]
		if t == nil || !begun(t) {
			continue
		}
		v := taskOf(ref, t, native, given[ref.ID])
		v.Input = h.resolved(ref, native, v.Input)
		v.ID = taskID(i, x.Number)
		if v.ParentTaskExternalID == nil {
			v.ParentTaskExternalID = parent
		}
		all = append(all, v)
		holder := t // of a subworkflow by reference
		if ref.Type == "dynamic" {
			holder = native[ref.Ref+".run"]
		}
		if holder == nil || holder.Child == "" {
			continue
		}
		child, err := h.engine.Execution(ctx, holder.Child)
		if err != nil {
			return nil, err
		}
		inner, err := h.executed(ctx, child, &ref.ID, known)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}

// nativeTasks are the tasks of an execution by ref, and the refs in their order.
func (h *handlers) nativeTasks(ctx context.Context, id string) (native map[string]*engine.Task, order []string, err error) {
	native = map[string]*engine.Task{}
	for page := (engine.Page{Limit: 1000}); ; {
		list, next, err := h.engine.Tasks(ctx, id, page)
		if err != nil {
			return nil, nil, err
		}
		for i := range list {
			native[list[i].Ref] = &list[i]
			order = append(order, list[i].Ref)
		}
		if page.Cursor = next; next == "" {
			return native, order, nil
		}
	}
}

// begun reports whether a task is one of those that Cognite calls executed.
func begun(t *engine.Task) bool {
	return t.Status == workflow.TaskSkipped || t.Attempt > 0 || t.Status == workflow.TaskQueued
}

func taskOf(ref taskRef, t *engine.Task, native map[string]*engine.Task, given json.RawMessage) taskView {
	v := taskView{
		ExternalID: ref.ID, ParentTaskExternalID: ref.Parent, Status: taskStatus(t, ref.Optional), TaskType: ref.Type,
		StartTime: millis(t.StartedAt), EndTime: millis(t.EndedAt), Input: given, Output: output(ref, t, native),
	}
	if len(v.Input) == 0 {
		v.Input = fallback(t)
	}
	if t.Error != nil {
		v.ReasonForIncompletion = t.Error.Message
	}
	if done := native[ref.Ref+".done"]; ref.Async && t.Status == workflow.TaskRunning && done != nil && done.Status.Ended() { // updated before the function returned
		again := false
		if done.Error != nil {
			v.ReasonForIncompletion = done.Error.Message
			again = done.Error.Retryable && t.Try < t.MaxAttempts // once it returns: the update does not end the task
		}
		if !again {
			v.Status, v.EndTime = taskStatus(done, ref.Optional), millis(done.EndedAt)
		}
	}
	return v
}

// fallback is the input of a task that is no Cognite's: that of a function of its type.
func fallback(t *engine.Task) json.RawMessage {
	text, err := json.Marshal(map[string]any{"function": map[string]any{"externalId": t.Type}})
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}

// resolved is what a task was given, all references in it resolved, once it was begun.
func (h *handlers) resolved(ref taskRef, native map[string]*engine.Task, given json.RawMessage) json.RawMessage {
	t := native[ref.Ref]
	if ref.Async {
		t = native[ref.Ref+".call"]
	}
	if t == nil || len(t.Input) == 0 {
		return given
	}
	switch ref.Type {
	case taskFunction:
		return within(given, "function", map[string]json.RawMessage{"data": t.Input})
	case "transformation", "simulation":
		var all map[string]json.RawMessage
		_ = json.Unmarshal(t.Input, &all) // what it was stored with, without the external id
		return within(given, ref.Type, all)
	case "cdf":
		var asked struct {
			Method json.RawMessage `json:"method"`
			URL    string          `json:"url"`
			Query  json.RawMessage `json:"query"`
			Body   json.RawMessage `json:"body"`
		}
		_ = json.Unmarshal(t.Input, &asked) // that of an http task
		fields := map[string]json.RawMessage{"method": asked.Method, "queryParameters": asked.Query, "body": asked.Body}
		if bytes.Contains(given, []byte("${")) { // else the path is shown as it was given
			fields["resourcePath"], _ = json.Marshal(strings.TrimPrefix(asked.URL, strings.TrimRight(h.o.URL, "/"))) // a text can always be written
		}
		return within(given, "cdfRequest", fields)
	}
	return given
}

// within is parameters with other values of those fields that their part has.
func within(parameters json.RawMessage, part string, fields map[string]json.RawMessage) json.RawMessage {
	var all, of map[string]json.RawMessage
	if json.Unmarshal(parameters, &all) != nil || json.Unmarshal(all[part], &of) != nil || of == nil {
		return parameters
	}
	for name, value := range fields {
		if len(value) > 0 {
			of[name] = value
		}
	}
	inner, err := json.Marshal(of)
	if err != nil {
		return parameters
	}
	all[part] = inner
	text, err := json.Marshal(all)
	if err != nil {
		return parameters
	}
	return text
}

func taskStatus(t *engine.Task, optional bool) string {
	switch t.Status {
	case workflow.TaskPending, workflow.TaskQueued, workflow.TaskRetrying:
		return "SCHEDULED"
	case workflow.TaskRunning, workflow.TaskWaiting:
		return "IN_PROGRESS"
	case workflow.TaskSucceeded:
		return "COMPLETED"
	case workflow.TaskSkipped:
		return "SKIPPED"
	case workflow.TaskCanceled:
		return "CANCELED"
	}
	switch {
	case optional:
		return "COMPLETED_WITH_ERRORS"
	case t.Status == workflow.TaskTimedOut:
		return "TIMED_OUT"
	case t.Error != nil && !t.Error.Retryable:
		return "FAILED_WITH_TERMINAL_ERROR"
	}
	return "FAILED"
}

// output is what a task gave, in the shape of its type.
func output(ref taskRef, t *engine.Task, native map[string]*engine.Task) json.RawMessage {
	switch {
	case ref.Type == "dynamic":
		return dynamicTasks(native[ref.Ref+".make"])
	case ref.Async:
		return updated(native[ref.Ref+".call"], native[ref.Ref+".done"])
	case ref.Type == taskFunction:
		return fieldsIn(map[string]json.RawMessage{"response": t.Output})
	case ref.Type == "cdf":
		var r struct {
			Status json.RawMessage `json:"status"`
			Body   json.RawMessage `json:"body"`
		}
		_ = json.Unmarshal(t.Output, &r) // that of an http task, or nothing
		return fieldsIn(map[string]json.RawMessage{"statusCode": r.Status, "response": r.Body})
	case ref.Type == "subworkflow" || len(t.Output) == 0 || t.Output[0] != '{':
		return json.RawMessage("{}")
	}
	return t.Output
}

// updated is what a function gave, merged with what the update of its task gave.
func updated(call, done *engine.Task) json.RawMessage {
	out := map[string]json.RawMessage{}
	if call != nil {
		out["response"] = call.Output
	}
	var more map[string]json.RawMessage
	if done != nil && json.Unmarshal(done.Output, &more) == nil {
		maps.Copy(out, more)
	}
	return fieldsIn(out)
}

// fieldsIn is an object with the fields that there are.
func fieldsIn(fields map[string]json.RawMessage) json.RawMessage {
	maps.DeleteFunc(fields, func(_ string, v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" })
	text, err := json.Marshal(fields)
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}

// dynamicTasks are the tasks that a dynamic task was given.
func dynamicTasks(made *engine.Task) json.RawMessage {
	var d struct {
		InputSchema json.RawMessage `json:"input_schema"`
	}
	if made == nil || json.Unmarshal(made.Output, &d) != nil {
		return json.RawMessage("{}")
	}
	r := recordOf(d.InputSchema)
	if r == nil {
		return json.RawMessage("{}")
	}
	text, err := json.Marshal(map[string]any{"dynamicTasks": r.definition().Tasks})
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}

// parametersOf reads the parameters of all tasks of a definition, by external id.
func parametersOf(definition json.RawMessage) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	collect(definition, all)
	return all
}

func collect(definition json.RawMessage, all map[string]json.RawMessage) {
	var d struct {
		Tasks []struct {
			ExternalID string          `json:"externalId"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"tasks"`
	}
	_ = json.Unmarshal(definition, &d) // it was read before it was stored
	for _, t := range d.Tasks {
		all[t.ExternalID] = t.Parameters
		var p struct {
			Subworkflow json.RawMessage `json:"subworkflow"`
		}
		if json.Unmarshal(t.Parameters, &p) == nil && len(p.Subworkflow) > 0 {
			collect(p.Subworkflow, all)
		}
	}
}

// updateTask settles a task that somebody outside does.
func (h *handlers) updateTask(c *gin.Context) error {
	var q taskUpdate
	if err := read(c.Request, &q); err != nil {
		return err
	}
	switch {
	case len(q.Output) == 0 || string(q.Output) == "null":
		q.Output = json.RawMessage("{}")
	case q.Output[0] != '{':
		return refuse("output", "is no object", "an object")
	case len(q.Output) > maxInput:
		return refuse("output", "is too large", "at most 100 KB")
	}
	ctx := c.Request.Context()
	hand := engine.HandRequest{By: auth.From(ctx).By(), Reason: "updated by its task"}
	switch q.Status {
	case "COMPLETED":
		hand.To, hand.Output = workflow.TaskSucceeded, q.Output
	case "FAILED", "FAILED_WITH_TERMINAL_ERROR":
		hand.To = workflow.TaskFailed
		hand.Error = &workflow.Error{Code: "task_failed", Message: "the task was reported as " + q.Status, Retryable: q.Status == "FAILED"}
	default:
		return refuse("status", what(q.Status), "COMPLETED, FAILED, FAILED_WITH_TERMINAL_ERROR")
	}
	id := c.Param("task")
	x, ref, err := h.task(c, id)
	if err != nil {
		return err
	}
	path := ref.Ref
	if ref.Async {
		path += ".done"
	}
	if _, err := h.engine.SettleByHand(ctx, x.ID, path, hand); err != nil {
		return err
	}
	all, err := h.executed(ctx, x, nil, records{})
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.ID == id {
			return compat.Answer(c.Writer, http.StatusOK, v)
		}
	}
	return absent("Task not found: " + id)
}

// task finds a task by its id.
func (h *handlers) task(c *gin.Context, id string) (*engine.Execution, taskRef, error) {
	parts := taskIDs.FindStringSubmatch(id)
	if parts == nil {
		return nil, taskRef{}, refuse("taskId", "is "+clip(id), "the id of a task")
	}
	number, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return nil, taskRef{}, refuse("taskId", "is "+clip(id), "the id of a task")
	}
	x, err := compat.Execution(c.Request.Context(), h.engine, strconv.FormatInt(number, 10))
	if err != nil {
		return nil, taskRef{}, notFoundAs(err, id)
	}
	r, err := h.recordFor(c.Request.Context(), x, records{})
	if err != nil {
		return nil, taskRef{}, err
	}
	index, err := strconv.ParseInt(parts[1], 16, 64)
	if err != nil || index >= int64(len(r.Refs)) || x.Project != c.Param("project") {
		return nil, taskRef{}, absent("Task not found: "+id, map[string]string{"id": id})
	}
	return x, r.Refs[index], nil
}
