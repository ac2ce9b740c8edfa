package digdag

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/compat/digdag/dig"
	"github.com/redrive/redrive/workflow"
)

// serve answers a request.
type serve = func(c *gin.Context) error

// credential finds the key where Treasure Data's clients put theirs.
func credential(r *http.Request) string {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "TD1 ")
	if key == r.Header.Get("Authorization") {
		return ""
	}
	return strings.TrimSpace(key)
}

// view reads what answers are made of, each thing once.
type view struct {
	*handlers
	ctx      context.Context
	numbers  map[string]string
	sessions map[int64]*engine.Session
}

func (h *handlers) view(c *gin.Context) *view {
	return &view{handlers: h, ctx: c.Request.Context(), numbers: map[string]string{}, sessions: map[int64]*engine.Session{}}
}

// number is the id of a name of one of the kinds below.
func (v *view) number(name string) (string, error) {
	if n, ok := v.numbers[name]; ok {
		return n, nil
	}
	n, err := v.engine.NumberOf(v.ctx, name)
	if err != nil {
		return "", err
	}
	v.numbers[name] = strconv.FormatInt(n, 10)
	return v.numbers[name], nil
}

// The kinds of what has a number.
const (
	kindProject  = "project:"
	kindWorkflow = "workflow:"
)

func (v *view) projectID(name string) (string, error) { return v.number(kindProject + name) }

func (v *view) workflowID(project, name string, version int) (string, error) {
	return v.number(kindWorkflow + project + ":" + name + ":" + strconv.Itoa(version))
}

// named answers what an id of a kind stands for; "" = nothing.
func (v *view) named(id, kind string) (string, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return "", nil //nolint:nilerr // what is no number is not there
	}
	name, err := v.engine.Named(v.ctx, n)
	name, ok := strings.CutPrefix(name, kind)
	if err != nil || !ok {
		return "", err
	}
	return name, nil
}

// project answers a project by its id that the caller may see.
func (v *view) project(id string) (*engine.Project, error) {
	name, err := v.named(id, kindProject)
	if err != nil {
		return nil, err
	}
	if name == "" || !auth.From(v.ctx).Sees(name) {
		return nil, missing("project id=%s", id)
	}
	compat.Touch(v.ctx, name)
	p, err := v.engine.Project(v.ctx, name)
	if compat.IsMissing(err) {
		err = missing("project id=%s", id)
	}
	return p, err
}

// projects are those that the caller may see, by name.
func (v *view) projects() ([]engine.Project, error) {
	var all []engine.Project
	for page := (engine.Page{Limit: 1000}); ; {
		some, next, err := v.engine.Projects(v.ctx, page)
		if err != nil {
			return nil, err
		}
		for _, p := range some {
			if auth.From(v.ctx).Sees(p.Name) {
				all = append(all, p)
			}
		}
		if page.Cursor = next; next == "" {
			return all, nil
		}
	}
}

// workflow answers a version of a workflow by its id.
func (v *view) workflow(id string) (*engine.Workflow, error) {
	name, err := v.named(id, kindWorkflow)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(name, ":")
	if len(parts) != 3 || !auth.From(v.ctx).Sees(parts[0]) {
		return nil, missing("workflow id=%s", id)
	}
	compat.Touch(v.ctx, parts[0])
	version, _ := strconv.Atoi(parts[2]) // as it was written
	w, err := v.engine.Workflow(v.ctx, parts[0], parts[1], version)
	if compat.IsMissing(err) {
		err = missing("workflow id=%s", id)
	}
	return w, err
}

// open compiles a version of a workflow, or knows it.
func (v *view) open(project, name string, version int) (*opened, error) {
	key := project + ":" + name + ":" + strconv.Itoa(version)
	if o, ok := v.opened.Get(key); ok {
		return o, nil
	}
	if version == 0 { // a sub-workflow that was made at run time has none
		return v.openVersion(&engine.Workflow{Project: project, Name: name})
	}
	w, err := v.engine.Workflow(v.ctx, project, name, version)
	if err != nil {
		return nil, err
	}
	return v.openVersion(w)
}

func (v *view) openVersion(w *engine.Workflow) (*opened, error) {
	key := w.Project + ":" + w.Name + ":" + strconv.Itoa(w.Version)
	if o, ok := v.opened.Get(key); ok {
		return o, nil
	}
	id, err := v.projectID(w.Project)
	if err != nil {
		return nil, err
	}
	o := open(w, id)
	v.opened.Add(key, o)
	return o, nil
}

// execution answers an attempt that the caller may see.
func (v *view) execution(id string) (*engine.Execution, error) {
	x, err := compat.Execution(v.ctx, v.engine, id)
	if compat.IsMissing(err) {
		err = missing("attempt id=%s", id)
	}
	return x, err
}

// attempt is an execution as Digdag has it.
func (v *view) attempt(x *engine.Execution) (attempt, error) {
	o, err := v.open(x.Project, x.Workflow, x.Version)
	if err != nil {
		return attempt{}, err
	}
	a := attempt{state: stateOf(x, o), Index: 1, Project: named{Name: x.Project}, Workflow: named{Name: x.Workflow}}
	if a.Project.ID, err = v.projectID(x.Project); err != nil {
		return a, err
	}
	if a.Workflow.ID, err = v.workflowID(x.Project, x.Workflow, x.Version); err != nil {
		return a, err
	}
	at, number := place(x)
	if x.Session != nil {
		a.Index = x.Session.Attempt
	}
	a.SessionID, a.SessionUUID, a.SessionTime = strconv.FormatInt(number, 10), dig.SessionUUID(x.Project, x.Workflow, at), local(at, o.Zone)
	return a, nil
}

func (v *view) attempts(all []engine.Execution) ([]attempt, error) {
	made := make([]attempt, 0, len(all))
	for i := range all {
		a, err := v.attempt(&all[i])
		if err != nil {
			return nil, err
		}
		made = append(made, a)
	}
	return made, nil
}

// place is the session of an execution. One without has the number 0, and the time that a require> handed on, or that
// of its creation.
func place(x *engine.Execution) (time.Time, int64) {
	if x.Session != nil {
		return x.Session.Time, x.Session.Number
	}
	var handed struct {
		SessionTime time.Time `json:"session_time"`
	}
	if x.Parent == nil || json.Unmarshal(x.Input, &handed) != nil || handed.SessionTime.IsZero() {
		return x.CreatedAt.Truncate(time.Second), 0
	}
	return handed.SessionTime.Truncate(time.Second), 0
}

// statuses are Treasure Data's, of which Digdag's are a part.
var statuses = map[workflow.ExecutionStatus]string{
	workflow.ExecutionQueued: "queued", workflow.ExecutionRunning: "running", workflow.ExecutionPaused: "blocked", workflow.ExecutionCanceling: "canceling",
	workflow.ExecutionSucceeded: "success", workflow.ExecutionFailed: "error", workflow.ExecutionTimedOut: "killed", workflow.ExecutionCanceled: "killed",
}

// killed reports whether an attempt was killed: by somebody, or, as in Digdag, because its time is over.
func killed(x *engine.Execution) bool {
	return x.Status == workflow.ExecutionCanceling || x.Status == workflow.ExecutionCanceled || x.Status == workflow.ExecutionTimedOut
}

func stateOf(x *engine.Execution, o *opened) state {
	s := state{
		Status: statuses[x.Status], ID: strconv.FormatInt(x.Number, 10), RetryAttemptName: attemptName(x), Done: x.Status.Ended(),
		Success:         x.Status == workflow.ExecutionSucceeded,
		CancelRequested: killed(x),
		Params:          o.params(x), CreatedAt: instant(x.CreatedAt),
	}
	if s.Done {
		s.FinishedAt = instantOf(x.EndedAt)
	}
	return s
}

// attemptName is the name of a retry. What a schedule starts has none in Digdag.
func attemptName(x *engine.Execution) *string {
	if x.Session == nil || x.Session.AttemptName == "" {
		return nil
	}
	name := x.Session.AttemptName
	if scheduled := x.Labels[engine.LabelSchedule]; scheduled != "" && name == "schedule-"+scheduled {
		return nil
	}
	return &name
}

// object is a value as it is, and an empty object for what is none.
func object(value json.RawMessage) json.RawMessage {
	if len(value) == 0 || value[0] != '{' {
		return json.RawMessage("{}")
	}
	return value
}

// sizeOf reads how many are wanted.
func sizeOf(c *gin.Context, name string, usual, most int) (int, error) {
	text := c.Query(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, refuse("%s is %q; allowed: 1 to %d", name, text, most)
	}
	return n, nil
}

// lastID reads where a page begins: behind the entry with this id; 0 = at the beginning.
func lastID(c *gin.Context) (int64, error) {
	text := c.Query("last_id")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, refuse("last_id is %q; allowed: an id of the list", text)
	}
	return n, nil
}

func flag(c *gin.Context, name string) (bool, error) {
	switch text := c.Query(name); strings.ToLower(text) { // Python's clients write True
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, refuse("%s is %q; allowed: true, false", name, text)
	}
}

func answer(c *gin.Context, v any) error { return compat.Answer(c.Writer, http.StatusOK, v) }
