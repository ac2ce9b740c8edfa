package conductor

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// typePrefix begins the native type of a task that Conductor's workers poll.
const typePrefix = "conductor."

var typeOdd = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// nativeType is the native type of a task by its name; what a type cannot hold stands as ":" and hex.
func nativeType(name string) (string, bool) {
	t := typePrefix + typeOdd.ReplaceAllStringFunc(name, func(s string) string { return ":" + hex.EncodeToString([]byte(s)) + ":" })
	return t, name != "" && len(t) <= 128
}

// taskID names an attempt of a task: execution, attempt and ref.
func taskID(execution, ref string, attempt int) string {
	return execution + "." + strconv.Itoa(attempt) + "." + base64.RawURLEncoding.EncodeToString([]byte(ref))
}

// parseTaskID reads what taskID writes.
func parseTaskID(id string) (engine.Fence, bool) {
	parts := strings.Split(id, ".")
	if len(parts) != 3 || parts[0] == "" {
		return engine.Fence{}, false
	}
	attempt, err := strconv.Atoi(parts[1])
	ref, bad := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || bad != nil || len(ref) == 0 || attempt < 1 {
		return engine.Fence{}, false
	}
	return engine.Fence{Execution: parts[0], Ref: string(ref), Attempt: attempt}, true
}

// The codes that failures have natively, and what reports that were not of this kind mean here.
const (
	codeFailed     = "FAILED"
	codeTerminal   = "FAILED_WITH_TERMINAL_ERROR"
	codeCanceled   = "CANCELED"
	codeTerminated = "terminated"
	codeTimedOut   = "timed_out"
)

// workflowStatus is the status of an execution in Conductor's words.
func workflowStatus(x *engine.Execution) string {
	switch x.Status {
	case workflow.ExecutionQueued, workflow.ExecutionRunning:
		return "RUNNING"
	case workflow.ExecutionPaused:
		return "PAUSED"
	case workflow.ExecutionSucceeded:
		return "COMPLETED"
	case workflow.ExecutionTimedOut:
		return "TIMED_OUT"
	case workflow.ExecutionFailed:
		switch {
		case x.Error == nil:
		case x.Error.Code == codeTimedOut || x.Error.Code == engine.CodeSilent || x.Error.Code == "child_timed_out":
			return "TIMED_OUT"
		case x.Error.Code == codeTerminated || x.Error.Code == codeCanceled || x.Error.Code == "child_canceled":
			return "TERMINATED"
		}
		return "FAILED"
	}
	return "TERMINATED"
}

func terminal(status string) bool { return status != "RUNNING" && status != "PAUSED" }

// nativeStatuses are the statuses of executions that may be one of Conductor's.
var nativeStatuses = map[string][]workflow.ExecutionStatus{
	"RUNNING":    {workflow.ExecutionQueued, workflow.ExecutionRunning},
	"PAUSED":     {workflow.ExecutionPaused},
	"COMPLETED":  {workflow.ExecutionSucceeded},
	"FAILED":     {workflow.ExecutionFailed},
	"TIMED_OUT":  {workflow.ExecutionTimedOut, workflow.ExecutionFailed},
	"TERMINATED": {workflow.ExecutionCanceled, workflow.ExecutionCanceling, workflow.ExecutionFailed},
}

// skippedReason marks a task that was skipped through Conductor: natively it was completed, so that what follows it runs.
const skippedReason = "skipped (conductor)"

// attemptStatus is the status of an attempt in Conductor's words; "" = it is not shown.
func attemptStatus(s workflow.TaskStatus, failed *workflow.Error, reason string, optional bool) string {
	switch s {
	case workflow.TaskQueued:
		return "SCHEDULED"
	case workflow.TaskRunning, workflow.TaskWaiting:
		return "IN_PROGRESS"
	case workflow.TaskSucceeded:
		if reason == skippedReason {
			return "SKIPPED"
		}
		return "COMPLETED"
	case workflow.TaskSkipped:
		if reason == workflow.ReasonConditionFalse || reason == workflow.ReasonUpstreamSkipped || reason == workflow.ReasonNotFailed {
			return ""
		}
		return "SKIPPED"
	case workflow.TaskCanceled:
		return "CANCELED"
	case workflow.TaskTimedOut:
		if optional {
			return "COMPLETED_WITH_ERRORS"
		}
		return "TIMED_OUT"
	case workflow.TaskFailed, workflow.TaskRetrying:
		switch {
		case optional && s == workflow.TaskFailed:
			return "COMPLETED_WITH_ERRORS"
		case failed != nil && (failed.Code == codeTerminal || failed.Code == "script_failed"):
			return "FAILED_WITH_TERMINAL_ERROR"
		case failed != nil && (failed.Code == codeCanceled || failed.Code == "child_canceled"):
			return "CANCELED"
		case failed != nil && (failed.Code == codeTimedOut || failed.Code == engine.CodeSilent):
			return "TIMED_OUT"
		}
		return "FAILED"
	}
	return ""
}
