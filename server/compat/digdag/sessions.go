package digdag

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/compat/digdag/dig"
)

// session is a session as Digdag has it.
func (v *view) session(project string, s *engine.Session) (session, error) {
	version := 0
	if s.Last != nil {
		version = s.Last.Version
	}
	w, err := v.engine.Workflow(v.ctx, project, s.Workflow, version)
	if err != nil {
		return session{}, err
	}
	o, err := v.openVersion(w)
	if err != nil {
		return session{}, err
	}
	made := session{
		ID: strconv.FormatInt(s.Number, 10), Project: named{Name: project}, Workflow: named{Name: s.Workflow},
		SessionUUID: dig.SessionUUID(project, s.Workflow, s.Time), SessionTime: local(s.Time, o.Zone),
	}
	if made.Project.ID, err = v.projectID(project); err != nil {
		return made, err
	}
	if made.Workflow.ID, err = v.workflowID(project, w.Name, w.Version); err != nil {
		return made, err
	}
	if s.Last != nil {
		last := stateOf(s.Last, o)
		made.LastAttempt = &last
	}
	return made, nil
}

// at are the attempts of the session of a workflow at a time, the oldest first.
func (v *view) at(project, workflow string, at time.Time) ([]engine.Execution, error) {
	found, _, err := v.engine.Sessions(v.ctx, project, engine.SessionFilter{Workflow: workflow, Time: at}, engine.Page{Limit: 1})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	all, err := v.ofSession(project, found[0].Number)
	if compat.IsMissing(err) { // it went meanwhile
		err = nil
	}
	return all, err
}

func (h *handlers) listSessions(c *gin.Context) error {
	v := h.view(c)
	all, err := v.projects()
	if err != nil {
		return err
	}
	return v.sessionsOf(c, all, "")
}

func (h *handlers) projectSessions(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	return v.sessionsOf(c, []engine.Project{*p}, c.Query("workflow"))
}

// sessionsOf lists sessions, the newest first.
func (v *view) sessionsOf(c *gin.Context, projects []engine.Project, name string) error {
	size, err := sizeOf(c, "page_size", maxPage, maxPage)
	if err != nil {
		return err
	}
	last, err := lastID(c)
	if err != nil {
		return err
	}
	page := engine.Page{Limit: size}
	if last > 0 {
		page.Cursor = strconv.FormatInt(last, 10)
	}
	type found struct {
		project string
		engine.Session
	}
	var all []found
	for _, p := range projects {
		some, _, err := v.engine.Sessions(v.ctx, p.Name, engine.SessionFilter{Workflow: name}, page)
		if err != nil {
			return err
		}
		for _, s := range some {
			all = append(all, found{p.Name, s})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(b.Number, a.Number) })
	made := sessions{[]session{}}
	for _, s := range all[:min(len(all), size)] {
		one, err := v.session(s.project, &s.Session)
		if err != nil {
			return err
		}
		made.Sessions = append(made.Sessions, one)
	}
	return answer(c, made)
}

// findSession looks for a session in the projects that the caller may see.
func (v *view) findSession(id string) (string, *engine.Session, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return "", nil, missing("session id=%s", id)
	}
	projects, err := v.projects()
	if err != nil {
		return "", nil, err
	}
	for _, p := range projects {
		s, err := v.engine.Session(v.ctx, p.Name, n)
		if err == nil {
			return p.Name, s, nil
		}
		if !compat.IsMissing(err) {
			return "", nil, err
		}
	}
	return "", nil, missing("session id=%s", id)
}

func (h *handlers) getSession(c *gin.Context) error {
	v := h.view(c)
	project, s, err := v.findSession(c.Param("id"))
	if err != nil {
		return err
	}
	made, err := v.session(project, s)
	if err != nil {
		return err
	}
	return answer(c, made)
}

// sessionAttempts are the attempts of a session, the newest first.
func (h *handlers) sessionAttempts(c *gin.Context) error {
	v := h.view(c)
	size, err := sizeOf(c, "page_size", maxPage, maxPage)
	if err != nil {
		return err
	}
	last, err := lastID(c)
	if err != nil {
		return err
	}
	project, s, err := v.findSession(c.Param("id"))
	if err != nil {
		return err
	}
	all, err := v.ofSession(project, s.Number)
	if err != nil {
		return err
	}
	slices.Reverse(all)
	if last > 0 {
		all = slices.DeleteFunc(all, func(x engine.Execution) bool { return x.Number >= last })
	}
	made, err := v.attempts(all[:min(len(all), size)])
	if err != nil {
		return err
	}
	return answer(c, attempts{made})
}
