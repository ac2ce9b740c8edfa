package workflow

import "fmt"

// Inner is the state of a task inside another, as its end needs it.
type Inner struct {
	Ref string
	TaskState
	Error *Error // of one that failed or timed out, where it is known
}

// Closing is how a task that holds others goes on once they rest.
type Closing struct {
	Again     bool       // another iteration follows
	Status    TaskStatus // succeeded or failed, where none does
	Error     *Error
	Unreached []string // refs inside that become canceled
	Reason    string   // why
}

// Close says how a task ends when nothing in it runs or can become ready. inner
// is what it holds directly, in order: of a loop its last iteration, the end of
// which ended says (`until` was true, or there is none and it was the last).
func (p Place) Close(inner []Inner, ended func() (bool, *Error)) Closing {
	c := Closing{Status: TaskSucceeded, Reason: ReasonUpstreamFailed}
	var failed []Inner
	canceled := ""
	for _, t := range inner {
		switch t.Status {
		case TaskPending, "":
			c.Unreached = append(c.Unreached, t.Ref)
		case TaskFailed, TaskTimedOut:
			if !t.Continued {
				failed = append(failed, t)
			}
		case TaskCanceled:
			canceled = t.Ref
		}
	}
	switch {
	case len(failed) > 0:
		c.Status, c.Error = TaskFailed, p.failure(failed, len(inner))
	case canceled != "":
		c.Status, c.Error = TaskFailed, &Error{Code: CodeInnerCanceled, Message: canceled + " was canceled"}
	case len(c.Unreached) > 0:
		c.Status, c.Error = TaskFailed, &Error{Code: CodeUnreached, Message: "nothing failed, but " + c.Unreached[0] + " was never reached"}
	case p.Role == RoleLoop:
		p.closeLoop(&c, inner, ended)
	}
	if p.Role == RoleEach {
		c.Reason = ReasonItemFailed
	}
	return c
}

func (p Place) closeLoop(c *Closing, inner []Inner, ended func() (bool, *Error)) {
	done, bad := ended()
	_, number := iterationOf(inner)
	switch {
	case bad != nil:
		c.Status, c.Error = TaskFailed, bad
	case done:
	case number < p.Iterations():
		c.Again = true
	case p.until != nil:
		c.Status, c.Error = TaskFailed, &Error{Code: CodeLoopExhausted, Message: fmt.Sprintf("until was not true after %d iterations of %s", number, p.Ref)}
	}
}

func iterationOf(inner []Inner) (string, int) {
	if len(inner) == 0 {
		return "", 0
	}
	last := inner[len(inner)-1].Ref
	var n int
	_, _ = fmt.Sscanf(Key(last), "%d", &n)
	return last, n
}

// Iterations is how often a loop runs at the most.
func (n *Node) Iterations() int {
	if n.Task.MaxIterations > 0 {
		return n.Task.MaxIterations
	}
	return n.limits.Iterations
}

// failure is the error of a task in which others failed: of a for_each how many
// of its items, of others what failed first; it belongs to the group of failures of what failed first.
func (p Place) failure(failed []Inner, all int) *Error {
	first := failed[0].Error
	if first == nil {
		first = &Error{Code: CodeTaskFailed, Message: "it failed"}
	}
	if p.Role != RoleEach {
		return &Error{Code: first.Code, Message: failed[0].Ref + ": " + first.Message, Retryable: first.Retryable, Fingerprint: first.Fingerprint}
	}
	return &Error{
		Code: CodeItemsFailed, Retryable: first.Retryable, Fingerprint: first.Fingerprint,
		Message: fmt.Sprintf("%d of %d items failed; the first: %s: %s: %s", len(failed), all, failed[0].Ref, first.Code, first.Message),
	}
}

// Ended evaluates `until` of a loop. A loop without one ends by its bound only.
func (n *Node) Ended(s Scope) (bool, *Error) {
	if n.until == nil {
		return false, nil
	}
	answer, err := n.until.truth(newEvaluation(&s))
	if err != nil {
		return false, expressionError("until", n.until.source, err)
	}
	return answer, nil
}
