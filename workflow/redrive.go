package workflow

import (
	"fmt"
	"slices"
)

// RetryPlan is what a retry of an ended execution runs again: the tasks that are
// reset, each with the predecessors it then waits for, and those that start at once.
type RetryPlan struct {
	Reset map[string][]string
	Start []string // sorted
}

// PlanRetry plans to run tasks of an ended execution again, with all that
// depends on them; from = nil means every task that failed, timed out or was
// canceled. Everything else keeps its status and output. A ref that cannot be
// retried is a Problem with the field from[i].
func (p *Program) PlanRetry(from []string, states map[string]TaskState) (RetryPlan, Problems) {
	var problems Problems
	if from == nil {
		for _, n := range p.Nodes {
			if unsuccessful(states[n.Path]) {
				from = append(from, n.Path)
			}
		}
	}
	for i, ref := range from {
		field := fmt.Sprintf("from[%d]", i)
		switch s, known := states[ref]; {
		case !known || p.Node(ref) == nil:
			problems = append(problems, Problem{Field: field, Code: "unknown_ref", Message: fmt.Sprintf("there is no task %q", ref), Allowed: refsOf(p)})
		case !unsuccessful(s) && !s.Continued:
			problems = append(problems, Problem{Field: field, Code: "not_failed", Message: fmt.Sprintf("task %q is %s", ref, s.Status), Allowed: "tasks that failed, timed out or were canceled"})
		}
	}
	if len(problems) > 0 {
		return RetryPlan{}, problems
	}
	again := p.Descendants(from...)
	for _, ref := range from {
		again[ref] = true
	}
	plan := RetryPlan{Reset: make(map[string][]string, len(again))}
	for _, n := range p.Nodes {
		if !again[n.Path] {
			continue
		}
		open := []string{}
		for _, need := range n.Needs {
			if s := states[need]; again[need] || !endedWell(s) {
				open = append(open, need)
			}
		}
		plan.Reset[n.Path] = open
		if len(open) == 0 {
			plan.Start = append(plan.Start, n.Path)
		}
	}
	slices.Sort(plan.Start)
	return plan, nil
}

func unsuccessful(s TaskState) bool {
	switch s.Status {
	case TaskFailed, TaskTimedOut:
		return !s.Continued
	case TaskCanceled:
		return true
	}
	return false
}

func endedWell(s TaskState) bool {
	return s.Status == TaskSucceeded || s.Status == TaskSkipped || s.Continued
}

func refsOf(p *Program) string {
	const shown = 20
	text := ""
	for i, n := range p.Nodes {
		if i == shown {
			return text + ", ..."
		}
		if i > 0 {
			text += ", "
		}
		text += n.Path
	}
	return text
}
