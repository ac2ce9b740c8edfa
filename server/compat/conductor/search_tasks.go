package conductor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
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

// taskColumns are what tasks are searched and sorted by.
var taskColumns = columns[task]{
	texts: map[string]func(task) string{
		"workflowId": func(t task) string { return t.WorkflowInstanceID }, "workflowType": func(t task) string { return t.WorkflowType }, "correlationId": func(t task) string { return t.CorrelationID },
		"taskId": func(t task) string { return t.TaskID }, "taskType": func(t task) string { return t.TaskType }, "taskDefName": func(t task) string { return t.TaskDefName },
		"status": func(t task) string { return t.Status }, "taskReferenceName": func(t task) string { return t.Ref }, "referenceTaskName": func(t task) string { return t.Ref },
	},
	numbers: map[string]func(task) int64{
		"startTime": func(t task) int64 { return t.StartTime }, "endTime": func(t task) int64 { return t.EndTime },
		"updateTime": func(t task) int64 { return t.UpdateTime }, "scheduledTime": func(t task) int64 { return t.ScheduledTime },
	},
}

// workflowFields are those of the fields that tell of the execution.
var workflowFields = []string{"workflowId", "workflowType", "correlationId"}

// searchTasks answers a page of tasks: GET /tasks/search and search-v2.
func (h *handlers) searchTasks(whole bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		q, err := taskColumns.asked(c, "tasks")
		if err != nil {
			return err
		}
		found, err := h.findTasks(c.Request.Context(), q)
		if err != nil {
			return err
		}
		answer := searchAnswer{Results: []any{}}
		answer.TotalHits, found = taskColumns.page(q, found)
		for _, t := range found {
			if whole {
				answer.Results = append(answer.Results, t)
			} else {
				answer.Results = append(answer.Results, summaryOf(t))
			}
		}
		return answerJSON(c, answer)
	}
}

func (h *handlers) findTasks(ctx context.Context, q query) ([]task, error) {
	executions, err := h.executionsOf(ctx, slices.DeleteFunc(slices.Clone(q.conditions), func(c condition) bool { return !slices.Contains(workflowFields, c.field) }))
	if err != nil {
		return nil, err
	}
	var found []task
	for _, x := range executions {
		tasks, err := h.tasksOf(ctx, x.Execution)
		if err != nil {
			return nil, err
		}
		for _, w := range tasks {
			w.WorkflowType = x.Workflow
			if taskColumns.meet(q.conditions, w.task) &&
				(q.free == "" || strings.Contains(w.TaskID+" "+w.TaskType+" "+w.TaskDefName+" "+string(w.InputData)+" "+string(w.OutputData), q.free)) {
				found = append(found, w.task)
			}
		}
	}
	return found, nil
}

// executionsOf are those whose tasks are searched: the ones that are named, else the newest.
func (h *handlers) executionsOf(ctx context.Context, all []condition) ([]hit, error) {
	for _, c := range all {
		if c.field != "workflowId" || c.operator == "!=" || slices.ContainsFunc(c.values, func(v string) bool { return strings.Contains(v, "*") }) {
			continue
		}
		var found []hit
		for _, id := range c.values[:min(len(c.values), maxTaskSearched)] {
			x, err := h.found(ctx, id)
			if err != nil {
				if _, known := told(err); known {
					continue
				}
				return nil, err
			}
			if executionColumns.meet(all, hit{Execution: x}) {
				found = append(found, hit{Execution: x})
			}
		}
		return found, nil
	}
	found, err := h.find(ctx, query{conditions: all}, maxTaskSearched)
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
