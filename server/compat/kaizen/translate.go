package kaizen

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// What Kaizen attaches to an execution lies in labels, which a retry carries over and lists can be narrowed by.
const (
	labelBatch = "kaizen.batch"
	labelLogin = "kaizen.login"
	labelName  = "kaizen.name"
	labelTest  = "kaizen.test"
)

// fieldOf is the field of a request that a label comes from.
var fieldOf = map[string]string{labelBatch: "batchId", labelLogin: "loginId", labelName: "name"}

const (
	retried = "Execution retry initiated successfully"
	started = "Workflow execution started successfully"
)

// statuses are the engine's statuses by Kaizen's.
var statuses = map[string][]workflow.ExecutionStatus{
	"Enqueued":   {workflow.ExecutionQueued},
	"InProgress": {workflow.ExecutionRunning, workflow.ExecutionCanceling},
	"Paused":     {workflow.ExecutionPaused},
	"Completed":  {workflow.ExecutionSucceeded},
	"Failed":     {workflow.ExecutionFailed, workflow.ExecutionTimedOut, workflow.ExecutionCanceled},
}

func status(s workflow.ExecutionStatus) string {
	for name, all := range statuses {
		if slices.Contains(all, s) {
			return name
		}
	}
	return ""
}

// begun is the status of an execution that was just started, in the words of that operation.
func begun(s workflow.ExecutionStatus) string {
	if s == workflow.ExecutionQueued {
		return "Enqueued"
	}
	return "Processing"
}

// tooLong stands for every timeout that overflows; the engine refuses it.
const tooLong = 100 * 365 * 24 * time.Hour

func (q *executeRequest) startRequest() engine.StartRequest {
	r := engine.StartRequest{Workflow: cmp.Or(q.WorkflowID, q.WorkflowName), Input: q.Params, Labels: map[string]string{}}
	for key, value := range map[string]string{labelBatch: q.BatchID, labelLogin: q.LoginID, labelName: string(q.Name)} {
		if value != "" {
			r.Labels[key] = value
		}
	}
	if q.IsTest {
		r.Labels[labelTest] = "true"
	}
	if q.Timeout != nil {
		r.Timeout = tooLong
		if *q.Timeout < int64(tooLong/time.Second) {
			r.Timeout = time.Duration(*q.Timeout) * time.Second
		}
	}
	return r
}

func (q *listRequest) limit() int {
	if q.Limit == nil {
		return 100
	}
	return *q.Limit
}

// filter is what the engine narrows by; matches does the rest.
func (q *listRequest) filter() engine.ExecutionFilter {
	f := engine.ExecutionFilter{Status: statuses[q.Status], Workflow: q.WorkflowID}
	switch {
	case q.Batch != "":
		f.LabelKey, f.LabelValue = labelBatch, q.Batch
	case q.LoginID != "":
		f.LabelKey, f.LabelValue = labelLogin, q.LoginID
	}
	return f
}

// matches reports whether one of the search terms is in the id or the params, and all tags are there: as a label's name, or as name=value.
func (q *listRequest) matches(x *engine.Execution) bool {
	if q.LoginID != "" && x.Labels[labelLogin] != q.LoginID {
		return false
	}
	for _, tag := range q.TagFilters {
		name, value, both := strings.Cut(tag, "=")
		if has, ok := x.Labels[name]; !ok || both && has != value {
			return false
		}
	}
	return len(q.Search) == 0 || slices.ContainsFunc(q.Search, func(term string) bool {
		return strings.Contains(x.ID, term) || strings.Contains(string(x.Input), term)
	})
}

// beginning are the tasks that a workflow begins with, in the order of its definition.
func beginning(tasks []workflow.Task) ([]block, error) {
	var blocks []block
	for i, t := range tasks {
		if len(t.Needs) == 0 {
			blocks = append(blocks, block{
				ID: t.Name, Name: t.Name, BlockReferenceID: t.Name, Type: t.Type,
				ParentRelationship: relationship{PositionInSequence: i, ParentSequenceID: "sequence"},
			})
		}
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("kaizen: a definition begins with no task")
	}
	return blocks, nil
}

// checkStartBlock refuses a start elsewhere than at the beginning.
func checkStartBlock(id string, blocks []block) error {
	if len(blocks) == 1 && blocks[0].ID == id {
		return nil
	}
	names := make([]string, len(blocks))
	for i, b := range blocks {
		names[i] = b.ID
	}
	return problem.New(http.StatusNotImplemented, "not_implemented",
		"startBlockId: executions begin at the beginning, which is %s here, and cannot begin at %q", strings.Join(names, ", "), id)
}

func wireExecution(x *engine.Execution, c engine.Chain, begin block) execution {
	login := x.Labels[labelLogin]
	begin.Data.LoginID = login
	w := execution{
		ID: x.ID, Workflow: named{x.Workflow, x.Workflow}, Batch: named{x.Labels[labelBatch], x.Labels[labelBatch]}, Logins: []named{},
		Authentications: []struct{}{}, StartTime: moment(x.StartedAt), Params: object(x.Input), Metadata: x.Metadata, Name: x.Labels[labelName],
		StartBlock: begin, ContextAuthentications: []struct{}{},
		Attempts: c.Attempt, TotalAttempts: c.Total, IsLastAttempt: c.Last, IsTest: x.Labels[labelTest] == "true",
		Status: status(x.Status), Downloads: downloads{Status: "pending", Files: []struct{}{}}, ParentExecutionID: parent(x),
	}
	if login != "" {
		w.Logins = []named{{login, login}}
	}
	if w.Metadata == nil {
		w.Metadata = map[string]string{}
	}
	if x.Status.Ended() {
		w.Downloads.Status = "completed"
		w.end = wireEnd(x)
		w.StartTime = cmp.Or(w.StartTime, w.EndTime) // of one that ended in its queue: typed clients want one
	}
	return w
}

// parent is the execution that this one was retried from, or is a part of.
func parent(x *engine.Execution) string {
	switch {
	case x.Origin != nil:
		return x.Origin.Execution
	case x.Parent != nil:
		return x.Parent.Execution
	}
	return ""
}

func wireEnd(x *engine.Execution) *end {
	e := &end{EndTime: moment(x.EndedAt), Response: object(x.Output), TruncatedResponse: truncated(x.Output)}
	if x.StartedAt != nil && x.EndedAt != nil {
		e.DurationMS = x.EndedAt.Sub(*x.StartedAt).Milliseconds()
	}
	switch {
	case x.Error != nil:
		e.Error = &fault{x.Error.Code, x.Error.Message}
	case x.Status == workflow.ExecutionCanceled:
		e.Error = &fault{"canceled", cmp.Or(x.Reason, "the execution was canceled")}
	}
	return e
}

// object is a value as it is, and an empty object for none.
func object(value json.RawMessage) json.RawMessage {
	if len(value) == 0 || string(value) == "null" {
		return json.RawMessage("{}")
	}
	return value
}

// maxTruncated is the most characters of a truncated response.
const maxTruncated = 1000

func truncated(output json.RawMessage) string {
	if len(output) == 0 || string(output) == "null" {
		return ""
	}
	n := 0
	for i := range string(output) {
		if n == maxTruncated {
			return string(output[:i])
		}
		n++
	}
	return string(output)
}

// moment is a time as JavaScript writes it; "" = it has not come.
func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
