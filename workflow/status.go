package workflow

// ExecutionStatus is the status of one run of a workflow.
type ExecutionStatus string

// The statuses of an execution. The last four are final.
const (
	ExecutionQueued    ExecutionStatus = "queued"
	ExecutionRunning   ExecutionStatus = "running"
	ExecutionPaused    ExecutionStatus = "paused"
	ExecutionCanceling ExecutionStatus = "canceling"
	ExecutionSucceeded ExecutionStatus = "succeeded"
	ExecutionFailed    ExecutionStatus = "failed"
	ExecutionCanceled  ExecutionStatus = "canceled"
	ExecutionTimedOut  ExecutionStatus = "timed_out"
)

// ExecutionStatuses lists every execution status in the order of a life.
var ExecutionStatuses = []ExecutionStatus{
	ExecutionQueued, ExecutionRunning, ExecutionPaused, ExecutionCanceling,
	ExecutionSucceeded, ExecutionFailed, ExecutionCanceled, ExecutionTimedOut,
}

// Ended reports whether the execution reached a final status.
func (s ExecutionStatus) Ended() bool {
	switch s {
	case ExecutionSucceeded, ExecutionFailed, ExecutionCanceled, ExecutionTimedOut:
		return true
	}
	return false
}

// TaskStatus is the status of one task of an execution.
type TaskStatus string

// The statuses of a task. The last five are final.
const (
	TaskPending   TaskStatus = "pending"
	TaskQueued    TaskStatus = "queued"
	TaskRunning   TaskStatus = "running"
	TaskRetrying  TaskStatus = "retrying"
	TaskWaiting   TaskStatus = "waiting"
	TaskSucceeded TaskStatus = "succeeded"
	TaskFailed    TaskStatus = "failed"
	TaskTimedOut  TaskStatus = "timed_out"
	TaskCanceled  TaskStatus = "canceled"
	TaskSkipped   TaskStatus = "skipped"
)

// TaskStatuses lists every task status in the order of a life.
var TaskStatuses = []TaskStatus{
	TaskPending, TaskQueued, TaskRunning, TaskRetrying, TaskWaiting,
	TaskSucceeded, TaskFailed, TaskTimedOut, TaskCanceled, TaskSkipped,
}

// Ended reports whether the task reached a final status.
func (s TaskStatus) Ended() bool {
	switch s {
	case TaskSucceeded, TaskFailed, TaskTimedOut, TaskCanceled, TaskSkipped:
		return true
	}
	return false
}

// Active reports whether the task holds its execution open: it was reached and has not ended.
func (s TaskStatus) Active() bool {
	switch s {
	case TaskQueued, TaskRunning, TaskRetrying, TaskWaiting:
		return true
	}
	return false
}
