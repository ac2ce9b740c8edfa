package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
)

// The tasks that a workflow waits in until somebody ends them.
var blockingTypes = []string{"WAIT", "HUMAN", "YIELD"}

var strategies = []string{"TARGET_WORKFLOW", "BLOCKING_WORKFLOW", "BLOCKING_TASK", "BLOCKING_TASK_INPUT"}

// blockedTask is the answer that tells of the task that a workflow waits in.
type blockedTask struct {
	ResponseType  string          `json:"responseType"`
	RequestID     string          `json:"requestId,omitempty"`
	TargetID      string          `json:"targetWorkflowId"`
	TargetStatus  string          `json:"targetWorkflowStatus"`
	WorkflowID    string          `json:"workflowId"`
	CorrelationID string          `json:"correlationId,omitempty"`
	Input         json.RawMessage `json:"input"`
	Output        json.RawMessage `json:"output"`
	Variables     map[string]any  `json:"variables"`
	Priority      int             `json:"priority"`
	TaskType      string          `json:"taskType"`
	TaskID        string          `json:"taskId"`
	Ref           string          `json:"referenceTaskName"`
	RetryCount    int             `json:"retryCount"`
	TaskDefName   string          `json:"taskDefName"`
	RetriedTaskID string          `json:"retriedTaskId,omitempty"`
	WorkflowType  string          `json:"workflowType"`
	Reason        string          `json:"reasonForIncompletion,omitempty"`
	Status        string          `json:"status"`
}

// strategy is what a caller wants to be told.
func strategy(c *gin.Context) (string, error) {
	s := cmp.Or(c.Query("returnStrategy"), strategies[0])
	if !slices.Contains(strategies, s) {
		return "", invalidDef{{Path: "returnStrategy", Message: "is none of TARGET_WORKFLOW, BLOCKING_WORKFLOW, BLOCKING_TASK, BLOCKING_TASK_INPUT", InvalidValue: s}}
	}
	return s, nil
}

// blocking finds the first task that a workflow waits in, in its sub-workflows, too, and the execution that has it; nil = there is none.
func (h *handlers) blocking(ctx context.Context, x *engine.Execution) (*engine.Execution, *shown, error) {
	all, err := h.tasksOf(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		w := &all[i]
		if w.Status != "IN_PROGRESS" {
			continue
		}
		if slices.Contains(blockingTypes, w.node.Type) {
			return x, w, nil
		}
		if w.SubWorkflowID == "" {
			continue
		}
		child, err := h.engine.Execution(ctx, w.SubWorkflowID)
		if err != nil {
			return nil, nil, err
		}
		if at, found, err := h.blocking(ctx, child); err != nil || found != nil {
			return at, found, err
		}
	}
	return nil, nil, nil
}

// How long a call that waits for a task to wait in pauses between looks, twice as long each time: tasks in sub-workflows tell
// nobody outside, and a look reads the whole tree.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// awaitBlocked waits as await does, and no longer than until the workflow waits in a task other than one.
func (h *handlers) awaitBlocked(request context.Context, x *engine.Execution, most time.Duration, refs, other string) error {
	ctx, cancel := context.WithTimeout(request, most)
	defer context.AfterFunc(h.stopping, cancel)()
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		failed = h.await(ctx, x, most, refs)
	}()
	defer func() {
		cancel()
		<-done
	}()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		_, w, err := h.blocking(ctx, x)
		if ctx.Err() != nil {
			return request.Err()
		}
		if err != nil || w != nil && w.TaskID != other {
			return err
		}
		select {
		case <-done:
			if ctx.Err() != nil {
				return request.Err()
			}
			return failed
		case <-time.After(pause):
		}
	}
}

// answerRun answers what a caller wants to be told of a workflow. Where that is a task, and it waits in none, who signaled is told
// nothing, and others of the task that it came to last.
func (h *handlers) answerRun(c *gin.Context, id, want string, signaled bool) error {
	ctx, request := c.Request.Context(), c.Query("requestId")
	x, err := h.engine.Execution(ctx, id)
	if err != nil {
		return err
	}
	if want == strategies[0] {
		answer, err := h.executed(ctx, x, request)
		if err != nil {
			return err
		}
		return answerJSON(c, answer)
	}
	at, w, err := h.blocking(ctx, x)
	if err != nil {
		return err
	}
	if at == nil && signaled && want != "BLOCKING_WORKFLOW" {
		return silent(c.Writer, http.StatusOK)
	}
	if at == nil {
		at = x
		all, err := h.tasksOf(ctx, x)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			w = &all[len(all)-1]
		}
	}
	answer, err := h.executed(ctx, at, request)
	if err != nil {
		return err
	}
	answer.ResponseType, answer.TargetID, answer.TargetStatus = want, x.ID, workflowStatus(x)
	if want == "BLOCKING_WORKFLOW" || w == nil {
		return answerJSON(c, answer)
	}
	return answerJSON(c, blockedTask{
		ResponseType: want, RequestID: request, TargetID: x.ID, TargetStatus: answer.TargetStatus, WorkflowID: at.ID, CorrelationID: at.CorrelationID,
		Input: w.InputData, Output: w.OutputData, Variables: answer.Variables, Priority: w.WorkflowPriority, TaskType: w.TaskType, TaskID: w.TaskID, Ref: w.Ref,
		RetryCount: w.RetryCount, TaskDefName: w.TaskDefName, RetriedTaskID: w.RetriedTaskID, WorkflowType: w.WorkflowType, Reason: w.Reason, Status: w.Status,
	})
}

// signalTime is the longest that a signal waits for what comes of it.
const signalTime = 10 * time.Second

// signal ends the task that a workflow waits in: POST /tasks/{workflow}/{status}/signal, and /signal/sync.
func (h *handlers) signal(sync bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		ctx := c.Request.Context()
		x, err := h.found(ctx, c.Param("id"))
		if err != nil {
			return err
		}
		want, err := strategy(c)
		if err != nil {
			return err
		}
		r := taskResult{WorkflowID: x.ID, Status: c.Param("ref")}
		if err := r.checkStatus(); err != nil {
			return err
		}
		if err := readOptional(c.Request, &r.Output); err != nil {
			return err
		}
		_, w, err := h.blocking(ctx, x)
		if err != nil {
			return err
		}
		if w == nil {
			return refuse(http.StatusNotFound, "Found no task that workflow %s waits in to signal", x.ID)
		}
		f, _ := parseTaskID(w.TaskID)
		if err := h.settle(ctx, f, &r); err != nil {
			return err
		}
		if !sync {
			return silent(c.Writer, http.StatusOK)
		}
		if r.Status != "IN_PROGRESS" {
			done, err := h.waits()
			if err != nil {
				return err
			}
			defer done()
			if err := h.awaitBlocked(ctx, x, signalTime, "", w.TaskID); err != nil {
				return err
			}
		}
		return h.answerRun(c, x.ID, want, true)
	}
}

type stateRequest struct {
	Ref       string         `json:"taskReferenceName"`
	Result    *taskResult    `json:"taskResult"`
	Variables map[string]any `json:"variables"`
}

// state settles a task and waits for what comes of it: POST /workflow/{id}/state.
func (h *handlers) state(c *gin.Context) error {
	ctx := c.Request.Context()
	x, err := h.found(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	var q stateRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	most, err := count(c, "waitForSeconds", 10)
	if err != nil {
		return err
	}
	if len(q.Variables) > 0 {
		return problem.New(http.StatusNotImplemented, "not_implemented", variablesStay)
	}
	if q.Ref != "" && q.Result != nil {
		q.Result.WorkflowID = x.ID
		if err := q.Result.checkStatus(); err != nil {
			return err
		}
		id, err := h.pending(ctx, x, q.Ref)
		if err != nil {
			return err
		}
		if id == "" {
			return refuse(http.StatusNotFound, "Found no running task %s of workflow %s to update", q.Ref, x.ID)
		}
		f, _ := parseTaskID(id)
		if err := h.settle(ctx, f, q.Result); err != nil {
			return err
		}
		if x, err = h.engine.Execution(ctx, x.ID); err != nil {
			return err
		}
	}
	if refs := c.Query("waitUntilTaskRef"); refs != "" && !x.Status.Ended() {
		done, err := h.waits()
		if err != nil {
			return err
		}
		defer done()
		wait := time.Duration(min(max(most, 0), 3600)) * time.Second
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(wait + time.Minute)) // not every writer has deadlines
		if err := h.await(ctx, x, wait, refs); err != nil {
			return err
		}
	}
	return h.answerRun(c, x.ID, strategies[0], false)
}
