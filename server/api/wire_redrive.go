package api

import (
	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// This file is wire.go for redrives and what they lead to.

func wirePlan(p workflow.Plan) Plan {
	wire := Plan{
		Operation: RedriveOperation(p.Operation), Execution: p.Execution, Revision: p.Revision, Identity: RedriveIdentity(p.Identity),
		PlanHash: p.PlanHash, Tasks: each(p.Tasks, wirePlanRow), InputDiff: p.InputDiff,
		Warnings: each(p.Warnings, same), Acknowledge: each(p.Acknowledge, same),
	}
	if d := p.DefinitionDiff; d != nil {
		wire.DefinitionDiff = &DefinitionDiff{
			From: d.From, To: d.To, Added: each(d.Added, same), Removed: each(d.Removed, same), Changed: each(d.Changed, same),
		}
	}
	return wire
}

func wirePlanRow(r workflow.PlanRow) PlanRow {
	return PlanRow{
		Ref: r.Ref, Action: PlanRowAction(r.Action), Reason: r.Reason, Status: TaskStatus(r.Status),
		Attempt: r.Attempt, InputDiff: r.InputDiff, Effects: string(r.Effects),
	}
}

func wireRedriven(r engine.Redriven) Redriven {
	wire := Redriven{
		Number: r.Number, Operation: RedriveOperation(r.Operation), At: r.At, By: r.By, Reason: r.Reason, Request: r.Request,
		Kept: r.Kept, Definition: r.Definition, Version: r.Version, Into: r.Into,
	}
	if r.Plan != nil {
		p := wirePlan(*r.Plan)
		wire.Plan = &p
	}
	return wire
}

func wireLineage(l engine.Lineage) LineageTree {
	return LineageTree{Root: l.Root, Truncated: l.Truncated, Nodes: each(l.Nodes, func(n engine.LineageNode) LineageNode {
		return LineageNode{
			Execution: n.Execution, Number: n.Number, Workflow: n.Workflow, Version: n.Version, Status: ExecutionStatus(n.Status),
			Parent: nonZero(n.Parent), Relation: nonZero(LineageRelation(n.Relation)), Task: n.Task,
			Redrives: n.Redrives, CreatedAt: n.CreatedAt, EndedAt: n.EndedAt,
		}
	})}
}

func wireComparison(c engine.Compared) Comparison {
	return Comparison{
		A: wireSide(c.A), B: wireSide(c.B), Input: c.Input, Output: c.Output, Error: c.Error, Definition: c.Definition, Truncated: c.Truncated,
		Tasks: each(c.Tasks, func(t engine.TaskPair) TaskPair {
			return TaskPair{
				Ref: t.Ref, A: wireTaskSide(t.A, t.DurationA), B: wireTaskSide(t.B, t.DurationB),
				Input: t.Input, Output: t.Output, Error: t.Error,
			}
		}),
	}
}

func wireSide(s engine.Side) Side {
	return Side{
		Execution: s.Execution, Ref: s.Ref, Attempt: s.Attempt, Redrive: s.Redrive, Version: s.Version,
		Status: s.Status, DurationSeconds: nonZero(s.Duration), Error: wireError(s.Error),
	}
}

func wireTaskSide(status workflow.TaskStatus, duration float64) *TaskSide {
	if status == "" {
		return nil
	}
	return &TaskSide{Status: TaskStatus(status), DurationSeconds: nonZero(duration)}
}

// nonZero is null on the wire for what is not there.
func nonZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
