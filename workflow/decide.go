package workflow

// TaskState is what decisions need to know of a task.
type TaskState struct {
	Status    TaskStatus
	Attempt   int
	Continued bool // it failed, and on_failure says to go on
}

// EndedWell reports whether what needs the task may go on.
func (s TaskState) EndedWell() bool {
	switch s.Status {
	case TaskSucceeded, TaskSkipped:
		return true
	case TaskFailed, TaskTimedOut:
		return s.Continued
	}
	return false
}

// Action is what is to be done with a task that became ready.
type Action string

// The actions.
const (
	ActionRun  Action = "run"
	ActionSkip Action = "skip"
	ActionFail Action = "fail"
	ActionKeep Action = "keep" // it succeeded before, and would see the same
)

// Why a task was skipped or canceled.
const (
	ReasonUpstreamSkipped = "upstream_skipped"
	ReasonConditionFalse  = "condition_false"
	ReasonUpstreamFailed  = "upstream_failed"
	ReasonItemFailed      = "item_failed" // on_item_failure: stop
	ReasonNotFailed       = "not_failed"  // a failure handler of an earlier run
)

// Verdict is a decision about a task, with its reason.
type Verdict struct {
	Action Action
	Reason string // of a skip
	Error  *Error // of a fail
}

// Decide says what becomes of a task all of whose needs ended well. A task all
// of whose needs were skipped is skipped too; then its condition is asked.
// Items and iterations run.
func (p Place) Decide(states func(ref string) TaskState, s Scope) Verdict {
	if p.Inner() {
		return Verdict{Action: ActionRun}
	}
	skipped := len(p.Needs) > 0
	for _, need := range p.SiblingRefs(p.Needs) {
		if states(need).Status != TaskSkipped {
			skipped = false
			break
		}
	}
	if skipped {
		return Verdict{Action: ActionSkip, Reason: ReasonUpstreamSkipped}
	}
	run, err := p.Condition(s)
	switch {
	case err != nil:
		return Verdict{Action: ActionFail, Error: err}
	case !run:
		return Verdict{Action: ActionSkip, Reason: ReasonConditionFalse}
	}
	return Verdict{Action: ActionRun}
}

// Ending is how an execution ends.
type Ending struct {
	Status    ExecutionStatus
	Error     *Error
	Unreached []string // refs that become canceled with ReasonUpstreamFailed, in the order of Nodes
}

// Unreached answers the outermost tasks that are still pending, in the order of Nodes.
func (p *Program) Unreached(states map[string]TaskState) []string {
	var refs []string
	for _, n := range p.Nodes {
		if s := states[n.Path].Status; s == TaskPending || s == "" {
			refs = append(refs, n.Path)
		}
	}
	return refs
}

// End says how an execution ends when none of its tasks is active and none can
// become ready. first is its first final failure.
func (p *Program) End(states map[string]TaskState, first *Error) Ending {
	end := Ending{Status: ExecutionSucceeded, Unreached: p.Unreached(states)}
	canceled := false
	for _, n := range p.Nodes {
		switch s := states[n.Path]; s.Status {
		case TaskFailed, TaskTimedOut:
			if !s.Continued {
				end.Status = ExecutionFailed
			}
		case TaskCanceled:
			canceled = true
		}
	}
	switch {
	case end.Status == ExecutionFailed:
		if end.Error = first; first == nil {
			end.Error = &Error{Code: CodeTaskFailed, Message: "a task failed"}
		}
	case canceled:
		end.Status = ExecutionCanceled
	case len(end.Unreached) > 0:
		end.Status = ExecutionFailed
		end.Error = &Error{Code: CodeUnreached, Message: "nothing failed, but the task " + end.Unreached[0] + " was never reached"}
	}
	return end
}
