package digdag

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// tasks lists the tasks of an attempt under Digdag's names: the workflow itself first.
func (h *handlers) tasks(c *gin.Context) error {
	v := h.view(c)
	x, err := v.execution(c.Param("id"))
	if err != nil {
		return err
	}
	t, err := v.tree(x)
	if err != nil {
		return err
	}
	made := tasks{[]task{rootTask(x, t.open)}}
	for i, n := range t.rows {
		if n.shown {
			made.Tasks = append(made.Tasks, t.task(x, n, i))
		}
	}
	return answer(c, made)
}

// taskID is the number of a task in its attempt: its place in the list of all, the workflow being 1.
func taskID(row int) string { return strconv.Itoa(row + 2) }

const rootID = "1"

var rootStates = map[workflow.ExecutionStatus]string{
	workflow.ExecutionQueued: "blocked", workflow.ExecutionRunning: "planned", workflow.ExecutionPaused: "planned", workflow.ExecutionCanceling: "planned",
	workflow.ExecutionSucceeded: "success", workflow.ExecutionFailed: "group_error", workflow.ExecutionTimedOut: "canceled", workflow.ExecutionCanceled: "canceled",
}

func rootTask(x *engine.Execution, o *opened) task {
	t := task{
		ID: rootID, FullName: o.Root.Suffix, Config: o.Root.Config, Upstreams: []string{}, State: rootStates[x.Status], ExportParams: o.Root.Export,
		StoreParams: json.RawMessage("{}"), UpdatedAt: instant(latest(x.CreatedAt, x.StartedAt, x.EndedAt)), StartedAt: instantOf(x.StartedAt),
		Error: wireError(x.Error), CancelRequested: killed(x), IsGroup: true, Group: true,
	}
	return t
}

func (t *tree) task(x *engine.Execution, n node, row int) task {
	made := task{
		ID: taskID(row), FullName: n.full, Config: object(n.Input), Upstreams: t.upstreams(n), ExportParams: json.RawMessage("{}"), StoreParams: json.RawMessage("{}"),
		UpdatedAt: instant(latest(x.CreatedAt, n.QueuedAt, n.StartedAt, n.EndedAt)), StartedAt: instantOf(n.StartedAt),
		Error: wireError(n.Error), IsGroup: n.Size > 0 || n.Type == workflow.TypeGroup || n.Type == workflow.TypeLoop,
	}
	if _, compiled, _ := t.open.FullName(n.Ref); compiled != nil {
		made.IsGroup = compiled.Group
		if !n.loop && compiled.Config != nil {
			made.Config, made.ExportParams = compiled.Config, compiled.Export
		}
	}
	if n.Status == workflow.TaskRetrying {
		made.RetryAt = instantOf(n.NextAttemptAt)
	}
	if s, ok := t.storing[n.full]; ok && t.rows[s.row].Status == workflow.TaskSucceeded {
		made.StoreParams = s.task.StoreParams(t.rows[s.row].Output)
	}
	made.Group, made.State = made.IsGroup, stateOfTask(n.Task, made.IsGroup)
	if at, ok := t.byRef[n.helper]; ok && (t.rows[at].Status == workflow.TaskFailed || t.rows[at].Status == workflow.TaskTimedOut) {
		made.State, made.Error = stateOfTask(t.rows[at].Task, made.IsGroup), wireError(t.rows[at].Error)
	}
	parent := t.shownAround(n)
	made.ParentID = &parent
	if killed(x) && !n.Status.Ended() || n.Status == workflow.TaskCanceled && made.State == "canceled" {
		made.CancelRequested = true
	}
	if x.Origin != nil && n.EndedAt != nil && n.EndedAt.Before(x.CreatedAt) { // it was kept
		made.StartedAt, made.UpdatedAt = nil, instant(*n.EndedAt)
	}
	return made
}

// shownAround is the id of the nearest task around one that Digdag has, too.
func (t *tree) shownAround(n node) string {
	for ref := cmp.Or(n.of, n.parent); ref != ""; {
		at, ok := t.byRef[ref]
		if !ok {
			break
		}
		if t.rows[at].shown {
			return taskID(at)
		}
		ref = t.rows[at].parent
	}
	return rootID
}

// upstreams are the tasks that one waits for. In place of what computes its templates stands what that waits for.
func (t *tree) upstreams(n node) []string {
	ids := []string{}
	for _, ref := range n.Needs {
		at, ok := t.byRef[ref]
		switch {
		case !ok:
		case t.rows[at].shown:
			ids = append(ids, taskID(at))
		default:
			ids = append(ids, t.upstreams(t.rows[at])...)
		}
	}
	return ids
}

// stateOfTask is the state of a task in Digdag's words. What was never reached after a failure stays blocked there.
func stateOfTask(n engine.Task, group bool) string {
	switch n.Status {
	case workflow.TaskPending:
		return "blocked"
	case workflow.TaskQueued:
		return "ready"
	case workflow.TaskRetrying:
		if group {
			return "group_retry_waiting"
		}
		return "retry_waiting"
	case workflow.TaskRunning, workflow.TaskWaiting:
		if group {
			return "planned"
		}
		return "running"
	case workflow.TaskFailed, workflow.TaskTimedOut:
		if group {
			return "group_error"
		}
		return "error"
	case workflow.TaskCanceled:
		if n.Reason == workflow.ReasonUpstreamFailed || n.Reason == workflow.ReasonItemFailed {
			return "blocked"
		}
		return "canceled"
	}
	return "success" // succeeded, or skipped, which lets go on what waits for it
}

func wireError(e *workflow.Error) json.RawMessage {
	if e == nil {
		return json.RawMessage("{}")
	}
	made, err := json.Marshal(struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	}{e.Message, e.Code})
	if err != nil {
		return json.RawMessage("{}")
	}
	return made
}

func latest(at time.Time, others ...*time.Time) time.Time {
	for _, o := range others {
		if o != nil && o.After(at) {
			at = *o
		}
	}
	return at
}
