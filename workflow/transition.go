package workflow

import "fmt"

// Event names what happens to a task or to an execution.
type Event string

// The events of a task.
const (
	EventReady    Event = "ready"    // its predecessors ended and it was decided to run
	EventClaim    Event = "claim"    // a worker took the dispatch
	EventRelease  Event = "release"  // a draining worker handed it back
	EventLose     Event = "lose"     // its lease ran out, or its job vanished
	EventComplete Event = "complete" // the handler succeeded
	EventFail     Event = "fail"     // the handler failed for good
	EventTimeOut  Event = "time_out" // the attempt ran out of time for good
	EventBackOff  Event = "back_off" // the attempt failed and another will follow
	EventRetry    Event = "retry"    // the back-off is over
	EventSkip     Event = "skip"     // its condition was false, or all it needs were skipped
	EventCancel   Event = "cancel"   // asked for, or nothing can reach it any more
	EventReset    Event = "reset"    // a redrive, or a retry of what holds it, runs it again

	EventSupersede Event = "supersede" // a redrive runs it again while an attempt is under way
	EventPin       Event = "pin"       // a redrive gives its output
	EventPass      Event = "pass"      // a redrive skips it: an operator says so, or it is no part of the execution any more
	EventKeep      Event = "keep"      // a redrive reached it, and it would see the same as before

	EventBegin  Event = "begin"  // of a task that no worker runs: what it holds, or its sub-workflow, begins
	EventArm    Event = "arm"    // of a wait or an approval: it waits
	EventAnswer Event = "answer" // its time came, or somebody answered
	EventRearm  Event = "rearm"  // the back-off of a task that no worker runs is over: it begins again

	EventHandComplete Event = "hand_complete" // an operator says that it succeeded
	EventHandFail     Event = "hand_fail"
	EventHandSkip     Event = "hand_skip"
)

// The events of an execution.
const (
	EventAdmit        Event = "admit" // its start time has come, and a slot is free
	EventPause        Event = "pause"
	EventResume       Event = "resume"
	EventResumeQueued Event = "resume_queued" // resumed before it was admitted
	EventAskCancel    Event = "ask_cancel"
	EventSucceed      Event = "succeed"
	EventEndFailed    Event = "end_failed"
	EventEndCancel    Event = "end_canceled"
	EventExpire       Event = "expire" // its timeout passed
	EventRedrive      Event = "redrive"
	EventQueueRedrive Event = "queue_redrive" // redriven while no slot is free
	EventLiveRedrive  Event = "live_redrive"  // redriven before it ended
)

// TaskTransitions is the whole state machine of a task: event, from, to.
// The Lua scripts in queue/ are held to it by a test.
var TaskTransitions = map[Event]map[TaskStatus]TaskStatus{
	EventReady:    {TaskPending: TaskQueued},
	EventClaim:    {TaskQueued: TaskRunning},
	EventRelease:  {TaskRunning: TaskQueued},
	EventLose:     {TaskQueued: TaskQueued, TaskRunning: TaskQueued},
	EventComplete: {TaskRunning: TaskSucceeded},
	EventFail:     {TaskPending: TaskFailed, TaskQueued: TaskFailed, TaskRunning: TaskFailed},
	EventTimeOut:  {TaskRunning: TaskTimedOut, TaskWaiting: TaskTimedOut},
	EventBackOff:  {TaskRunning: TaskRetrying, TaskWaiting: TaskRetrying},
	EventRetry:    {TaskRetrying: TaskQueued},
	EventSkip:     {TaskPending: TaskSkipped},
	EventCancel: {
		TaskPending: TaskCanceled, TaskQueued: TaskCanceled, TaskRunning: TaskCanceled,
		TaskRetrying: TaskCanceled, TaskWaiting: TaskCanceled,
	},
	EventReset: {
		TaskSucceeded: TaskPending, TaskFailed: TaskPending, TaskTimedOut: TaskPending,
		TaskCanceled: TaskPending, TaskSkipped: TaskPending,
	},
	EventSupersede: {
		TaskQueued: TaskPending, TaskRunning: TaskPending, TaskRetrying: TaskPending, TaskWaiting: TaskPending,
	},
	EventPin:          always(TaskSucceeded),
	EventPass:         always(TaskSkipped),
	EventKeep:         {TaskPending: TaskSucceeded},
	EventBegin:        {TaskPending: TaskRunning},
	EventArm:          {TaskPending: TaskWaiting},
	EventAnswer:       {TaskWaiting: TaskSucceeded},
	EventRearm:        {TaskRetrying: TaskPending},
	EventHandComplete: byHand(TaskSucceeded),
	EventHandFail:     byHand(TaskFailed),
	EventHandSkip:     byHand(TaskSkipped),
}

// always is possible whatever became of a task.
func always(to TaskStatus) map[TaskStatus]TaskStatus {
	all := make(map[TaskStatus]TaskStatus, len(TaskStatuses))
	for _, s := range TaskStatuses {
		all[s] = to
	}
	return all
}

// byHand is possible before a task ended.
func byHand(to TaskStatus) map[TaskStatus]TaskStatus {
	return map[TaskStatus]TaskStatus{TaskPending: to, TaskQueued: to, TaskRunning: to, TaskRetrying: to, TaskWaiting: to}
}

// ExecutionTransitions is the whole state machine of an execution: event, from, to.
var ExecutionTransitions = map[Event]map[ExecutionStatus]ExecutionStatus{
	EventAdmit:        {ExecutionQueued: ExecutionRunning},
	EventPause:        {ExecutionQueued: ExecutionPaused, ExecutionRunning: ExecutionPaused},
	EventResume:       {ExecutionPaused: ExecutionRunning},
	EventResumeQueued: {ExecutionPaused: ExecutionQueued},
	EventAskCancel: {
		ExecutionQueued: ExecutionCanceling, ExecutionRunning: ExecutionCanceling, ExecutionPaused: ExecutionCanceling,
	},
	EventSucceed:   {ExecutionRunning: ExecutionSucceeded, ExecutionPaused: ExecutionSucceeded},
	EventEndFailed: {ExecutionRunning: ExecutionFailed, ExecutionPaused: ExecutionFailed},
	EventEndCancel: {ExecutionCanceling: ExecutionCanceled, ExecutionRunning: ExecutionCanceled, ExecutionPaused: ExecutionCanceled},
	EventExpire:    {ExecutionQueued: ExecutionTimedOut, ExecutionRunning: ExecutionTimedOut, ExecutionPaused: ExecutionTimedOut},
	EventRedrive: {
		ExecutionFailed: ExecutionRunning, ExecutionCanceled: ExecutionRunning,
		ExecutionTimedOut: ExecutionRunning, ExecutionSucceeded: ExecutionRunning,
	},
	EventLiveRedrive: {ExecutionQueued: ExecutionQueued, ExecutionRunning: ExecutionRunning, ExecutionPaused: ExecutionPaused},
	EventQueueRedrive: {
		ExecutionFailed: ExecutionQueued, ExecutionCanceled: ExecutionQueued,
		ExecutionTimedOut: ExecutionQueued, ExecutionSucceeded: ExecutionQueued,
	},
}

// TransitionError says that an event is not possible in a status.
type TransitionError struct {
	Event Event
	From  string
}

func (e *TransitionError) Error() string {
	return fmt.Sprintf("workflow: %s is not possible when %s", e.Event, e.From)
}

// NextTask answers the status of a task after the event, or a *TransitionError.
func NextTask(from TaskStatus, event Event) (TaskStatus, error) {
	if to, ok := TaskTransitions[event][from]; ok {
		return to, nil
	}
	return "", &TransitionError{Event: event, From: string(from)}
}

// NextExecution answers the status of an execution after the event, or a *TransitionError.
func NextExecution(from ExecutionStatus, event Event) (ExecutionStatus, error) {
	if to, ok := ExecutionTransitions[event][from]; ok {
		return to, nil
	}
	return "", &TransitionError{Event: event, From: string(from)}
}
