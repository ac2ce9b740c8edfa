package cognite

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// upsertWorkflow creates a workflow, or changes what is said of it.
func (h *handlers) upsertWorkflow(c *gin.Context) error {
	var q items[workflowUpsert]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	u, err := one(q.Items)
	if err != nil {
		return err
	}
	if err := checkWorkflow(u); err != nil {
		return err
	}
	ctx, project := c.Request.Context(), c.Param("project")
	f, err := h.family(ctx, project, u.ExternalID)
	if err != nil {
		return err
	}
	r := record{ExternalID: u.ExternalID, Workflow: workflowRecord{u.Description, u.DataSetID, u.MaxConcurrentExecutions, 0}}
	name, err := workflowName(u.ExternalID)
	if err != nil {
		return err
	}
	if f != nil {
		r.Workflow.Created = f.created
	}
	if f != nil && len(f.versions) > 0 && f.versions[0].record.Refs != nil {
		r.Version, r.Definition = f.versions[0].record.Version, f.versions[0].record.Definition
		_, err = h.publishVersion(ctx, project, name, r)
	} else {
		_, err = h.publishBare(ctx, project, name, r)
	}
	if err != nil {
		return err
	}
	if f, err = h.family(ctx, project, u.ExternalID); err != nil {
		return err
	}
	if f == nil {
		return engine.ErrMoved
	}
	return compat.Answer(c.Writer, http.StatusOK, items[workflowView]{Items: []workflowView{f.view()}})
}

func checkWorkflow(u workflowUpsert) error {
	if err := checkID("externalId", u.ExternalID); err != nil {
		return err
	}
	if len(u.Description) > 500 {
		return refuse("description", "is too long", "at most 500 characters")
	}
	if n := u.MaxConcurrentExecutions; n != nil && (*n < 1 || *n > 10_000) {
		return refuse("maxConcurrentExecutions", "is "+strconv.Itoa(*n), "1 to 10000, or null")
	}
	return nil
}

// listWorkflows lists workflows by name.
func (h *handlers) listWorkflows(c *gin.Context) error {
	limit, err := queryLimit(c.Request)
	if err != nil {
		return err
	}
	answer := items[workflowView]{Items: []workflowView{}}
	page := engine.Page{Cursor: c.Query("cursor"), Limit: limit}
	for {
		list, next, err := h.engine.Workflows(c.Request.Context(), c.Param("project"), page)
		if err != nil {
			return err
		}
		for i := range list {
			if r := recordIn(&list[i]); r.Gone != goneWorkflow {
				at := list[i].CreatedAt.UnixMilli()
				created := r.Workflow.Created
				if created == 0 {
					created = at
				}
				answer.Items = append(answer.Items, viewOf(r, created, at))
			}
		}
		page.Cursor = next
		if page.Limit = limit - len(answer.Items); next == "" || page.Limit == 0 {
			answer.NextCursor = next
			return compat.Answer(c.Writer, http.StatusOK, answer)
		}
	}
}

func (h *handlers) getWorkflow(c *gin.Context) error {
	f, err := h.family(c.Request.Context(), c.Param("project"), c.Param("workflow"))
	if err != nil {
		return err
	}
	if f == nil {
		return noWorkflow(c.Param("workflow"))
	}
	return compat.Answer(c.Writer, http.StatusOK, f.view())
}

func noWorkflow(id string) error {
	return absent("Workflow not found: "+id, map[string]string{"externalId": id})
}

// deleteWorkflows deletes workflows; their executions stay.
func (h *handlers) deleteWorkflows(c *gin.Context) error {
	var q items[workflowID]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if len(q.Items) > 100 {
		return refuse("items", "has "+strconv.Itoa(len(q.Items))+" items", "at most 100")
	}
	ctx, project := c.Request.Context(), c.Param("project")
	var found []*family
	var gone []map[string]string
	for _, id := range q.Items {
		f, err := h.family(ctx, project, id.ExternalID)
		if err != nil {
			return err
		}
		if f == nil {
			gone = append(gone, map[string]string{"externalId": id.ExternalID})
			continue
		}
		running, _, err := h.engine.Executions(ctx, project, engine.ExecutionFilter{Workflow: f.name, Status: live}, engine.Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(running) > 0 {
			return problem.New(http.StatusConflict, "running", "workflow %s has running executions: cancel them first", id.ExternalID)
		}
		found = append(found, f)
	}
	if len(gone) > 0 && !ignoresUnknown(c.Request) {
		return absent("Workflows not found", gone...)
	}
	for _, f := range found {
		if _, err := h.publishBare(ctx, project, f.name, record{ExternalID: f.head.ExternalID, Gone: goneWorkflow}); err != nil {
			return err
		}
	}
	return compat.Answer(c.Writer, http.StatusOK, struct{}{})
}

// live are the statuses of executions that have not ended.
var live = []workflow.ExecutionStatus{workflow.ExecutionQueued, workflow.ExecutionRunning, workflow.ExecutionPaused, workflow.ExecutionCanceling}

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
	f, err := h.family(ctx, project, u.WorkflowExternalID)
	if err != nil {
		return err
	}
	if f == nil {
		return noWorkflow(u.WorkflowExternalID)
	}
	r := record{ExternalID: u.WorkflowExternalID, Version: u.Version, Definition: u.WorkflowDefinition, Workflow: f.head.Workflow}
	r.Workflow.Created = f.created
	stored, err := h.publishVersion(ctx, project, f.name, r)
	if err != nil {
		return err
	}
	m := member{recordIn(&stored.Workflow), &stored.Workflow}
	return compat.Answer(c.Writer, http.StatusOK, items[versionView]{Items: []versionView{m.view()}})
}

func (m member) view() versionView {
	at := m.native.CreatedAt.UnixMilli()
	return versionView{versionID{m.record.ExternalID, m.record.Version}, m.record.definition(m.native.Hash), at, at}
}

// definition is Cognite's definition as it was stored, with its defaults.
func (r *record) definition(hash string) definitionView {
	d := definitionView{Hash: hash}
	_ = json.Unmarshal(r.Definition, &d) // it was read before it was stored
	d.Hash = hash
	if d.Tasks == nil {
		d.Tasks = json.RawMessage("[]")
	}
	return d
}

func (h *handlers) getVersion(c *gin.Context) error {
	m, err := h.member(c, c.Param("workflow"), c.Param("version"))
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, m.view())
}

// member finds a version of a workflow.
func (h *handlers) member(c *gin.Context, externalID, version string) (*member, error) {
	f, err := h.family(c.Request.Context(), c.Param("project"), externalID)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, noWorkflow(externalID)
	}
	m := f.version(version)
	if m == nil {
		return nil, absent("Workflow version not found: "+externalID+" "+version, map[string]string{"workflowExternalId": externalID, "version": version})
	}
	return m, nil
}

// listVersions lists versions, by workflow, newest first. A page holds all versions of its workflows.
func (h *handlers) listVersions(c *gin.Context) error {
	var q versionsList
	if err := read(c.Request, &q); err != nil {
		return err
	}
	limit, err := limitOf(q.Limit, 100)
	if err != nil {
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
		f, err := h.family(ctx, project, w.ExternalID)
		if err != nil {
			return err
		}
		if f != nil {
			take(f, w.Version)
		}
	}
	if len(q.Filter.WorkflowFilters) > 0 {
		return h.answerPage(c, answer, q.Cursor, limit)
	}
	for page := (engine.Page{Limit: 1000}); ; {
		list, next, err := h.engine.Workflows(ctx, project, page)
		if err != nil {
			return err
		}
		for i := range list {
			f, err := h.family(ctx, project, recordIn(&list[i]).ExternalID)
			if err != nil {
				return err
			}
			if f != nil {
				take(f, "")
			}
		}
		if page.Cursor = next; next == "" {
			return h.answerPage(c, answer, q.Cursor, limit)
		}
	}
}

// answerPage cuts a page out of a list; the cursor is how many are before it.
func (h *handlers) answerPage(c *gin.Context, all items[versionView], cursor string, limit int) error {
	from := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 {
			return refuse("cursor", "is "+strconv.Quote(cursor), "the nextCursor of the page before")
		}
		from = min(n, len(all.Items))
	}
	till := min(from+limit, len(all.Items))
	page := items[versionView]{Items: all.Items[from:till]}
	if till < len(all.Items) {
		page.NextCursor = strconv.Itoa(till)
	}
	return compat.Answer(c.Writer, http.StatusOK, page)
}

// deleteVersions deletes versions; their executions stay.
func (h *handlers) deleteVersions(c *gin.Context) error {
	var q items[versionID]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if len(q.Items) > 100 {
		return refuse("items", "has "+strconv.Itoa(len(q.Items))+" items", "at most 100")
	}
	ctx, project := c.Request.Context(), c.Param("project")
	var gone []map[string]string
	var found []*family
	var which []string
	for _, id := range q.Items {
		f, err := h.family(ctx, project, id.WorkflowExternalID)
		if err != nil {
			return err
		}
		if f == nil || f.version(id.Version) == nil {
			gone = append(gone, map[string]string{"workflowExternalId": id.WorkflowExternalID, "version": id.Version})
			continue
		}
		found, which = append(found, f), append(which, id.Version)
	}
	if len(gone) > 0 && !ignoresUnknown(c.Request) {
		return absent("Workflow versions not found", gone...)
	}
	for i, f := range found {
		r := record{ExternalID: f.head.ExternalID, Workflow: f.head.Workflow, Version: which[i], Gone: goneVersion}
		r.Workflow.Created = f.created
		if _, err := h.publishBare(ctx, project, f.name, r); err != nil {
			return err
		}
	}
	return compat.Answer(c.Writer, http.StatusOK, struct{}{})
}
