package conductor

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
)

// maxTaskSearched is how many executions a search of tasks looks into.
const maxTaskSearched = 200

type taskSummary struct {
	WorkflowID    string `json:"workflowId"`
	WorkflowType  string `json:"workflowType"`
	CorrelationID string `json:"correlationId,omitempty"`
	ScheduledTime string `json:"scheduledTime,omitempty"` // ISO
	StartTime     string `json:"startTime,omitempty"`
	UpdateTime    string `json:"updateTime,omitempty"`
	EndTime       string `json:"endTime,omitempty"`
	Status        string `json:"status"`
	Reason        string `json:"reasonForIncompletion,omitempty"`
	ExecutionTime int64  `json:"executionTime"` // ms
	QueueWaitTime int64  `json:"queueWaitTime"`
	TaskDefName   string `json:"taskDefName"`
	TaskType      string `json:"taskType"`
	Ref           string `json:"taskReferenceName"`
	Input         string `json:"input"` // as text
	Output        string `json:"output"`
	TaskID        string `json:"taskId"`
	Domain        string `json:"domain,omitempty"`
	Priority      int    `json:"workflowPriority"`
}

// taskFields are what tasks are searched by, beside the fields of their executions.
var taskFields = map[string]func(t *task) string{
	"taskId": func(t *task) string { return t.TaskID }, "taskType": func(t *task) string { return t.TaskType }, "taskDefName": func(t *task) string { return t.TaskDefName },
	"status": func(t *task) string { return t.Status }, "taskReferenceName": func(t *task) string { return t.Ref }, "referenceTaskName": func(t *task) string { return t.Ref },
	"startTime": func(t *task) string { return strconv.FormatInt(t.StartTime, 10) }, "endTime": func(t *task) string { return strconv.FormatInt(t.EndTime, 10) },
	"updateTime": func(t *task) string { return strconv.FormatInt(t.UpdateTime, 10) }, "scheduledTime": func(t *task) string { return strconv.FormatInt(t.ScheduledTime, 10) },
}

// workflowFields are the fields of executions that a search of tasks goes by.
var workflowFields = []string{"workflowId", "workflowType", "correlationId"}

func (c condition) meetsTask(t *task) bool {
	has := taskFields[c.field](t)
	if at, err := strconv.ParseInt(has, 10, 64); err == nil && strings.HasSuffix(c.field, "Time") {
		return c.compares(at)
	}
	return c.holds(has)
}

// searchTasks answers a page of tasks: GET /tasks/search and search-v2.
func (h *handlers) searchTasks(whole bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		start, err := count(c, "start", 0)
		if err != nil {
			return err
		}
		size, err := count(c, "size", 100)
		if err != nil {
			return err
		}
		if size > 5000 {
			return refuse(http.StatusBadRequest, "Cannot return more than 5000 tasks. Please use pagination.")
		}
		all, err := parseConditions(c.Query("query"), append(sorted(taskFields), workflowFields...))
		if err != nil {
			return err
		}
		found, err := h.findTasks(c.Request.Context(), all, strings.Trim(c.DefaultQuery("freeText", "*"), "* "))
		if err != nil {
			return err
		}
		answer := searchAnswer{TotalHits: len(found), Results: []any{}}
		page := found[min(max(start, 0), len(found)):]
		for _, t := range page[:min(max(size, 0), len(page))] {
			if whole {
				answer.Results = append(answer.Results, t)
			} else {
				answer.Results = append(answer.Results, summaryOf(t))
			}
		}
		return answerJSON(c, answer)
	}
}

func (h *handlers) findTasks(ctx context.Context, all []condition, free string) ([]task, error) {
	var ofWorkflow, ofTask []condition
	for _, c := range all {
		if slices.Contains(workflowFields, c.field) {
			ofWorkflow = append(ofWorkflow, c)
		} else {
			ofTask = append(ofTask, c)
		}
	}
	executions, err := h.executionsOf(ctx, ofWorkflow)
	if err != nil {
		return nil, err
	}
	var found []task
	for i := range executions {
		tasks, err := h.tasksOf(ctx, &executions[i])
		if err != nil {
			return nil, err
		}
		for _, w := range tasks {
			w.WorkflowType = executions[i].Workflow
			if slices.ContainsFunc(ofTask, func(c condition) bool { return !c.meetsTask(&w.task) }) ||
				free != "" && !strings.Contains(w.TaskID+" "+w.TaskType+" "+w.TaskDefName+" "+string(w.InputData)+" "+string(w.OutputData), free) {
				continue
			}
			found = append(found, w.task)
		}
	}
	return found, nil
}

// executionsOf are those whose tasks are searched: the ones that are named, else the newest.
func (h *handlers) executionsOf(ctx context.Context, all []condition) ([]engine.Execution, error) {
	for _, c := range all {
		if c.field != "workflowId" || c.operator == "!=" || slices.ContainsFunc(c.values, func(v string) bool { return strings.Contains(v, "*") }) {
			continue
		}
		var found []engine.Execution
		for _, id := range c.values[:min(len(c.values), maxTaskSearched)] {
			x, err := h.found(ctx, id)
			if err != nil {
				if _, known := told(err); known {
					continue
				}
				return nil, err
			}
			if !slices.ContainsFunc(all, func(c condition) bool { return !c.meets(x, 0) }) {
				found = append(found, *x)
			}
		}
		return found, nil
	}
	found, err := h.find(ctx, all, "", maxTaskSearched)
	return found[:min(len(found), maxTaskSearched)], err
}

func summaryOf(t task) taskSummary {
	iso := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		at := time.UnixMilli(ms)
		return stamp(&at)
	}
	s := taskSummary{
		WorkflowID: t.WorkflowInstanceID, WorkflowType: t.WorkflowType, CorrelationID: t.CorrelationID, ScheduledTime: iso(t.ScheduledTime), StartTime: iso(t.StartTime),
		UpdateTime: iso(t.UpdateTime), EndTime: iso(t.EndTime), Status: t.Status, Reason: t.Reason, QueueWaitTime: t.QueueWaitTime, TaskDefName: t.TaskDefName,
		TaskType: t.TaskType, Ref: t.Ref, Input: string(t.InputData), Output: string(t.OutputData), TaskID: t.TaskID, Domain: t.Domain, Priority: t.WorkflowPriority,
	}
	if t.EndTime > 0 && t.StartTime > 0 {
		s.ExecutionTime = t.EndTime - t.StartTime
	}
	return s
}
