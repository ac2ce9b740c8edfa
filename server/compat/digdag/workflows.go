package digdag

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// definition is a version of a workflow as Digdag has it.
func (v *view) definition(w *engine.Workflow, revision string) (definition, error) {
	o, err := v.openVersion(w)
	if err != nil {
		return definition{}, err
	}
	made := definition{Name: w.Name, Project: named{Name: w.Project}, Revision: revision, Timezone: o.TimeZone, Config: o.Config}
	if made.Project.ID, err = v.projectID(w.Project); err != nil {
		return made, err
	}
	if made.ID, err = v.workflowID(w.Project, w.Name, w.Version); err != nil {
		return made, err
	}
	if made.Revision == "" {
		made.Revision, err = v.shownRevision(w.Project, w.Name, w.Version)
	}
	return made, err
}

func (h *handlers) getWorkflow(c *gin.Context) error {
	v := h.view(c)
	w, err := v.workflow(c.Param("id"))
	if err != nil {
		return err
	}
	made, err := v.definition(w, "")
	if err != nil {
		return err
	}
	return answer(c, made)
}

// of are the workflows of a revision of a project, "" = the newest, by name. To the newest belong those that were published natively.
func (v *view) of(project, revision string) ([]definition, error) {
	b, err := v.engine.Bundle(v.ctx, project, revision)
	switch {
	case compat.IsMissing(err) && revision == "":
		b = &engine.Bundle{}
	case compat.IsMissing(err):
		return nil, missing("revision %q of project name=%s", revision, project)
	case err != nil:
		return nil, err
	}
	made := []definition{}
	for _, name := range slices.Sorted(maps.Keys(b.Workflows)) { // numbers are given out in this order
		w, err := v.engine.Workflow(v.ctx, project, name, b.Workflows[name])
		if err != nil {
			return nil, err
		}
		d, err := v.definition(w, b.Name)
		if err != nil {
			return nil, err
		}
		made = append(made, d)
	}
	if revision == "" {
		if made, err = v.addNative(project, b, made); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(made, func(a, b definition) int { return strings.Compare(a.Name, b.Name) })
	return made, nil
}

func (v *view) addNative(project string, b *engine.Bundle, made []definition) ([]definition, error) {
	for page := (engine.Page{Limit: whole}); ; {
		some, next, err := v.engine.Workflows(v.ctx, project, page)
		if err != nil {
			return nil, err
		}
		for i := range some {
			_, pushed := b.Workflows[some[i].Name]
			if _, main := unpack(some[i].Source); pushed || main != "" {
				continue
			}
			d, err := v.definition(&some[i], "version-"+strconv.Itoa(some[i].Version))
			if err != nil {
				return nil, err
			}
			made = append(made, d)
		}
		if page.Cursor = next; next == "" {
			return made, nil
		}
	}
}

func (h *handlers) projectWorkflows(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	all, err := v.of(p.Name, c.Query("revision"))
	if err != nil {
		return err
	}
	if name, given := c.GetQuery("name"); given {
		all = slices.DeleteFunc(all, func(d definition) bool { return d.Name != name })
	}
	return answer(c, definitions{all})
}

func (h *handlers) projectWorkflow(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	all, err := v.of(p.Name, c.Query("revision"))
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Name == c.Param("name") {
			return answer(c, d)
		}
	}
	return missing("workflow name=%s in project id=%s", c.Param("name"), c.Param("id"))
}

// listWorkflows lists the workflows of the newest revisions of all projects, by id.
func (h *handlers) listWorkflows(c *gin.Context) error {
	v := h.view(c)
	last, err := lastID(c)
	if err != nil {
		return err
	}
	count, err := sizeOf(c, "count", maxPage, whole)
	if err != nil {
		return err
	}
	descending := false
	switch order := c.Query("order"); strings.ToLower(order) {
	case "", "asc":
	case "desc", "dsc":
		descending = true
	default:
		return refuse("order is %q; allowed: asc, desc", order)
	}
	projectsToo, err := flag(c, "search_project_name")
	if err != nil {
		return err
	}
	projects, err := v.projects()
	if err != nil {
		return err
	}
	all := []definition{}
	for _, p := range projects {
		some, err := v.of(p.Name, "")
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	pattern := c.Query("name_pattern")
	all = slices.DeleteFunc(all, func(d definition) bool {
		n := numberOf(d.ID)
		beyond := last > 0 && (descending && n >= last || !descending && n <= last)
		return beyond || !strings.Contains(d.Name, pattern) && (!projectsToo || !strings.Contains(d.Project.Name, pattern))
	})
	slices.SortFunc(all, func(a, b definition) int {
		if descending {
			a, b = b, a
		}
		return cmp.Compare(numberOf(a.ID), numberOf(b.ID))
	})
	return answer(c, definitions{all[:min(len(all), count)]})
}

func numberOf(id string) int64 {
	n, _ := strconv.ParseInt(id, 10, 64) // an id that is no number is 0
	return n
}

// truncate cuts a session time to the hour or the day of the workflow's time zone, or to the times of its schedule.
func (h *handlers) truncate(c *gin.Context) error {
	v := h.view(c)
	w, err := v.workflow(c.Param("id"))
	if err != nil {
		return err
	}
	o, err := v.openVersion(w)
	if err != nil {
		return err
	}
	at, err := sessionTimeIn(c.Query("session_time"), o.Zone)
	if err != nil {
		return err
	}
	y, m, d := at.Date()
	switch mode := c.Query("mode"); mode {
	case "", "second":
		at = at.Truncate(time.Second)
	case "minute":
		at = time.Date(y, m, d, at.Hour(), at.Minute(), 0, 0, o.Zone)
	case "hour":
		at = time.Date(y, m, d, at.Hour(), 0, 0, 0, o.Zone)
	case "day":
		at = time.Date(y, m, d, 0, 0, 0, 0, o.Zone)
	case "schedule", "next_schedule":
		if o.times == nil {
			return refuse("mode is %q, and the workflow has no schedule; allowed: second, minute, hour, day", mode)
		}
		if mode == "schedule" {
			at = o.times.Last(time.Unix(0, 0), at)
		} else {
			at = o.times.Next(at)
		}
	default:
		return refuse("mode is %q; allowed: second, minute, hour, day, schedule, next_schedule", mode)
	}
	d2, err := v.definition(w, "")
	if err != nil {
		return err
	}
	return answer(c, truncated{d2.Project, d2.Revision, local(at, o.Zone), o.TimeZone})
}

// sessionTimeIn reads a time with an offset, or a local one, which may be without seconds.
func sessionTimeIn(text string, zone *time.Location) (time.Time, error) {
	text = strings.ReplaceAll(text, " ", "+") // a + that was not encoded
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.In(zone), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, refuse("session_time is %q; allowed: a time, as 2026-03-01T00:00:00+09:00 or 2026-03-01T00:00", text)
}
