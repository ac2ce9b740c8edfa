package digdag

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/compat/digdag/dig"
	"github.com/redrive/redrive/server/problem"
)

// push compiles the workflow files of an archive and publishes them as the next revision of a project, all or none.
func (h *handlers) push(c *gin.Context) error {
	v := h.view(c)
	name, revision := c.Query("project"), c.Query("revision")
	if name == "" || revision == "" {
		return refuse("project and revision are required in the query")
	}
	if err := auth.From(v.ctx).CheckProject(name); err != nil {
		return err
	}
	from, err := scheduleFrom(c.Query("schedule_from"))
	if err != nil {
		return err
	}
	archive, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return err
	}
	files, err := unarchive(archive)
	if err != nil {
		return err
	}
	p, err := v.ensure(name)
	if err != nil {
		return err
	}
	if err := taken(h.engine.CheckBundle(v.ctx, name, revision)); err != nil {
		return err
	}
	workflows, err := v.compile(name, files)
	if err != nil {
		return err
	}
	versions, err := v.publish(name, files, workflows)
	if err != nil {
		return err
	}
	b := engine.Bundle{Project: name, Name: revision, By: auth.From(v.ctx).By(), Workflows: versions, Digest: digest(archive), Content: archive}
	if _, err := h.engine.PutBundle(v.ctx, b); err != nil {
		return taken(err)
	}
	if err := v.schedule(name, workflows, from); err != nil {
		return err
	}
	made, err := v.wire(p)
	if err != nil {
		return err
	}
	return answer(c, made)
}

// taken says in Digdag's words that a revision is there.
func taken(err error) error {
	if e, ok := errors.AsType[*engine.Error](err); ok && e.Code == "bundle_exists" {
		return conflict("the revision is there already: push another one")
	}
	return err
}

// ensure answers a project, and makes it when it is not there, as Digdag does; natively that is for administrators.
func (v *view) ensure(name string) (*engine.Project, error) {
	compat.Touch(v.ctx, name)
	p, err := v.engine.Project(v.ctx, name)
	if !compat.IsMissing(err) {
		return p, err
	}
	if scope := auth.From(v.ctx).Scope; scope != engine.ScopeAdmin {
		return nil, problem.New(http.StatusForbidden, "scope_denied", "there is no project %q yet, and making one needs a key with scope admin; this key has scope %s", name, scope)
	}
	p, _, err = v.engine.PutProject(v.ctx, engine.Project{Name: name})
	return p, err
}

// compile compiles all workflow files, or answers all that is wrong with them.
func (v *view) compile(project string, files map[string]string) ([]*dig.Workflow, error) {
	id, err := v.projectID(project)
	if err != nil {
		return nil, err
	}
	var all []*dig.Workflow
	var wrong dig.Problems
	for _, file := range dig.Files(files) {
		w, err := dig.Compile(files, file, dig.Options{ProjectID: id, Project: project})
		if problems, ok := errors.AsType[dig.Problems](err); ok {
			wrong = append(wrong, problems...)
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	if len(wrong) > 0 {
		return nil, refuse("%s", wrong.Error())
	}
	return all, nil
}

// publish checks all definitions before it stores any.
func (v *view) publish(project string, files map[string]string, workflows []*dig.Workflow) (map[string]int, error) {
	versions := map[string]int{}
	for _, dryRun := range []bool{true, false} {
		for _, w := range workflows {
			file := w.Name + dig.Extension
			got, err := v.engine.PublishCompiled(v.ctx, project, w.Definition, pack(dig.Used(files, file), file), dryRun)
			if e, ok := errors.AsType[*engine.Error](err); ok && e.Kind == engine.KindInvalid {
				return nil, refuse("%s: %s", file, compat.Sentence(problem.From(err), field))
			}
			if err != nil {
				return nil, err
			}
			versions[w.Name] = got.Workflow.Version
		}
	}
	return versions, nil
}

// labelDig marks the schedules that a push made, which the next one may change.
const labelDig = "digdag"

// scheduleFrom reads from when on the schedules of a push have their ticks; the zero time is from now on.
func scheduleFrom(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	from, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, refuse("schedule_from is %q; allowed: a time, as 2026-03-01T00:00:00Z", text)
	}
	return from, nil
}

// schedule makes the schedules of a project what the workflow files say.
func (v *view) schedule(project string, workflows []*dig.Workflow, from time.Time) error {
	wanted := map[string]*dig.Workflow{}
	for _, w := range workflows {
		if w.Schedule != nil {
			wanted[w.Name] = w
		}
	}
	for page := (engine.Page{Limit: whole}); ; {
		some, next, err := v.engine.Schedules(v.ctx, project, page)
		if err != nil {
			return err
		}
		for _, s := range some {
			if wanted[s.Name] == nil && s.Labels[labelDig] != "" {
				if err := v.engine.DeleteSchedule(v.ctx, project, s.Name); err != nil && !compat.IsMissing(err) {
					return err
				}
			}
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		r, err := scheduleRequest(wanted[name], from)
		if err != nil {
			return err
		}
		if _, _, err := v.engine.PutSchedule(v.ctx, project, name, r); err != nil {
			return err
		}
	}
	return nil
}

func scheduleRequest(w *dig.Workflow, from time.Time) (engine.ScheduleRequest, error) {
	s := w.Schedule
	r := engine.ScheduleRequest{
		Workflow: w.Name, Cron: s.Cron, TimeZone: w.TimeZone, Delay: s.Delay.String(), CatchUp: string(engine.CatchUpAll), Overlap: string(engine.OverlapAllow),
		Input: json.RawMessage("{}"), Labels: map[string]string{labelDig: "push"},
	}
	if s.Skip {
		r.Overlap = string(engine.OverlapSkip)
	}
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil {
		return r, err
	}
	if s.Start != "" {
		at, err := time.ParseInLocation(time.DateOnly, s.Start, zone)
		if err != nil {
			return r, err
		}
		r.StartAfter = &at
	}
	if s.End != "" {
		at, err := time.ParseInLocation(time.DateOnly, s.End, zone)
		if err != nil {
			return r, err
		}
		at = at.AddDate(0, 0, 1)
		r.EndBefore = &at
	}
	if !from.IsZero() && (r.StartAfter == nil || r.StartAfter.Before(from)) {
		r.StartAfter = &from
	}
	return r, nil
}

// shownRevision is the revision of a version of a workflow: the newest that has it.
func (v *view) shownRevision(project, name string, version int) (string, error) {
	all, _, err := v.engine.Bundles(v.ctx, project, engine.Page{Limit: whole})
	if err != nil {
		return "", err
	}
	for _, b := range all {
		if b.Workflows[name] == version {
			return b.Name, nil
		}
	}
	return "version-" + strconv.Itoa(version), nil
}
