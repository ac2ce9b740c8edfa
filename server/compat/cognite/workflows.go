package cognite

import (
	"net/http"
	"strconv"
	"unicode/utf8"

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
	versioned := func(f *family) bool { return len(f.versions) > 0 }
	stored, err := h.change(c.Request.Context(), c.Param("project"), u.ExternalID, both(dated, versioned), func(f *family) ([]byte, error) {
		w := workflowRecord{Description: u.Description, DataSetID: u.DataSetID, MaxConcurrentExecutions: u.MaxConcurrentExecutions}
		if f.there() {
			w.Created = f.workflow().Created
		}
		if len(f.versions) > 0 {
			return again(&f.versions[0], w)
		}
		return bare(f.name, record{ExternalID: u.ExternalID, Workflow: w})
	})
	if err != nil {
		return err
	}
	var f family
	f.add(stored)
	return compat.Answer(c.Writer, http.StatusOK, items[workflowView]{Items: []workflowView{f.view()}})
}

func checkWorkflow(u workflowUpsert) error {
	if err := checkID("externalId", u.ExternalID); err != nil {
		return err
	}
	if utf8.RuneCountInString(u.Description) > 500 {
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
			var f family
			if f.add(&list[i]) {
				answer.Items = append(answer.Items, f.view())
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
	f, err := h.family(c.Request.Context(), c.Param("project"), c.Param("workflow"), dated)
	if err != nil {
		return err
	}
	if !f.there() {
		return noWorkflow(c.Param("workflow"))
	}
	return compat.Answer(c.Writer, http.StatusOK, f.view())
}

func noWorkflow(id string) error {
	return absent("Workflow not found: "+id, map[string]string{"externalId": id})
}

// deleteWorkflows deletes workflows; their executions stay, and their triggers are paused.
func (h *handlers) deleteWorkflows(c *gin.Context) error {
	var q items[workflowID]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if err := some(q.Items); err != nil {
		return err
	}
	ctx, project := c.Request.Context(), c.Param("project")
	var gone []map[string]string
	for _, id := range q.Items {
		f, err := h.family(ctx, project, id.ExternalID, func(*family) bool { return true })
		if err != nil {
			return err
		}
		if !f.there() {
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
	}
	if len(gone) > 0 && !ignoresUnknown(c.Request) {
		return absent("Workflows not found", gone...)
	}
	for _, id := range q.Items {
		done, err := h.change(ctx, project, id.ExternalID, func(*family) bool { return true }, func(f *family) ([]byte, error) {
			if !f.there() {
				return nil, nil
			}
			return bare(f.name, record{ExternalID: f.head.ExternalID, Gone: true})
		})
		if err != nil {
			return err
		}
		if done == nil {
			continue
		}
		if err := h.pauseTriggersOf(ctx, project, versionID{WorkflowExternalID: id.ExternalID}); err != nil {
			return err
		}
	}
	return compat.Answer(c.Writer, http.StatusOK, struct{}{})
}

// live are the statuses of executions that have not ended.
var live = []workflow.ExecutionStatus{workflow.ExecutionQueued, workflow.ExecutionRunning, workflow.ExecutionPaused, workflow.ExecutionCanceling}
