package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// maxSearched is how many executions a search looks at.
const maxSearched = 10_000

// hit is an execution that was found. The version is Conductor's, and the parent the one that it is shown with; both are there
// where the search reads them.
type hit struct {
	*engine.Execution
	version int
	parent  string
}

// executionColumns are what executions are searched and sorted by.
var executionColumns = columns[hit]{
	texts: map[string]func(hit) string{
		"workflowId": func(x hit) string { return x.ID }, "correlationId": func(x hit) string { return x.CorrelationID }, "workflowType": func(x hit) string { return x.Workflow },
		"status": func(x hit) string { return workflowStatus(x.Execution) }, "parentWorkflowId": func(x hit) string { return x.parent },
	},
	numbers: map[string]func(hit) int64{
		"startTime": func(x hit) int64 { return millis(began(x.Execution)) }, "endTime": func(x hit) int64 { return millis(x.EndedAt) },
		"updateTime": func(x hit) int64 { return millis(changed(x.Execution)) }, "version": func(x hit) int64 { return int64(x.version) },
	},
}

// began is when an execution was started, as the summaries have it.
func began(x *engine.Execution) *time.Time { return cmp.Or(x.StartedAt, &x.CreatedAt) }

// changed is when an execution changed last, as the summaries have it.
func changed(x *engine.Execution) *time.Time { return cmp.Or(x.EndedAt, x.StartedAt, &x.CreatedAt) }

// narrowed is what the lists narrow by; the conditions do the rest.
func narrowed(all []condition) engine.ExecutionFilter {
	var f engine.ExecutionFilter
	for _, c := range all {
		single := c.operator == "=" && len(c.values) == 1 && !strings.Contains(c.values[0], "*")
		switch {
		case c.field == "status" && c.operator != "!=" && !slices.ContainsFunc(c.values, func(v string) bool { return strings.Contains(v, "*") }):
			f.Status = nil
			for _, v := range c.values {
				f.Status = append(f.Status, nativeStatuses[v]...)
			}
			slices.Sort(f.Status)
			f.Status = slices.Compact(f.Status)
		case c.field == "workflowType" && single:
			f.Workflow = c.values[0]
		case c.field == "correlationId" && single:
			f.CorrelationID = c.values[0]
		}
	}
	return f
}

// search answers a page of executions: GET /workflow/search and search-v2.
func (h *handlers) search(whole bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		q, err := executionColumns.asked(c, "workflows")
		if err != nil {
			return err
		}
		if boolean(c, "topLevelOnly", false) {
			q.top = true
		}
		ctx := c.Request.Context()
		found, err := h.find(ctx, q, maxSearched)
		if err != nil {
			return err
		}
		answer := searchAnswer{Results: []any{}}
		answer.TotalHits, found = executionColumns.page(q, found)
		for _, x := range found {
			var result any
			if whole {
				result, err = h.wire(ctx, x.Execution, true)
			} else {
				result, err = h.summary(ctx, x.Execution)
			}
			if err != nil {
				return err
			}
			answer.Results = append(answer.Results, result)
		}
		return answerJSON(c, answer)
	}
}

// find answers as many executions, newest first, without what is shown as a part of another one.
func (h *handlers) find(ctx context.Context, q query, most int) ([]hit, error) {
	var found []hit
	parents := &parents{shown: map[string]string{}}
	versioned, nested := q.reads("version"), q.reads("parentWorkflowId")
	soon := slices.DeleteFunc(slices.Clone(q.conditions), func(c condition) bool { return c.field == "version" || c.field == "parentWorkflowId" })
	for page, looked := (engine.Page{Limit: min(most, 1000)}), 0; looked < maxSearched && len(found) < most; {
		some, next, err := h.engine.Executions(ctx, compat.Project(ctx), narrowed(q.conditions), page)
		if err != nil {
			return nil, err
		}
		parents.near = some
		for i := range some {
			x := hit{Execution: &some[i]}
			if !executionColumns.meet(soon, x) || q.free != "" && !strings.Contains(x.ID+" "+x.Workflow+" "+x.CorrelationID+" "+string(x.Input)+" "+string(x.Output), q.free) {
				continue
			}
			if q.top && x.Parent != nil {
				continue
			}
			if versioned || x.Parent != nil {
				k, err := h.runs(ctx, x.Execution)
				if err != nil {
					return nil, err
				}
				if k.part {
					continue
				}
				x.version = k.version
			}
			if nested && x.Parent != nil {
				if x.parent, err = h.shownIn(ctx, x.Parent.Execution, parents); err != nil {
					return nil, err
				}
			}
			if executionColumns.meet(q.conditions, x) {
				found = append(found, x)
			}
		}
		looked += len(some)
		if page.Cursor = next; next == "" {
			break
		}
	}
	return found, nil
}

// parents saves a search from reading an execution for each child of it.
type parents struct {
	near  []engine.Execution // the page that is looked at, newest first: parents are mostly in there, too
	shown map[string]string
}

// shownIn is the execution that the children of one are shown with.
func (h *handlers) shownIn(ctx context.Context, id string, known *parents) (string, error) {
	if shown, ok := known.shown[id]; ok {
		return shown, nil
	}
	var parent *engine.Execution
	if i := slices.IndexFunc(known.near, func(x engine.Execution) bool { return x.ID == id }); i >= 0 {
		parent = &known.near[i]
	} else {
		x, err := h.engine.Execution(ctx, id)
		if err != nil && !compat.IsMissing(err) {
			return "", err
		}
		parent = x
	}
	shown := id
	if parent != nil && parent.Parent != nil {
		k, err := h.runs(ctx, parent)
		if err != nil {
			return "", err
		}
		if k.part {
			if shown, err = h.shownIn(ctx, parent.Parent.Execution, known); err != nil {
				return "", err
			}
		}
	}
	known.shown[id] = shown
	return shown, nil
}

// stamp is a time as the summaries have it; "" = it has not come.
func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (h *handlers) summary(ctx context.Context, x *engine.Execution) (*summary, error) {
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	s := &summary{
		WorkflowType: x.Workflow, Version: k.version, WorkflowID: x.ID, CorrelationID: x.CorrelationID, StartTime: stamp(began(x)),
		UpdateTime: stamp(changed(x)), EndTime: stamp(x.EndedAt), Status: workflowStatus(x), Input: string(asObject(x.Input)), Output: string(asObject(x.Output)),
		FailedNames: []string{}, Priority: wirePriority(x), CreatedBy: x.Labels[labelCreatedBy],
	}
	if x.EndedAt != nil && x.StartedAt != nil {
		s.ExecutionTime = x.EndedAt.Sub(*x.StartedAt).Milliseconds()
	}
	if s.Reason, err = h.reason(ctx, x); err != nil {
		return nil, err
	}
	if terminal(s.Status) && s.Status != "COMPLETED" {
		tasks := h.failures
		if k.givesOutput(x) {
			tasks = h.tasksOf
		}
		all, err := tasks(ctx, x)
		if err != nil {
			return nil, err
		}
		refs, names := failedOf(all)
		s.FailedRefs, s.FailedNames = strings.Join(refs, ","), names
		if k.givesOutput(x) {
			s.Output = string(k.output(json.RawMessage(s.Output), all))
		}
	}
	s.InputSize, s.OutputSize = len(s.Input), len(s.Output)
	return s, nil
}

// failures are the tasks of an execution that failed. Nothing else is read: searches ask for those of many executions.
func (h *handlers) failures(ctx context.Context, x *engine.Execution) ([]shown, error) {
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	tasks, err := h.engine.TasksWhere(ctx, x.ID, func(t *engine.Task) bool {
		failed := t.Status == workflow.TaskFailed || t.Status == workflow.TaskTimedOut
		return failed || t.Child != "" && t.Status != workflow.TaskSucceeded && k.node(t.Name, t.Type).Inner
	})
	if err != nil {
		return nil, err
	}
	var all []shown
	for _, t := range tasks {
		n := k.node(t.Name, t.Type)
		if n.Inner && t.Child != "" {
			child, err := h.engine.Execution(ctx, t.Child)
			if err != nil && !compat.IsMissing(err) {
				return nil, err
			}
			if err == nil {
				inner, err := h.failures(ctx, child)
				if err != nil {
					return nil, err
				}
				all = append(all, inner...)
			}
		}
		// What others are made of is not shown, and a TERMINATE that fails the workflow is done, as tasksOf has it.
		made := t.Attempt == 0 || n.Helper || n.Type == "DYNAMIC" || strings.HasSuffix(t.Ref, "]") || n.Type == "TERMINATE" && k.terminates()
		if !made && (t.Status == workflow.TaskFailed || t.Status == workflow.TaskTimedOut) {
			all = append(all, wireTask(x, k, n, t, presentAttempt(t)))
		}
	}
	slices.SortStableFunc(all, func(a, b shown) int { return cmp.Compare(a.ScheduledTime, b.ScheduledTime) })
	return all, nil
}

// correlated answers the executions of a workflow with a correlation id: GET /workflow/{name}/correlated/{id}.
func (h *handlers) correlated(c *gin.Context) error {
	list, err := h.correlatedTo(c, c.Param("id"), c.Param("correlation"))
	if err != nil {
		return err
	}
	return answerJSON(c, list)
}

func (h *handlers) correlatedTo(c *gin.Context, name, id string) ([]*workflowRun, error) {
	ctx := c.Request.Context()
	found, err := h.find(ctx, query{conditions: []condition{equals("workflowType", name), equals("correlationId", id)}}, maxSearched)
	if err != nil {
		return nil, err
	}
	list := []*workflowRun{}
	for _, x := range found {
		if terminal(workflowStatus(x.Execution)) && !boolean(c, "includeClosed", false) {
			continue
		}
		w, err := h.wire(ctx, x.Execution, boolean(c, "includeTasks", false))
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// correlatedMany is correlated for several correlation ids: POST /workflow/{name}/correlated.
func (h *handlers) correlatedMany(c *gin.Context) error {
	var ids []string
	if err := read(c.Request, &ids); err != nil {
		return err
	}
	if len(ids) > maxBulk {
		return refuse(http.StatusBadRequest, "Cannot process more than 1000 correlation ids")
	}
	answer := map[string][]*workflowRun{}
	for _, id := range ids {
		list, err := h.correlatedTo(c, c.Param("id"), id)
		if err != nil {
			return err
		}
		answer[id] = list
	}
	return answerJSON(c, answer)
}

// correlatedBatch is correlated for several workflows and ids: POST /workflow/correlated/batch.
func (h *handlers) correlatedBatch(c *gin.Context) error {
	var q struct {
		IDs   []string `json:"correlationIds"`
		Names []string `json:"workflowNames"`
	}
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if len(q.IDs)*len(q.Names) > maxBulk {
		return refuse(http.StatusBadRequest, "Cannot process more than 1000 pairs of a correlation id and a workflow")
	}
	answer := map[string][]*workflowRun{}
	for _, id := range q.IDs {
		answer[id] = []*workflowRun{}
		for _, name := range q.Names {
			list, err := h.correlatedTo(c, name, id)
			if err != nil {
				return err
			}
			answer[id] = append(answer[id], list...)
		}
	}
	return answerJSON(c, answer)
}

// running answers the ids of the executions of a workflow that have not ended: GET /workflow/running/{name}.
func (h *handlers) running(c *gin.Context) error {
	q := query{conditions: []condition{equals("workflowType", c.Param("name")), {field: "status", operator: "IN", values: []string{"RUNNING", "PAUSED"}}}}
	for _, of := range []struct {
		parameter string
		bounds    func(n int64) condition
	}{
		{"version", func(n int64) condition { return condition{field: "version", operator: "=", numbers: []int64{n}} }},
		{"startTime", func(n int64) condition { return condition{field: "startTime", operator: ">", numbers: []int64{n - 1}} }},
		{"endTime", func(n int64) condition { return condition{field: "startTime", operator: "<", numbers: []int64{n + 1}} }},
	} {
		n, err := count(c, of.parameter, 0)
		if err != nil {
			return err
		}
		if n != 0 {
			q.conditions = append(q.conditions, of.bounds(int64(n)))
		}
	}
	found, err := h.find(c.Request.Context(), q, maxSearched)
	if err != nil {
		return err
	}
	ids := []string{}
	for _, x := range found {
		ids = append(ids, x.ID)
	}
	return answerJSON(c, ids)
}

// equals is the condition that a field is a text.
func equals(field, value string) condition {
	return condition{field: field, operator: "=", values: []string{value}}
}
