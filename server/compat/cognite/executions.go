package cognite

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

const (
	maxInput = 100 << 10
	// scanned is how many pages of executions are read for one of a list: what the engine has no index for is filtered here.
	scanned = 20
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// run starts an execution. The nonce, which is used once, is its idempotency key: a request that is sent again starts nothing.
func (h *handlers) run(c *gin.Context) error {
	var q runRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	key, err := usedOnce("run", q.Authentication)
	if err != nil {
		return err
	}
	if err := checkMetadata(q.Metadata); err != nil {
		return err
	}
	input := q.Input
	switch {
	case len(input) == 0 || string(input) == "null":
		input = json.RawMessage("{}")
	case input[0] != '{':
		return refuse("input", "is no object", "an object")
	case len(input) > maxInput:
		return refuse("input", "is too large", "at most 100 KB")
	}
	m, err := h.member(c.Request.Context(), c.Param("project"), versionID{c.Param("workflow"), c.Param("version")})
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	x, _, err := h.engine.Start(ctx, c.Param("project"), engine.StartRequest{
		Workflow: m.native.Name, Version: m.native.Version, Input: input, Metadata: q.Metadata,
		IdempotencyKey: key, By: auth.From(ctx).By(),
	})
	if err != nil {
		return usedTwice(err)
	}
	compat.Started(ctx, x)
	return compat.Answer(c.Writer, http.StatusAccepted, view(x, m.record))
}

// execution finds the execution of a path. An id that is none is a bad request, as the SDKs expect.
func (h *handlers) execution(c *gin.Context) (*engine.Execution, error) {
	id := c.Param("execution")
	if !uuid.MatchString(id) {
		return nil, refuse("executionId", "is "+clip(id), "a UUID")
	}
	x, err := compat.Execution(c.Request.Context(), h.engine, id)
	if err != nil {
		return nil, notFoundAs(err, id)
	}
	if x.Project != c.Param("project") {
		return nil, absent("Workflow execution not found: " + id)
	}
	return x, nil
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

func notFoundAs(err error, id string) error {
	if isMissing(err) {
		return absent("Workflow execution not found: "+id, map[string]string{"id": id})
	}
	return err
}

// cancel cancels an execution.
func (h *handlers) cancel(c *gin.Context) error {
	var q cancelRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	reason := "cancelled"
	if q.Reason != nil {
		reason = *q.Reason
	}
	if utf8.RuneCountInString(reason) > 500 {
		return refuse("reason", "is too long", "at most 500 characters")
	}
	x, err := h.execution(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if x, err = h.engine.Cancel(ctx, x.ID, engine.Request{Reason: reason, By: auth.From(ctx).By()}); err != nil {
		return err
	}
	v, err := h.viewOf(ctx, x, records{})
	if err != nil {
		return err
	}
	if v.Status == statusTerminated {
		v.ReasonForIncompletion = reason
	}
	return compat.Answer(c.Writer, http.StatusOK, v)
}

// records are those of versions that were read, by definition.
type records map[string]*record

// recordFor reads what the version says that an execution runs.
func (h *handlers) recordFor(ctx context.Context, x *engine.Execution, known records) (*record, error) {
	if r := known[x.DefinitionHash]; r != nil {
		return r, nil
	}
	d, err := h.engine.ExecutionDefinition(ctx, x)
	if err != nil {
		return nil, err
	}
	r := recordOf(d.InputSchema)
	if r == nil {
		r = nativeRecord(x.Workflow, x.Version, d.Description)
	}
	known[x.DefinitionHash] = r
	return r, nil
}

func (h *handlers) viewOf(ctx context.Context, x *engine.Execution, known records) (executionView, error) {
	r, err := h.recordFor(ctx, x, known)
	if err != nil {
		return executionView{}, err
	}
	return view(x, r), nil
}

const statusTerminated = "TERMINATED"

var statuses = map[workflow.ExecutionStatus]string{
	workflow.ExecutionQueued: "RUNNING", workflow.ExecutionRunning: "RUNNING", workflow.ExecutionPaused: "RUNNING",
	workflow.ExecutionCanceling: statusTerminated, workflow.ExecutionCanceled: statusTerminated,
	workflow.ExecutionSucceeded: "COMPLETED", workflow.ExecutionFailed: "FAILED", workflow.ExecutionTimedOut: "TIMED_OUT",
}

// nativeStatuses are those that the engine knows a status of Cognite's by.
func nativeStatuses(names []string) ([]workflow.ExecutionStatus, error) {
	var all []workflow.ExecutionStatus
	for _, name := range names {
		found := false
		for native, own := range statuses {
			if own == name {
				all, found = append(all, native), true
			}
		}
		if !found {
			return nil, refuse("filter.status", "is "+clip(name), "RUNNING, COMPLETED, FAILED, TIMED_OUT, TERMINATED")
		}
	}
	slices.Sort(all)
	return all, nil
}

func view(x *engine.Execution, r *record) executionView {
	v := executionView{
		ID: x.ID, WorkflowExternalID: r.ExternalID, Version: r.Version, Status: statuses[x.Status], EngineExecutionID: x.ID,
		CreatedTime: x.CreatedAt.UnixMilli(), StartTime: millis(x.StartedAt), EndTime: millis(x.EndedAt), Metadata: x.Metadata,
	}
	if v.Metadata == nil || x.Labels[labelTrigger] != "" {
		v.Metadata = metadataIn(x.Labels)
	}
	switch {
	case x.Status == workflow.ExecutionSucceeded || !x.Status.Ended():
	case x.Error != nil:
		v.ReasonForIncompletion = x.Error.Message
	default:
		v.ReasonForIncompletion = x.Reason
	}
	return v
}

func millis(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

// listExecutions lists executions, newest first. A page may be short.
func (h *handlers) listExecutions(c *gin.Context) error {
	var q executionsList
	if err := read(c.Request, &q); err != nil {
		return err
	}
	limit, err := limitOf(q.Limit, 100)
	if err != nil {
		return err
	}
	if q.Cursor != "" && !uuid.MatchString(q.Cursor) {
		return refuse("cursor", "is "+strconv.Quote(clip(q.Cursor)), "the nextCursor of the page before")
	}
	filter := engine.ExecutionFilter{}
	if filter.Status, err = nativeStatuses(q.Filter.Status); err != nil {
		return err
	}
	if filter.Since, filter.Until, err = q.Filter.span(); err != nil {
		return err
	}
	if err := checkFilters(q.Filter.WorkflowFilters); err != nil {
		return err
	}
	if f := q.Filter.WorkflowFilters; len(f) == 1 {
		if filter.Workflow, err = workflowName(f[0].ExternalID); err != nil {
			return err
		}
	}
	answer := items[executionView]{Items: []executionView{}}
	known := records{}
	page := engine.Page{Cursor: q.Cursor}
	for range scanned {
		page.Limit = limit - len(answer.Items) // no more than are missing: the cursor is behind the last that was read
		some, next, err := h.engine.Executions(c.Request.Context(), c.Param("project"), filter, page)
		if err != nil {
			return err
		}
		for i := range some {
			v, err := h.viewOf(c.Request.Context(), &some[i], known)
			if err != nil {
				return err
			}
			if q.Filter.wants(v) && some[i].Parent == nil {
				answer.Items = append(answer.Items, v)
			}
		}
		if page.Cursor = next; next == "" || len(answer.Items) == limit {
			break
		}
	}
	answer.NextCursor = page.Cursor
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

// apart is how far the id of an execution, which lists are read by, may be from the time that it was created at.
const apart = time.Minute

// span is when the ids of those that the filter wants were made.
func (f executionsFilter) span() (since, until time.Time, err error) {
	bound := func(field string, ms *int64, by time.Duration) (time.Time, error) {
		switch {
		case ms == nil:
			return time.Time{}, nil
		case *ms < 0:
			return time.Time{}, refuse("filter."+field, "is "+strconv.FormatInt(*ms, 10), "milliseconds since 1970, 0 or more")
		}
		return time.UnixMilli(min(*ms, 1<<53)).Add(by), nil
	}
	if since, err = bound("createdTimeStart", f.CreatedTimeStart, -apart); err != nil {
		return since, until, err
	}
	until, err = bound("createdTimeEnd", f.CreatedTimeEnd, apart)
	return since, until, err
}

// wants holds an execution against all that the engine does not narrow by, or not exactly.
func (f executionsFilter) wants(v executionView) bool {
	if f.CreatedTimeStart != nil && v.CreatedTime < *f.CreatedTimeStart || f.CreatedTimeEnd != nil && v.CreatedTime > *f.CreatedTimeEnd {
		return false
	}
	return len(f.WorkflowFilters) == 0 || slices.ContainsFunc(f.WorkflowFilters, func(w workflowFilter) bool {
		return w.ExternalID == v.WorkflowExternalID && (w.Version == "" || w.Version == v.Version)
	})
}

// getExecution answers an execution with its tasks.
func (h *handlers) getExecution(c *gin.Context) error {
	x, err := h.execution(c)
	if err != nil {
		return err
	}
	ctx, known := c.Request.Context(), records{}
	r, err := h.recordFor(ctx, x, known)
	if err != nil {
		return err
	}
	d := executionDetail{executionView: view(x, r), WorkflowDefinition: r.definition(), ExecutedTasks: []taskView{}, Input: x.Input}
	if len(d.Input) == 0 || d.Input[0] != '{' {
		d.Input = nil
	}
	if d.ExecutedTasks, err = h.executed(ctx, x, nil, known); err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, d)
}
