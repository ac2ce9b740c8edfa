package cognite

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// upsertVersion stores a version of a workflow; one that is there is replaced.
func (h *handlers) upsertVersion(c *gin.Context) error {
	var q items[versionUpsert]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	u, err := one(q.Items)
	if err != nil {
		return err
	}
	if err := checkID("workflowExternalId", u.WorkflowExternalID); err != nil {
		return err
	}
	if err := checkID("version", u.Version); err != nil {
		return err
	}
	if len(u.WorkflowDefinition) == 0 || u.WorkflowDefinition[0] != '{' {
		return refuse("workflowDefinition", "is missing, or no object", "an object with tasks")
	}
	ctx, project := c.Request.Context(), c.Param("project")
	stored, err := h.change(ctx, project, u.WorkflowExternalID, both(dated, downTo(u.Version)), func(f *family) ([]byte, error) {
		if !f.there() {
			return nil, noWorkflow(u.WorkflowExternalID)
		}
		return h.nextVersion(ctx, project, f, u)
	})
	if err != nil {
		return err
	}
	m := member{recordIn(stored), stored}
	if err := h.followTriggers(ctx, project, m); err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, items[versionView]{Items: []versionView{m.view()}})
}

// nextVersion is the native version of what is upserted. What says what it said before is not updated.
func (h *handlers) nextVersion(ctx context.Context, project string, f *family, u versionUpsert) ([]byte, error) {
	r := record{ExternalID: f.head.ExternalID, Version: u.Version, Definition: u.WorkflowDefinition, Workflow: f.workflow()}
	former := f.version(u.Version)
	if former != nil {
		r.Created, _ = former.times()
	}
	source, err := h.translated(ctx, project, f.name, r)
	if err != nil || former == nil {
		return source, err
	}
	made := recordIn(&engine.Workflow{Definition: source})
	if made.hash() != former.record.hash() {
		return source, nil
	}
	if former.native.Version == f.newest {
		r.Workflow, r.Created, r.Updated = former.record.Workflow, former.record.Created, former.record.Updated
	} else {
		r.Created, r.Updated = former.times()
	}
	return h.translated(ctx, project, f.name, r)
}

func (h *handlers) getVersion(c *gin.Context) error {
	m, err := h.member(c.Request.Context(), c.Param("project"), versionID{c.Param("workflow"), c.Param("version")})
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, m.view())
}

// member finds a version of a workflow.
func (h *handlers) member(ctx context.Context, project string, id versionID) (*member, error) {
	f, err := h.family(ctx, project, id.WorkflowExternalID, downTo(id.Version))
	if err != nil {
		return nil, err
	}
	if !f.there() {
		return nil, noWorkflow(id.WorkflowExternalID)
	}
	m := f.version(id.Version)
	if m == nil {
		return nil, absent("Workflow version not found: "+id.WorkflowExternalID+" "+id.Version, id.missing())
	}
	return m, nil
}

// missing is the id as errors name it.
func (id versionID) missing() map[string]string {
	return map[string]string{"workflowExternalId": id.WorkflowExternalID, "version": id.Version}
}

// listVersions lists versions, by workflow, newest first.
func (h *handlers) listVersions(c *gin.Context) error {
	var q versionsList
	if err := read(c.Request, &q); err != nil {
		return err
	}
	limit, err := limitOf(q.Limit, 100)
	if err != nil {
		return err
	}
	if err := checkFilters(q.Filter.WorkflowFilters); err != nil {
		return err
	}
	ctx, project := c.Request.Context(), c.Param("project")
	answer := items[versionView]{Items: []versionView{}}
	take := func(f *family, version string) {
		for _, m := range f.versions {
			if version == "" || version == m.record.Version {
				answer.Items = append(answer.Items, m.view())
			}
		}
	}
	for _, w := range q.Filter.WorkflowFilters {
		enough := whole
		if w.Version != "" {
			enough = downTo(w.Version)
		}
		f, err := h.family(ctx, project, w.ExternalID, enough)
		if err != nil {
			return err
		}
		take(f, w.Version)
	}
	if len(q.Filter.WorkflowFilters) > 0 {
		return answerPage(c, answer, q.Cursor, limit)
	}
	for page := (engine.Page{Limit: 1000}); ; {
		list, next, err := h.engine.Workflows(ctx, project, page)
		if err != nil {
			return err
		}
		for i := range list {
			f, err := h.family(ctx, project, recordIn(&list[i]).ExternalID, whole)
			if err != nil {
				return err
			}
			take(f, "")
		}
		if page.Cursor = next; next == "" {
			return answerPage(c, answer, q.Cursor, limit)
		}
	}
}

// answerPage cuts a page out of a list; the cursor is how many are before it.
func answerPage[T any](c *gin.Context, all items[T], cursor string, limit int) error {
	from := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 {
			return refuse("cursor", "is "+strconv.Quote(clip(cursor)), "the nextCursor of the page before")
		}
		from = min(n, len(all.Items))
	}
	till := min(from+limit, len(all.Items))
	page := items[T]{Items: all.Items[from:till]}
	if till < len(all.Items) {
		page.NextCursor = strconv.Itoa(till)
	}
	return compat.Answer(c.Writer, http.StatusOK, page)
}

// deleteVersions deletes versions; their executions stay, and their triggers are paused.
func (h *handlers) deleteVersions(c *gin.Context) error {
	var q items[versionID]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if err := some(q.Items); err != nil {
		return err
	}
	ctx, project := c.Request.Context(), c.Param("project")
	var gone []map[string]string
	for _, id := range q.Items {
		f, err := h.family(ctx, project, id.WorkflowExternalID, downTo(id.Version))
		if err != nil {
			return err
		}
		if f.version(id.Version) == nil {
			gone = append(gone, id.missing())
		}
	}
	if len(gone) > 0 && !ignoresUnknown(c.Request) {
		return absent("Workflow versions not found", gone...)
	}
	for _, id := range q.Items {
		left := func(f *family) bool {
			return len(f.versions) > 1 || len(f.versions) == 1 && f.versions[0].record.Version != id.Version
		}
		done, err := h.change(ctx, project, id.WorkflowExternalID, both(both(dated, downTo(id.Version)), left), func(f *family) ([]byte, error) { return f.without(id.Version) })
		if err != nil {
			return err
		}
		if done == nil {
			continue
		}
		if err := h.pauseTriggersOf(ctx, project, id); err != nil {
			return err
		}
	}
	return compat.Answer(c.Writer, http.StatusOK, struct{}{})
}

// without is the native version of a family that lost a version: the newest that is left. nil = it is not there.
func (f *family) without(version string) ([]byte, error) {
	if f.version(version) == nil {
		return nil, nil
	}
	for i := range f.versions {
		if f.versions[i].record.Version != version {
			return again(&f.versions[i], f.workflow(), version)
		}
	}
	return bare(f.name, record{ExternalID: f.head.ExternalID, Workflow: f.workflow(), Removed: []string{version}})
}
