package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

// notesEvents is the group of notes that holds event handlers.
const notesEvents = "conductor.event"

type eventHandler struct {
	Name      string        `json:"name"`
	Event     string        `json:"event"`
	Condition string        `json:"condition,omitempty"`
	Evaluator string        `json:"evaluatorType,omitempty"`
	Active    bool          `json:"active"`
	Actions   []eventAction `json:"actions"`
}

type eventAction struct {
	Action    string         `json:"action"`
	Start     *startRequest  `json:"start_workflow,omitempty"`
	Complete  *eventSettles  `json:"complete_task,omitempty"`
	Fail      *eventSettles  `json:"fail_task,omitempty"`
	Terminate map[string]any `json:"terminate_workflow,omitempty"`
}

type eventSettles struct {
	WorkflowID string         `json:"workflowId"`
	Ref        string         `json:"taskRefName"`
	TaskID     string         `json:"taskId"`
	Output     map[string]any `json:"output"`
}

func (h *handlers) eventRoutes() []compat.Route {
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	return []compat.Route{
		{Method: http.MethodPost, Path: "/api/event", Rule: write, Serve: h.putEvent(false)},
		{Method: http.MethodPut, Path: "/api/event", Rule: write, Serve: h.putEvent(true)},
		{Method: http.MethodGet, Path: "/api/event", Rule: read, Serve: h.listEvents},
		{Method: http.MethodGet, Path: "/api/event/:name", Rule: read, Serve: h.listEvents},
		{Method: http.MethodGet, Path: "/api/event/handler/:name", Rule: read, Serve: h.getEvent},
		{Method: http.MethodDelete, Path: "/api/event/:name", Rule: write, Serve: h.deleteEvent},
	}
}

// putEvent keeps a handler, or a list of them; one that cannot be keeps all of them out.
func (h *handlers) putEvent(known bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		list, err := readList[map[string]any](c.Request)
		if err != nil {
			return err
		}
		ctx := c.Request.Context()
		names, tags := make([]string, len(list)), make([]*brought, len(list))
		for i, full := range list {
			if tags[i], err = takeTags(full); err != nil {
				return err
			}
			name, err := h.checkEvent(ctx, full, known)
			if err != nil {
				return err
			}
			if slices.Contains(names[:i], name) { // the one would silently replace the other
				return refuse(http.StatusConflict, "EventHandler with name %s is in the list twice", name)
			}
			names[i] = name
		}
		for i, full := range list {
			if err := h.engine.PutNote(ctx, compat.Project(ctx), notesEvents, names[i], encoded(full)); err != nil {
				return err
			}
			if err := h.keepTags(ctx, "event", names[i], tags[i]); err != nil {
				return err
			}
		}
		return silent(c.Writer, http.StatusOK)
	}
}

// checkEvent answers the name of a handler that can be kept.
func (h *handlers) checkEvent(ctx context.Context, full map[string]any, known bool) (string, error) {
	var e eventHandler
	if err := mold(full, &e); err != nil {
		return "", malformed(err)
	}
	if wrong := append(e.check(), h.checkCondition(ctx, &e)...); len(wrong) > 0 {
		return "", wrong
	}
	_, err := h.engine.Note(ctx, compat.Project(ctx), notesEvents, e.Name)
	switch {
	case err == nil && !known:
		return "", refuse(http.StatusConflict, "EventHandler with name %s already exists!", e.Name)
	case compat.IsMissing(err) && known:
		return "", refuse(http.StatusNotFound, "EventHandler with name %s not found!", e.Name)
	case err != nil && !compat.IsMissing(err):
		return "", err
	}
	full["active"] = e.Active
	return e.Name, nil
}

func (e *eventHandler) check() invalidDef {
	var wrong invalidDef
	add := func(path, format string, args ...any) {
		wrong = append(wrong, validationError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if e.Name == "" {
		add("name", "Missing event handler name")
	}
	if !strings.HasPrefix(e.Event, "conductor:") {
		add("event", "%q cannot be listened to here: events are those of EVENT tasks with the sink conductor, conductor:WORKFLOW:NAME", e.Event)
	}
	if len(e.Actions) == 0 {
		add("actions", "No actions specified. Please specify at-least one action")
	}
	for i, a := range e.Actions {
		ok := map[string]bool{"start_workflow": a.Start != nil, "complete_task": a.Complete != nil, "fail_task": a.Fail != nil, "terminate_workflow": a.Terminate != nil}[a.Action]
		if !ok {
			add(fmt.Sprintf("actions[%d].action", i), "%q is not done here, or says not what: start_workflow, complete_task, fail_task and terminate_workflow are", a.Action)
		}
	}
	return wrong
}

// listEvents answers handlers, all of them or those of an event, without their tags: each handler's would be a read of its own.
func (h *handlers) listEvents(c *gin.Context) error {
	ctx := c.Request.Context()
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), notesEvents)
	if err != nil {
		return err
	}
	list := []json.RawMessage{}
	for _, name := range sorted(notes) {
		var e eventHandler
		if err := json.Unmarshal(notes[name], &e); err != nil {
			return malformed(err)
		}
		if event := c.Param("name"); event != "" && (e.Event != event || !e.Active && boolean(c, "activeOnly", true)) {
			continue
		}
		list = append(list, notes[name])
	}
	return answerJSON(c, list)
}

// getEvent answers one handler: GET /event/handler/{name}.
func (h *handlers) getEvent(c *gin.Context) error {
	ctx, name := c.Request.Context(), c.Param("name")
	raw, err := h.engine.Note(ctx, compat.Project(ctx), notesEvents, name)
	if compat.IsMissing(err) {
		return refuse(http.StatusNotFound, "EventHandler with name %s not found!", name)
	}
	if err == nil {
		raw, err = h.shownEvent(ctx, name, raw)
	}
	if err != nil {
		return err
	}
	return answerJSON(c, raw)
}

// shownEvent is a handler with its tags.
func (h *handlers) shownEvent(ctx context.Context, name string, raw json.RawMessage) (json.RawMessage, error) {
	tags, err := h.tags(ctx, tagsOf("event", name))
	if err != nil || len(tags) == 0 {
		return raw, err
	}
	full := fields(raw)
	full["tags"] = encoded(tags)
	return encoded(full), nil
}

func (h *handlers) deleteEvent(c *gin.Context) error {
	ctx := c.Request.Context()
	err := h.engine.DeleteNote(ctx, compat.Project(ctx), notesEvents, c.Param("name"))
	if compat.IsMissing(err) {
		return refuse(http.StatusNotFound, "EventHandler with name %s not found!", c.Param("name"))
	}
	if err == nil {
		err = h.dropTags(ctx, tagsOf("event", c.Param("name")), nil)
	}
	if err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

// eventFor does what the handlers of an EVENT task's event say.
func (h *handlers) eventFor(ctx context.Context, r engine.RemoteRun) (any, error) {
	var in struct {
		Sink  string         `json:"sink"`
		Input map[string]any `json:"input"`
	}
	if err := decode(r.Input, &in); err != nil {
		return nil, malformed(err)
	}
	sink, name, _ := strings.Cut(in.Sink, ":")
	if sink != "conductor" {
		return nil, refuse(400, "sink %q: only the sink conductor is here; send to others with an HTTP task or a worker", in.Sink)
	}
	x, err := h.engine.Execution(ctx, r.Execution)
	if err != nil {
		return nil, err
	}
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = k.node(r.At.Task.Name, r.At.Type).Ref
	}
	event := "conductor:" + r.Workflow + ":" + name
	payload := map[string]any{
		"workflowInstanceId": r.Execution, "workflowType": r.Workflow, "workflowVersion": k.version, "correlationId": x.CorrelationID,
		"taskToDomain": nil, "event_produced": event,
	}
	maps.Copy(payload, in.Input)
	notes, err := h.engine.Notes(ctx, r.Project, notesEvents)
	if err != nil {
		return nil, err
	}
	for _, name := range sorted(notes) {
		var e eventHandler
		if err := decode(notes[name], &e); err != nil {
			return nil, malformed(err)
		}
		if !e.Active || !slices.Contains([]string{event, in.Sink}, e.Event) {
			continue
		}
		if err := h.handle(ctx, r, &e, payload); err != nil {
			return nil, err
		}
	}
	return payload, nil
}

// handle does what one handler says. What the state of others forbids is none of the event's failures: it is in the task's log.
func (h *handlers) handle(ctx context.Context, r engine.RemoteRun, e *eventHandler, payload map[string]any) error {
	meets, err := h.meets(ctx, e, payload)
	if err != nil {
		return h.noteEvent(ctx, r, "event handler %s: condition: %v", e.Name, err)
	}
	if !meets {
		return nil
	}
	for i, a := range e.Actions {
		err := h.act(ctx, a, payload, keyOf("%s:%s:%d:%s:%d", r.Execution, r.Ref, r.Attempt, e.Name, i))
		if message, ok := told(err); ok {
			err = h.noteEvent(ctx, r, "event handler %s: %s: %s", e.Name, a.Action, message)
		}
		if err != nil {
			return fmt.Errorf("event handler %s: %w", e.Name, err)
		}
	}
	return nil
}

func (h *handlers) noteEvent(ctx context.Context, r engine.RemoteRun, format string, args ...any) error {
	line := engine.LogLine{Level: engine.LogWarn, Message: engine.ClipLogMessage(fmt.Sprintf(format, args...))}
	return h.engine.RemoteLog(ctx, r.Execution, r.Ref, r.Token, []engine.LogLine{line})
}

// meets reports whether an event meets the condition of a handler.
func (h *handlers) meets(ctx context.Context, e *eventHandler, payload map[string]any) (bool, error) {
	if e.Condition == "" {
		return true, nil
	}
	if h.script == nil {
		return false, errors.New("there is nothing here that evaluates it")
	}
	out, err := h.script(ctx, "Boolean(eval("+literal(e.Condition)+"))", encoded(payload))
	return string(out) == "true", err
}

// checkCondition reads a condition and does not evaluate it.
func (h *handlers) checkCondition(ctx context.Context, e *eventHandler) invalidDef {
	wrong := func(field, format string, args ...any) invalidDef {
		return invalidDef{{Path: field, Message: fmt.Sprintf(format, args...)}}
	}
	switch {
	case e.Condition == "":
		return nil
	case !slices.Contains([]string{"", "javascript", "graaljs"}, e.Evaluator):
		return wrong("evaluatorType", "%q cannot be evaluated here: javascript and graaljs can", e.Evaluator)
	case h.script == nil:
		return wrong("condition", "there is nothing here that evaluates it: let the workflow that is started decide")
	}
	if _, err := h.script(ctx, "(function () {\n"+e.Condition+"\n});\nnull", nil); err != nil {
		return wrong("condition", "%v", err)
	}
	return nil
}

// act does one action. key makes a start happen once, however often it is tried.
func (h *handlers) act(ctx context.Context, a eventAction, payload map[string]any, key string) error {
	var filledIn eventAction
	if err := mold(substituted(asAny(a), payload), &filledIn); err != nil {
		return malformed(err)
	}
	a = filledIn
	switch {
	case a.Start != nil:
		a.Start.IdempotencyKey, a.Start.IdempotencyStrategy = key, ""
		_, err := h.begin(ctx, a.Start)
		return err
	case a.Complete != nil:
		return h.actOnTask(ctx, a.Complete, "COMPLETED")
	case a.Fail != nil:
		return h.actOnTask(ctx, a.Fail, "FAILED")
	}
	id, _ := a.Terminate["workflowId"].(string)
	reason, _ := a.Terminate["terminationReason"].(string)
	x, err := h.found(ctx, id)
	if err != nil || x.Status.Ended() {
		return err
	}
	_, err = h.engine.Cancel(ctx, x.ID, asked(ctx, reason))
	if stale(err) {
		return nil
	}
	return err
}

func (h *handlers) actOnTask(ctx context.Context, s *eventSettles, status string) error {
	id := s.TaskID
	if id == "" {
		x, err := h.found(ctx, s.WorkflowID)
		if err != nil {
			return err
		}
		if id, err = h.pending(ctx, x, s.Ref); err != nil {
			return err
		}
		if id == "" {
			return refuse(404, "Found no running task %s of workflow %s to update", s.Ref, s.WorkflowID)
		}
	}
	f, _, err := h.visible(ctx, id)
	if err != nil {
		return err
	}
	return h.settle(ctx, f, &taskResult{Status: status, Output: encoded(s.Output), Reason: "an event"})
}

func asAny(v any) any {
	var out any
	_ = decode(encoded(v), &out) // it was encoded a moment ago
	return out
}

// substituted puts what lies in a payload in place of the expressions in a value.
func substituted(v any, payload map[string]any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = substituted(v[i], payload)
		}
	case map[string]any:
		for key := range v {
			v[key] = substituted(v[key], payload)
		}
	case string:
		parts, err := split(v)
		if err != nil {
			return v
		}
		var text strings.Builder
		for _, p := range parts {
			if !p.expression {
				text.WriteString(p.text)
				continue
			}
			found := lookedUp(p.text, payload)
			if len(parts) == 1 {
				return found
			}
			if found != nil {
				fmt.Fprint(&text, found)
			}
		}
		return text.String()
	}
	return v
}

func lookedUp(expression string, payload map[string]any) any {
	steps, err := path(expression)
	if err != nil {
		return nil
	}
	var at any = payload
	for _, step := range steps {
		switch key := step.(type) {
		case string:
			m, _ := at.(map[string]any)
			at = m[key]
		case int:
			list, _ := at.([]any)
			if key < 0 || key >= len(list) {
				return nil
			}
			at = list[key]
		}
	}
	return at
}
