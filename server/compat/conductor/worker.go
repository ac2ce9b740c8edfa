package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

const (
	ownRuns  = 16               // tasks that this server runs at once
	ownLease = 30 * time.Second // of one of them
	ownPause = time.Second      // after a poll that failed
)

// notesOwn is the group of notes that says in which projects there are tasks that servers run themselves.
const notesOwn = "conductor.own"

// lookForOwn is how often a server looks whether another one published such a task.
const lookForOwn = 30 * time.Second

// work runs the tasks that this server itself runs, as a remote worker does, until ctx ends. It begins
// when there is a workflow that has such a task.
func (h *handlers) work(ctx context.Context) {
	for !h.wanted(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-h.own:
		case <-time.After(lookForOwn):
		}
	}
	name := "conductor-" + uuid.NewString()
	for ctx.Err() == nil {
		runs, err := h.engine.Poll(ctx, engine.Poll{
			Worker: name, Types: []string{typeStart, typeEvent, typeExpand}, Max: ownRuns, Wait: engine.MaxPollWait, Lease: ownLease,
		})
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(ownPause):
			}
			continue
		}
		var group sync.WaitGroup
		for _, r := range runs {
			group.Go(func() { h.run(context.WithoutCancel(ctx), r) })
		}
		group.Wait()
	}
}

// wanted reports whether there is a workflow with a task that servers run themselves.
func (h *handlers) wanted(ctx context.Context) bool {
	for page := (engine.Page{Limit: 1000}); ; {
		all, next, err := h.engine.Projects(ctx, page)
		if err != nil {
			return false
		}
		for _, p := range all {
			if notes, err := h.engine.Notes(ctx, p.Name, notesOwn); err == nil && len(notes) > 0 {
				return true
			}
		}
		if page.Cursor = next; next == "" {
			return false
		}
	}
}

// noteOwn says that there is such a workflow, if this is one.
func (h *handlers) noteOwn(ctx context.Context, project string, d *workflow.Definition) error {
	if !hasOwn(d.Tasks) && !hasOwn(d.OnFailure) {
		return nil
	}
	if err := h.engine.PutNote(ctx, project, notesOwn, "used", json.RawMessage("true")); err != nil {
		return err
	}
	select {
	case h.own <- struct{}{}:
	default:
	}
	return nil
}

func hasOwn(tasks []workflow.Task) bool {
	return slices.ContainsFunc(tasks, func(t workflow.Task) bool { return strings.HasPrefix(t.Type, "conductor:") || hasOwn(t.Tasks) })
}

// run runs one of them and reports it. What could not be reported is delivered again when its lease ends.
func (h *handlers) run(ctx context.Context, r engine.RemoteRun) {
	ctx, cancel := context.WithTimeout(ctx, ownLease)
	defer cancel()
	ctx = auth.With(ctx, &auth.Principal{Name: r.Workflow, Scope: engine.ScopeAdmin, Projects: []string{r.Project}, Through: Name})
	out, err := h.perform(ctx, r)
	if err == nil {
		_, err = h.engine.RemoteComplete(ctx, r.Execution, r.Ref, r.Token, encoded(out))
	} else {
		failure := workflow.Error{Code: codeFailed, Message: err.Error(), Retryable: true}
		if message, ok := told(err); ok {
			failure = workflow.Error{Code: codeTerminal, Message: message}
		}
		_, err = h.engine.RemoteFail(ctx, r.Execution, r.Ref, r.Token, failure)
	}
	if err != nil && !stale(err) {
		h.unreported(r, err)
	}
}

// perform answers what a task gives. A panic fails the task for good: delivered again, it would be one in the next server.
func (h *handlers) perform(ctx context.Context, r engine.RemoteRun) (out any, err error) {
	defer func() {
		if v := recover(); v != nil {
			h.logger.ErrorContext(ctx, "panic in a task that the server runs for Conductor", slog.String("execution", r.Execution), slog.String("task", r.Ref),
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			err = refuse(http.StatusInternalServerError, "the server could not run this task, its log says why; change the input before the task is run again")
		}
	}()
	switch r.At.Type {
	case typeStart:
		return h.startFor(ctx, r)
	case typeEvent:
		return h.eventFor(ctx, r)
	}
	return h.expandFor(ctx, r)
}

// startFor starts a workflow for a START_WORKFLOW task, or because another one failed.
func (h *handlers) startFor(ctx context.Context, r engine.RemoteRun) (any, error) {
	var in struct {
		FailureOf string        `json:"failureOf"`
		Start     *startRequest `json:"startWorkflow"`
	}
	if err := decode(r.Input, &in); err != nil || in.Start == nil {
		return nil, refuse(400, "startWorkflow: is missing, or no object")
	}
	if in.FailureOf != "" {
		if err := h.addFailure(ctx, r.Execution, in.Start); err != nil {
			return nil, err
		}
	}
	in.Start.IdempotencyKey = keyOf("%s:%s:%d", r.Execution, r.Ref, r.Attempt)
	in.Start.IdempotencyStrategy = ""
	x, err := h.begin(ctx, in.Start)
	if err != nil {
		return nil, err
	}
	return map[string]string{"workflowId": x.ID}, nil
}

// addFailure puts the workflow that failed into the input of the one that is started for it. It is the one that the task is in.
func (h *handlers) addFailure(ctx context.Context, id string, q *startRequest) error {
	x, err := h.found(ctx, id)
	if err != nil {
		return err
	}
	w, err := h.wire(ctx, x, true)
	if err != nil {
		return err
	}
	w.Status = "FAILED" // it runs as long as this has not been started
	var input map[string]any
	if err := decode(asObject(q.Input), &input); err != nil {
		return malformed(err)
	}
	input["failedWorkflow"] = w
	for _, t := range w.Tasks {
		if t.Status == "FAILED" || t.Status == "TIMED_OUT" || t.Status == "FAILED_WITH_TERMINAL_ERROR" {
			input["failureTaskId"] = t.TaskID
			w.Status = map[bool]string{true: "TIMED_OUT", false: "FAILED"}[t.Status == "TIMED_OUT"]
			input["failureStatus"] = w.Status
		}
	}
	q.CorrelationID, q.Input = x.CorrelationID, encoded(input)
	return nil
}

// expansion is what a task asks for that is only known at run time.
type expansion struct {
	Kind       string          `json:"kind"`
	Ref        string          `json:"ref"`
	Definition map[string]any  `json:"definition"`
	Name       string          `json:"name"`
	Input      map[string]any  `json:"input"`
	RetryCount *int            `json:"retryCount"`
	Optional   bool            `json:"optional"`
	Tasks      json.RawMessage `json:"tasks"`
	Inputs     map[string]any  `json:"inputs"`
	Duration   string          `json:"duration"`
	Until      string          `json:"until"`

	ForkName     string `json:"forkTaskName"`
	ForkType     string `json:"forkTaskType"`
	ForkWorkflow string `json:"forkTaskWorkflow"`
	ForkVersion  any    `json:"forkTaskWorkflowVersion"`
	ForkInputs   []any  `json:"forkTaskInputs"`
}

// expandFor makes a definition, or reads a time, that is only known at run time.
func (h *handlers) expandFor(ctx context.Context, r engine.RemoteRun) (any, error) {
	var q expansion
	if err := decode(r.Input, &q); err != nil {
		return nil, malformed(err)
	}
	if q.Kind == "wait" {
		text := q.Duration
		if q.Until != "" {
			text = q.Until
		}
		_, value, err := waitTime(text, q.Until != "")
		if err != nil {
			return nil, refuse(400, "%v", err)
		}
		return map[string]string{"time": value}, nil
	}
	s, input, err := q.source(r.Workflow)
	if err != nil {
		return nil, err
	}
	d, err := h.compiled(ctx, r.Project, s)
	if err != nil {
		return nil, err
	}
	if q.Kind != "definition" {
		d.Annotations[annotationPart] = "true"
		domains, err := h.domainsOf(ctx, r.Execution)
		if err != nil {
			return nil, err
		}
		if err := h.domained(ctx, d, domains); err != nil {
			return nil, err
		}
	}
	if s.empty {
		d.Annotations[annotationTasks] = "{}" // what stands in for no tasks is not shown
	}
	return map[string]any{"definition": json.RawMessage(d.Canonical()), "input": input}, nil
}

// domainsOf is the taskToDomain of an execution, which that of its parts is, too.
func (h *handlers) domainsOf(ctx context.Context, id string) (map[string]string, error) {
	x, err := h.engine.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	return k.domains, nil
}

// source is the definition that is asked for, and the input that its execution is given.
func (q *expansion) source(name string) (*source, map[string]any, error) {
	if q.Kind == "definition" {
		if q.Definition == nil {
			return nil, nil, refuse(400, "workflowDefinition: is no definition")
		}
		s, err := readDef(q.Definition)
		return s, nil, err
	}
	tasks, inputs := []map[string]any{}, map[string]any{}
	switch {
	case q.Kind == "task":
		if q.Name == "" {
			return nil, nil, refuse(400, "Cannot map a dynamic task based on the parameter and input: no task name is given")
		}
		t := map[string]any{"name": q.Name, "taskReferenceName": q.Ref, "type": "SIMPLE", "optional": q.Optional}
		if q.RetryCount != nil {
			t["retryCount"] = *q.RetryCount
		}
		tasks, inputs[q.Ref] = append(tasks, t), q.Input
	case q.ForkName != "" || q.ForkWorkflow != "":
		tasks = q.alike(inputs)
	default:
		if err := decode(q.Tasks, &tasks); err != nil {
			return nil, nil, refuse(400, "Input to the dynamically forked tasks is not a list of tasks: %v", err)
		}
		inputs = q.Inputs
	}
	if i := slices.IndexFunc(tasks, func(t map[string]any) bool { return t == nil }); i >= 0 {
		return nil, nil, refuse(http.StatusBadRequest, "Input to the dynamically forked tasks: [%d] is null, and not a task", i)
	}
	output := map[string]any{}
	var was []any // the inputParameters as they were given
	for _, t := range tasks {
		ref, _ := t["taskReferenceName"].(string)
		if name, _ := t["name"].(string); name == "" && t["type"] != nil && t["type"] != "SIMPLE" { // only a worker goes by the name
			t["name"] = ref
		}
		given, _ := inputs[ref].(map[string]any)
		written, _ := t["inputParameters"].(map[string]any)
		parameters := maps.Clone(written)
		if parameters == nil {
			parameters = map[string]any{}
		}
		for key := range given {
			parameters[key] = "${workflow.input[" + literal(ref) + "][" + literal(key) + "]}"
		}
		was = append(was, t["inputParameters"])
		t["inputParameters"] = parameters
		if q.Kind == "fork" {
			output[ref] = "${" + ref + ".output}"
		}
	}
	none := len(tasks) == 0
	if none {
		tasks = append(tasks, map[string]any{"name": "none", "taskReferenceName": "none", "type": "NOOP"})
	}
	s, err := readDef(map[string]any{"name": name, "version": json.Number("1"), "tasks": anyList(tasks), "outputParameters": output})
	if err != nil {
		return nil, nil, err
	}
	s.parallel, s.empty = true, none
	for i := range was { // what is shown is the task as it was given
		if t, ok := s.full["tasks"].([]any)[i].(map[string]any); ok && was[i] != nil {
			t["inputParameters"] = was[i]
		} else if ok {
			t["inputParameters"] = map[string]any{}
		}
	}
	return s, inputs, nil
}

// alike are the tasks of a dynamic fork that are all of one kind, one for each input.
func (q *expansion) alike(inputs map[string]any) []map[string]any {
	name := q.ForkName
	if q.ForkWorkflow != "" {
		name = q.ForkWorkflow
	}
	var tasks []map[string]any
	for i, v := range q.ForkInputs {
		ref := fmt.Sprintf("_%s_%d", name, i)
		given, ok := v.(map[string]any)
		if !ok {
			given = map[string]any{"input": v}
		}
		given["__index"] = i
		inputs[ref] = given
		t := map[string]any{"name": name, "taskReferenceName": ref, "type": "SIMPLE"}
		if q.ForkType != "" {
			t["type"] = q.ForkType
		}
		if q.ForkWorkflow != "" {
			t["type"] = "SUB_WORKFLOW"
			t["subWorkflowParam"] = map[string]any{"name": q.ForkWorkflow, "version": q.ForkVersion}
		}
		tasks = append(tasks, t)
	}
	return tasks
}

func anyList(tasks []map[string]any) []any {
	list := make([]any, len(tasks))
	for i, t := range tasks {
		list[i] = t
	}
	return list
}
