package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

func answerJSON(c *gin.Context, v any) error { return compat.Answer(c.Writer, http.StatusOK, v) }

// update takes what a worker reports: POST /tasks.
func (h *handlers) update(c *gin.Context) error {
	r, err := h.report(c)
	if err != nil {
		return err
	}
	return text(c.Writer, r.TaskID)
}

// updateAndPoll is update, and the next task of the same kind if there is one: POST /tasks/update-v2.
func (h *handlers) updateAndPoll(c *gin.Context) error {
	r, err := h.report(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	f, _ := parseTaskID(r.TaskID)
	t, err := h.engine.Task(ctx, f.Execution, f.Ref)
	if err != nil {
		return err
	}
	x, err := h.engine.Execution(ctx, f.Execution)
	if err != nil {
		return err
	}
	k, err := h.runs(ctx, x)
	if err != nil {
		return err
	}
	if r.ExtendLease || r.Status == "IN_PROGRESS" || r.WorkerID == "" {
		return silent(c.Writer, http.StatusNoContent)
	}
	q := polled{name: k.node(t.Name, t.Type).Name, worker: r.WorkerID, most: 1}
	if t.Queue != workflow.DefaultQueue {
		q.domain = t.Queue
	}
	return h.poll(c, q, func(tasks []task) error {
		if len(tasks) == 0 {
			return silent(c.Writer, http.StatusNoContent)
		}
		return answerJSON(c, tasks[0])
	})
}

// report reads a task's result and does what it says. What comes too late is taken and means nothing, as in Conductor.
func (h *handlers) report(c *gin.Context) (*taskResult, error) {
	var r taskResult
	if err := read(c.Request, &r); err != nil {
		return nil, err
	}
	var wrong invalidDef
	if r.WorkflowID == "" {
		wrong = append(wrong, validationError{Path: "workflowInstanceId", Message: "Workflow Id cannot be null or empty"})
	}
	if r.TaskID == "" {
		wrong = append(wrong, validationError{Path: "taskId", Message: "Task ID cannot be null or empty"})
	}
	if r.Status == "" && !r.ExtendLease {
		wrong = append(wrong, validationError{Path: "status", Message: "status cannot be null"})
	} else if r.Status != "" && !slices.Contains(resultStatuses, r.Status) {
		wrong = append(wrong, validationError{Path: "status", Message: "is none of IN_PROGRESS, FAILED, FAILED_WITH_TERMINAL_ERROR, COMPLETED, CANCELED", InvalidValue: r.Status})
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	f, _, err := h.visible(c.Request.Context(), r.TaskID)
	if err != nil {
		return nil, err
	}
	return &r, h.settle(c.Request.Context(), f, &r)
}

// visible finds the attempt that an id names, in an execution that the caller may see.
func (h *handlers) visible(ctx context.Context, id string) (engine.Fence, *engine.Execution, error) {
	f, ok := parseTaskID(id)
	if !ok {
		return f, nil, refuse(http.StatusNotFound, "No such task found by id: %s", id)
	}
	x, err := compat.Execution(ctx, h.engine, f.Execution)
	if compat.IsMissing(err) {
		return f, nil, refuse(http.StatusNotFound, "No such task found by id: %s", id)
	}
	return f, x, err
}

// settle does what a report says to the attempt that it is about.
func (h *handlers) settle(ctx context.Context, f engine.Fence, r *taskResult) error {
	token, err := h.engine.RemoteToken(ctx, f)
	if stale(err) {
		if token, err = h.take(ctx, f, r); err == nil && token == "" {
			return h.settleByHand(ctx, f, r)
		}
	}
	if err != nil {
		return err
	}
	if len(r.Logs) > 0 {
		if err := h.log(ctx, f, token, r.Logs); err != nil {
			return err
		}
	}
	id, ref := f.Execution, f.Ref
	if err := h.keepProgress(r, func(p json.RawMessage) error { return h.engine.RemoteProgress(ctx, id, ref, token, p) }); err != nil {
		if stale(err) {
			return nil
		}
		return err
	}
	switch {
	case r.ExtendLease:
		_, err = h.engine.RemoteHeartbeat(ctx, id, ref, token)
	case r.Status == "IN_PROGRESS":
		err = h.engine.RemotePostpone(ctx, id, ref, token, time.Duration(r.CallbackAfter*float64(time.Second)))
	case r.Status == "COMPLETED":
		_, err = h.engine.RemoteComplete(ctx, id, ref, token, output(r.Output))
	default:
		_, err = h.engine.RemoteFail(ctx, id, ref, token, *failureOf(r))
	}
	if stale(err) {
		return nil
	}
	return err
}

// take claims an attempt that no worker was given, or that one handed back, for the report that ends it. "" = it does not wait for a worker.
func (h *handlers) take(ctx context.Context, f engine.Fence, r *taskResult) (string, error) {
	if r.ExtendLease || r.Status == "IN_PROGRESS" {
		return "", nil
	}
	t, err := h.engine.Task(ctx, f.Execution, f.Ref)
	if compat.IsMissing(err) || err == nil && !strings.HasPrefix(t.Type, typePrefix) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	run, err := h.engine.RemoteTake(ctx, f, cmp.Or(r.WorkerID, auth.From(ctx).Name, Name))
	if err != nil || run == nil {
		return "", err
	}
	return run.Token, nil
}

// keepProgress keeps the output of a report that does not complete its task. A failure is not lost for an output that is too large.
func (h *handlers) keepProgress(r *taskResult, keep func(json.RawMessage) error) error {
	progress := given(r.Output)
	if len(progress) == 0 || r.ExtendLease || r.Status == "COMPLETED" {
		return nil
	}
	err := keep(progress)
	if refused, ok := errors.AsType[*engine.Error](err); ok && refused.Kind == engine.KindInvalid && r.Status != "IN_PROGRESS" {
		r.Reason = strings.TrimSpace(r.Reason + " (its outputData was not kept: " + refused.Problems[0].Message + ")")
		return nil
	}
	return err
}

func stale(err error) bool {
	var refused *engine.Error
	return errors.As(err, &refused) && (refused.Kind == engine.KindConflict || refused.Kind == engine.KindNotFound)
}

func output(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage("{}")
	}
	return raw
}

// failureOf is a report of a failure as the native error.
func failureOf(r *taskResult) *workflow.Error {
	e := &workflow.Error{Code: codeFailed, Message: r.Reason, Retryable: true}
	if r.Status != "FAILED" {
		e.Code, e.Retryable = r.Status, false
	}
	if e.Message == "" {
		e.Message = "the worker gave no reason"
	}
	return e
}

// settleByHand ends an attempt that no worker runs: one that waits, or that was completed before it was polled.
func (h *handlers) settleByHand(ctx context.Context, f engine.Fence, r *taskResult) error {
	t, err := h.engine.Task(ctx, f.Execution, f.Ref)
	if compat.IsMissing(err) {
		return refuse(http.StatusNotFound, "No such task found by id: %s", taskID(f.Execution, f.Ref, f.Attempt))
	}
	if err != nil {
		return err
	}
	next := t.Status == workflow.TaskRetrying && f.Attempt == t.Attempt+1
	if t.Status.Ended() || t.Attempt != f.Attempt && !next || r.ExtendLease {
		return nil
	}
	if !next {
		f.Dispatch = t.Dispatch
		if err := h.keepProgress(r, func(p json.RawMessage) error { return h.engine.Progress(ctx, f, p) }); err != nil && !stale(err) {
			return err
		}
	}
	if r.Status == "IN_PROGRESS" {
		return nil
	}
	hand := engine.HandRequest{By: auth.From(ctx).By(), To: workflow.TaskSucceeded, Output: output(r.Output)}
	if r.Status != "COMPLETED" {
		hand.To, hand.Output, hand.Error = workflow.TaskFailed, nil, failureOf(r)
	}
	if _, err := h.engine.SettleByHand(ctx, f.Execution, f.Ref, hand); !stale(err) {
		return err
	}
	return nil
}

// resultStatuses are those that a report may have.
var resultStatuses = []string{"IN_PROGRESS", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "COMPLETED", "CANCELED"}

func (r *taskResult) checkStatus() error {
	if !slices.Contains(resultStatuses, r.Status) {
		return refuse(http.StatusBadRequest, "%q is no status of a task's result", r.Status)
	}
	return nil
}

// updateByRef settles the pending task of a reference name: POST /tasks/{workflow}/{ref}/{status}.
func (h *handlers) updateByRef(sync bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		ctx := c.Request.Context()
		x, err := h.found(ctx, c.Param("id"))
		if err != nil {
			return err
		}
		r := taskResult{WorkflowID: x.ID, Status: c.Param("status"), WorkerID: c.Query("workerid")}
		if err := r.checkStatus(); err != nil {
			return err
		}
		if err := readOptional(c.Request, &r.Output); err != nil {
			return err
		}
		pending, err := h.pending(ctx, x, c.Param("ref"))
		if err != nil {
			return err
		}
		if pending == "" && sync {
			return refuse(http.StatusNotFound, "Found no running task %s of workflow %s to update", c.Param("ref"), x.ID)
		}
		if pending != "" {
			f, _ := parseTaskID(pending)
			if err := h.settle(ctx, f, &r); err != nil {
				return err
			}
		}
		if !sync {
			return text(c.Writer, pending)
		}
		h.decided(ctx, x.ID)
		if x, err = h.engine.Execution(ctx, x.ID); err != nil {
			return err
		}
		w, err := h.wire(ctx, x, true)
		if err != nil {
			return err
		}
		return answerJSON(c, w)
	}
}

// pending is the id of the newest task under a reference name that has not ended; "" = there is none.
func (h *handlers) pending(ctx context.Context, x *engine.Execution, ref string) (string, error) {
	all, err := h.tasksOf(ctx, x)
	if err != nil {
		return "", err
	}
	for _, w := range slices.Backward(all) {
		if (w.Ref == ref || w.node.Ref == ref) && (w.Status == "SCHEDULED" || w.Status == "IN_PROGRESS") {
			return w.TaskID, nil
		}
	}
	return "", nil
}

// addLog keeps a line: POST /tasks/{id}/log.
func (h *handlers) addLog(c *gin.Context) error {
	line, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	f, _, err := h.visible(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	token, err := h.engine.RemoteToken(ctx, f)
	switch {
	case err == nil:
		err = h.log(ctx, f, token, []taskLog{{Log: string(line)}})
	case stale(err): // of a task that waits, or one that is over
		err = h.engine.AppendLogs(ctx, f, []engine.LogLine{{Level: engine.LogInfo, Message: engine.ClipLogMessage(string(line))}})
	}
	if err != nil && !stale(err) {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

func (h *handlers) log(ctx context.Context, f engine.Fence, token string, logs []taskLog) error {
	lines := make([]engine.LogLine, 0, len(logs))
	for _, l := range logs {
		line := engine.LogLine{Level: engine.LogInfo, Message: engine.ClipLogMessage(l.Log)}
		if l.CreatedTime > 0 {
			line.Ago = max(time.Since(time.UnixMilli(l.CreatedTime)), 0)
		}
		lines = append(lines, line)
	}
	for part := range slices.Chunk(lines, engine.LogBatchLines) {
		if err := h.engine.RemoteLog(ctx, f.Execution, f.Ref, token, part); err != nil {
			if stale(err) {
				return nil
			}
			return err
		}
	}
	return nil
}

// logs answers what an attempt wrote: GET /tasks/{id}/log.
func (h *handlers) logs(c *gin.Context) error {
	ctx := c.Request.Context()
	f, _, err := h.visible(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	all := []taskLog{}
	for page := (engine.Page{Limit: 1000}); ; {
		entries, next, err := h.engine.Logs(ctx, f.Execution, engine.LogFilter{Ref: f.Ref, Attempt: f.Attempt, Level: engine.LogDebug}, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			all = append(all, taskLog{Log: e.Message, TaskID: c.Param("id"), CreatedTime: e.At.UnixMilli()})
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if len(all) == 0 {
		return silent(c.Writer, http.StatusNoContent)
	}
	return answerJSON(c, all)
}

// getTask answers one task: GET /tasks/{id}.
func (h *handlers) getTask(c *gin.Context) error {
	ctx, id := c.Request.Context(), c.Param("id")
	_, x, err := h.visible(ctx, id)
	if err != nil {
		return err
	}
	if x, err = h.outermost(ctx, x); err != nil {
		return err
	}
	all, err := h.tasksOf(ctx, x)
	if err != nil {
		return err
	}
	for _, w := range all {
		if w.TaskID == id {
			return answerJSON(c, w.task)
		}
	}
	return refuse(http.StatusNotFound, "No such task found by id: %s", id)
}
