package digdag

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// wanted is a request for an attempt that was checked.
type wanted struct {
	attemptRequest
	w    *engine.Workflow
	at   time.Time
	name string
}

// putAttempt starts a workflow in a session, or with resume the next attempt of one. An attempt that is
// there is answered with 409, so that a client whose answer got lost learns its id.
func (h *handlers) putAttempt(c *gin.Context) error {
	v := h.view(c)
	q, err := v.wanted(c)
	if err != nil {
		return err
	}
	var x *engine.Execution
	if q.Resume == nil {
		x, err = v.start(q)
	} else {
		x, err = v.resume(q)
	}
	if there, ok := errors.AsType[*taken409](err); ok {
		a, err := v.attempt(there.x)
		if err != nil {
			return err
		}
		return compat.Answer(c.Writer, http.StatusConflict, a)
	}
	if e, ok := errors.AsType[*engine.Error](err); ok && e.Kind == engine.KindConflict {
		return refuse("%s", e.Message) // a 409 carries an attempt
	}
	if err != nil {
		return err
	}
	a, err := v.attempt(x)
	if err != nil {
		return err
	}
	return answer(c, a)
}

const maxName = 255 // characters

// taken409 says which attempt stands in the way.
type taken409 struct{ x *engine.Execution }

func (e *taken409) Error() string { return "digdag: attempt " + e.x.ID + " is there" }

func (v *view) wanted(c *gin.Context) (*wanted, error) {
	q := &wanted{}
	if err := read(c, &q.attemptRequest); err != nil {
		return nil, err
	}
	var err error
	if q.w, err = v.asked(q); err != nil {
		return nil, err
	}
	if q.at, err = sessionTime(q.SessionTime); err != nil {
		return nil, err
	}
	if q.Params = bytes.TrimSpace(q.Params); len(q.Params) == 0 || q.Params[0] != '{' {
		return nil, refuse("params is missing, or no object; allowed: an object, as {}")
	}
	if q.RetryAttemptName != nil {
		q.name = *q.RetryAttemptName
		if q.name == "" {
			return nil, refuse("retryAttemptName must not be blank; allowed: 1 to 255 characters, or null")
		}
		if utf8.RuneCountInString(q.name) > maxName {
			return nil, refuse("retryAttemptName is too long; allowed: 1 to 255 characters")
		}
	}
	if r := q.Resume; r != nil {
		switch {
		case r.Mode != "failed" && r.Mode != "from":
			return nil, refuse("resume.mode is %q; allowed: failed, from", r.Mode)
		case r.AttemptID == "":
			return nil, refuse("resume.attemptId is missing; allowed: the id of an attempt")
		}
	}
	return q, nil
}

// asked finds the workflow: a version by its id, or the newest by name.
func (v *view) asked(q *wanted) (*engine.Workflow, error) {
	if q.WorkflowID != nil && *q.WorkflowID != "" {
		if _, err := strconv.ParseInt(string(*q.WorkflowID), 10, 64); err != nil {
			return nil, refuse("workflowId is %q; allowed: a number", string(*q.WorkflowID))
		}
		return v.workflow(string(*q.WorkflowID))
	}
	if q.ProjectName == "" || q.WorkflowName == "" {
		return nil, refuse("workflowId is missing; allowed: workflowId, or projectName and workflowName")
	}
	if !auth.From(v.ctx).Sees(q.ProjectName) {
		return nil, missing("project name=%s", q.ProjectName)
	}
	compat.Touch(v.ctx, q.ProjectName)
	w, err := v.engine.Workflow(v.ctx, q.ProjectName, q.WorkflowName, 0)
	if compat.IsMissing(err) {
		err = missing("workflow name=%s in project name=%s", q.WorkflowName, q.ProjectName)
	}
	return w, err
}

// read reads a body. An empty one is an empty object; fields that nobody knows are ignored, and one that stands
// twice counts the last time: Digdag's own client sends the mode of a resume twice.
func read(c *gin.Context, into any) error {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return err
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return nil
	}
	err = json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return refuse("%s is %s, which it cannot be", wrong.Field, wrong.Value)
	}
	if err != nil {
		return refuse("the body is no JSON object: %v", err)
	}
	return nil
}

// sessionTime reads a time with an offset, which Java writes without seconds where there are none, and may add the name
// of the zone. Fractions of a second are dropped, as Digdag does.
func sessionTime(text string) (time.Time, error) {
	given, _, _ := strings.Cut(text, "[")
	at, err := time.Parse(time.RFC3339, given)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04Z07:00", given)
	}
	if err != nil {
		return at, refuse("sessionTime is %q; allowed: a time with an offset, as 2026-03-01T00:00:00+09:00", text)
	}
	return at.Truncate(time.Second), nil
}

// whenFull is what becomes of the attempt where the workflow has a limit.
func (q *wanted) whenFull() workflow.WhenFull {
	if q.AllowQueueing {
		return workflow.WhenFullQueue
	}
	return workflow.WhenFullReject
}

func (v *view) start(q *wanted) (*engine.Execution, error) {
	if q.name == "" { // what a schedule started has none either
		all, err := v.at(q.w.Project, q.w.Name, q.at)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if attemptName(&all[i]) == nil {
				return nil, v.inTheWay(q, &all[i])
			}
		}
	}
	r := engine.StartRequest{
		Workflow: q.w.Name, Version: q.w.Version, Input: q.Params, SessionTime: q.at, AttemptName: q.name, WhenFull: q.whenFull(), By: auth.From(v.ctx).By(),
	}
	x, _, err := v.engine.Start(v.ctx, q.w.Project, r)
	if err == nil {
		compat.Started(v.ctx, x)
	}
	return x, v.refused(q, err)
}

// refused turns what the engine says into what Digdag says.
func (v *view) refused(q *wanted, err error) error {
	e, ok := errors.AsType[*engine.Error](err)
	switch {
	case !ok:
	case e.Code == "session_exists" && e.Existing != nil:
		there, err := v.made(e.Existing.ID)
		if err != nil {
			return err
		}
		return v.inTheWay(q, there)
	case e.Code == "concurrency_limit":
		limit, err := v.limit(q.w)
		if err != nil {
			return err
		}
		return refuse("Too many attempts running. Limit: %d, Current: %d", limit, limit)
	}
	return err
}

// made reads an attempt that may be about to be made by another call: it has its place in the session a moment before it is there.
func (v *view) made(id string) (*engine.Execution, error) {
	const looks, pause = 100, 20 * time.Millisecond
	for i := 0; ; i++ {
		x, err := v.engine.Execution(v.ctx, id)
		if !compat.IsMissing(err) {
			return x, err
		}
		if i == looks {
			return nil, problem.New(http.StatusServiceUnavailable, "attempt_in_the_making", "another attempt of this session is being made: ask again")
		}
		select {
		case <-v.ctx.Done():
			return nil, v.ctx.Err()
		case <-time.After(pause):
		}
	}
}

// inTheWay is what a 409 answers: the attempt of that name, or where none was given the last one of the session.
func (v *view) inTheWay(q *wanted, there *engine.Execution) error {
	if q.name == "" && there.Session != nil {
		s, err := v.engine.Session(v.ctx, there.Project, there.Session.Number)
		if err != nil && !compat.IsMissing(err) {
			return err
		}
		if s != nil && s.Last != nil {
			there = s.Last
		}
	}
	return &taken409{there}
}

// limit is how many attempts of a workflow may run.
func (v *view) limit(w *engine.Workflow) (int, error) {
	newest, err := v.engine.Workflow(v.ctx, w.Project, w.Name, 0)
	if err != nil {
		return 0, err
	}
	var d struct {
		Concurrency struct {
			MaxRunning int `json:"max_running"`
		} `json:"concurrency"`
	}
	err = json.Unmarshal(newest.Definition, &d)
	return d.Concurrency.MaxRunning, err
}
