package digdag

import (
	"cmp"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

const (
	maxPage   = 100  // attempts in an answer
	scanPages = 20   // pages of executions that are read for one of attempts
	whole     = 1000 // read at once of what is answered whole
)

func (h *handlers) getAttempt(c *gin.Context) error {
	v := h.view(c)
	x, err := v.execution(c.Param("id"))
	if err != nil {
		return err
	}
	a, err := v.attempt(x)
	if err != nil {
		return err
	}
	return answer(c, a)
}

// listAttempts lists attempts, the newest first: of each session the last one, or all of them.
func (h *handlers) listAttempts(c *gin.Context) error {
	v := h.view(c)
	size, err := sizeOf(c, "page_size", maxPage, maxPage)
	if err != nil {
		return err
	}
	all, err := flag(c, "include_retried")
	if err != nil {
		return err
	}
	found, err := v.find(c, size, all)
	if err != nil {
		return err
	}
	made, err := v.attempts(found)
	if err != nil {
		return err
	}
	return answer(c, attempts{made})
}

func (v *view) find(c *gin.Context, size int, all bool) ([]engine.Execution, error) {
	last, err := lastID(c)
	if err != nil {
		return nil, err
	}
	w := window{workflow: c.Query("workflow"), size: size, all: all, below: last}
	if last > 0 {
		switch x, err := v.engine.Execution(v.ctx, strconv.FormatInt(last, 10)); {
		case compat.IsMissing(err): // the numbers tell, as far as is looked
		case err != nil:
			return nil, err
		default:
			w.cursor, w.below = x.ID, 0
		}
	}
	projects, err := v.projects()
	if err != nil {
		return nil, err
	}
	if name := c.Query("project"); name != "" {
		if projects = slices.DeleteFunc(projects, func(p engine.Project) bool { return p.Name != name }); len(projects) == 0 {
			return nil, missing("project name=%s", name)
		}
	}
	var found []engine.Execution
	for _, p := range projects {
		some, err := v.findIn(p.Name, w)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	slices.SortFunc(found, func(a, b engine.Execution) int { return cmp.Compare(b.ID, a.ID) })
	return found[:min(len(found), size)], nil
}

// window is which attempts are wanted.
type window struct {
	workflow string // "" = any
	cursor   string // id of the one that they begin behind
	below    int64  // their numbers are; 0 = any
	size     int
	all      bool // of each session all of them
}

func (v *view) findIn(project string, w window) (found []engine.Execution, err error) {
	page := engine.Page{Cursor: w.cursor, Limit: maxPage} // whatever is wanted: those that another one followed are passed over
	for range scanPages {
		some, next, err := v.engine.Executions(v.ctx, project, engine.ExecutionFilter{Workflow: w.workflow}, page)
		if err != nil {
			return nil, err
		}
		for i := range some {
			if len(found) == w.size {
				return found, nil
			}
			if w.below > 0 && some[i].Number >= w.below {
				continue
			}
			last := w.all
			if !last {
				if last, err = v.isLast(&some[i]); err != nil {
					return nil, err
				}
			}
			if last {
				found = append(found, some[i])
			}
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	return found, nil
}

// isLast reports whether an execution is the last attempt of its session.
func (v *view) isLast(x *engine.Execution) (bool, error) {
	if x.Session == nil {
		return true, nil
	}
	s, ok := v.sessions[x.Session.Number]
	if !ok {
		var err error
		if s, err = v.engine.Session(v.ctx, x.Project, x.Session.Number); err != nil && !compat.IsMissing(err) {
			return false, err
		}
		v.sessions[x.Session.Number] = s
	}
	return s == nil || s.Last == nil || s.Last.ID == x.ID, nil
}

// retries are the attempts of the session of an attempt, the oldest first.
func (h *handlers) retries(c *gin.Context) error {
	v := h.view(c)
	x, err := v.execution(c.Param("id"))
	if err != nil {
		return err
	}
	all := []engine.Execution{*x}
	if x.Session != nil {
		if all, err = v.ofSession(x.Project, x.Session.Number); err != nil {
			return err
		}
	}
	made, err := v.attempts(all)
	if err != nil {
		return err
	}
	return answer(c, attempts{made})
}

// ofSession are all attempts of a session, the oldest first.
func (v *view) ofSession(project string, number int64) (all []engine.Execution, err error) {
	for page := (engine.Page{Limit: whole}); ; {
		some, next, err := v.engine.SessionAttempts(v.ctx, project, number, page)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if page.Cursor = next; next == "" {
			return all, nil
		}
	}
}

// takesNoBody are Digdag's clients before 0.10: for them a kill has no answer, and one with a body is an error.
var takesNoBody = regexp.MustCompile(`^DigdagClient/0\.\d\.`)

// kill cancels an attempt, and answers it as it was before.
func (h *handlers) kill(c *gin.Context) error {
	v := h.view(c)
	x, err := v.execution(c.Param("id"))
	if err != nil {
		return err
	}
	done := conflict("Session attempt already killed or finished")
	if x.Status.Ended() {
		return done
	}
	_, err = h.engine.Cancel(v.ctx, x.ID, engine.Request{By: auth.From(v.ctx).By()})
	if refused, ok := errors.AsType[*engine.Error](err); ok && refused.Kind == engine.KindConflict {
		if now, err := v.execution(x.ID); err == nil && now.Status.Ended() {
			return done
		}
		err = nil // it is being killed already
	}
	if err != nil {
		return err
	}
	if takesNoBody.MatchString(c.GetHeader("User-Agent")) {
		c.Status(http.StatusNoContent)
		return nil
	}
	a, err := v.attempt(x)
	if err != nil {
		return err
	}
	return answer(c, a)
}
