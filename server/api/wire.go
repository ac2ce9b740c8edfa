package api

import (
	"encoding/json"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// This file turns the engine's values into the wire's, and nothing else does.

// each maps a list; the result is never nil, so it is [] on the wire.
func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

func wireProject(p engine.Project) Project {
	return Project{Name: p.Name, Description: p.Description, CreatedAt: p.CreatedAt}
}

// description reads the one field of a definition that lists show.
func description(definition json.RawMessage) string {
	var d struct {
		Description string `json:"description"`
	}
	if json.Unmarshal(definition, &d) != nil {
		return ""
	}
	return d.Description
}

func wireSummary(w engine.Workflow) WorkflowSummary {
	return WorkflowSummary{
		Project: w.Project, Name: w.Name, Version: w.Version, Hash: w.Hash,
		Description: description(w.Definition), CreatedAt: w.CreatedAt,
	}
}

func wireWorkflow(w engine.Workflow) Workflow {
	return Workflow{
		Project: w.Project, Name: w.Name, Version: w.Version, Hash: w.Hash, Description: description(w.Definition),
		CreatedAt: w.CreatedAt, Definition: w.Definition, Source: w.Source,
	}
}

func wirePublished(r engine.PublishResult) Published {
	w := wireWorkflow(r.Workflow)
	return Published{
		Project: w.Project, Name: w.Name, Version: w.Version, Hash: w.Hash, Description: w.Description,
		CreatedAt: w.CreatedAt, Definition: w.Definition, Source: w.Source,
		Created: r.Created, Warnings: each(r.Warnings, wireField),
	}
}

func wireField(p workflow.Problem) FieldError {
	return FieldError{Field: p.Field, Code: p.Code, Message: p.Message, Allowed: p.Allowed, Line: p.Line, Column: p.Column}
}

func wireError(e *workflow.Error) *TaskError {
	if e == nil {
		return nil
	}
	return &TaskError{Code: e.Code, Message: e.Message, Retryable: e.Retryable, Fingerprint: e.Fingerprint}
}

func wireExecution(x engine.Execution) Execution {
	summary := make(map[string]int, len(x.TasksSummary))
	for status, n := range x.TasksSummary {
		summary[string(status)] = n
	}
	wire := Execution{
		ID: x.ID, Number: x.Number, Project: x.Project, Workflow: x.Workflow, Version: x.Version,
		Status: ExecutionStatus(x.Status), Input: x.Input, Output: x.Output, Error: wireError(x.Error),
		CorrelationID: x.CorrelationID, Metadata: x.Metadata, Labels: x.Labels, Priority: x.Priority,
		Redrives: x.Redrives, Revision: x.Revision, Reason: x.Reason,
		CreatedAt: x.CreatedAt, StartedAt: x.StartedAt, EndedAt: x.EndedAt, TasksSummary: summary,
	}
	wire.Lineage.Root = x.Root
	if p := x.Parent; p != nil {
		relation := RelationSubWorkflow
		wire.Parent = &Parent{Execution: p.Execution, Task: p.Task}
		wire.Lineage.Parent, wire.Lineage.Relation = &p.Execution, &relation
	}
	if o := x.Origin; o != nil {
		relation := LineageRelation(o.Relation)
		wire.Lineage.Parent, wire.Lineage.Relation = &o.Execution, &relation
	}
	if !x.StartAt.IsZero() {
		at := x.StartAt.UTC()
		wire.StartAt = &at
	}
	if s := x.Session; s != nil {
		wire.Session, wire.SessionTime, wire.SessionAttempt, wire.AttemptName = s.Number, &s.Time, s.Attempt, s.AttemptName
	}
	return wire
}

func wireSession(s engine.Session) Session {
	wire := Session{Number: s.Number, Workflow: s.Workflow, SessionTime: s.Time, Attempts: s.Attempts}
	if s.Last != nil {
		last := wireExecution(*s.Last)
		wire.Last = &last
	}
	return wire
}

func wireTask(t engine.Task) Task {
	return Task{
		Ref: t.Ref, Name: t.Name, Type: t.Type, Needs: each(t.Needs, same), Status: TaskStatus(t.Status), Reason: t.Reason,
		Attempt: t.Attempt, Dispatch: t.Dispatch, Try: t.Try, MaxAttempts: t.MaxAttempts,
		Input: t.Input, Output: t.Output, Error: wireError(t.Error), Progress: t.Progress, Queue: t.Queue, Worker: t.Worker,
		Effects: string(t.Effects), QueuedAt: t.QueuedAt, StartedAt: t.StartedAt, EndedAt: t.EndedAt,
		NextAttemptAt: t.NextAttemptAt, Redrive: t.Redrive, Size: t.Size, Child: t.Child,
	}
}

func same[T any](v T) T { return v }

func wireAttempt(a engine.Attempt) Attempt {
	return Attempt{
		Attempt: a.Attempt, Redrive: a.Redrive, Status: TaskStatus(a.Status), Input: a.Input, Output: a.Output,
		Error: wireError(a.Error), Reason: a.Reason, Progress: a.Progress, Worker: a.Worker, Dispatch: a.Dispatch, Queue: a.Queue,
		QueuedAt: a.QueuedAt, StartedAt: a.StartedAt, EndedAt: a.EndedAt,
	}
}

func wireEvent(e engine.Event) Event {
	return Event{
		Seq: e.Seq, At: e.At, Type: e.Type, Ref: e.Ref, Attempt: e.Attempt,
		Status: e.Status, By: e.By, Reason: e.Reason,
	}
}

func wireGraph(g *engine.Graph) Graph {
	return Graph{
		Nodes: each(g.Nodes, func(n engine.GraphNode) GraphNode {
			return GraphNode{Ref: n.Ref, Name: n.Name, Type: n.Type, Status: TaskStatus(n.Status), Attempt: n.Attempt, Inside: n.Inside, Holds: n.Holds}
		}),
		Edges: each(g.Edges, func(e engine.GraphEdge) GraphEdge { return GraphEdge{From: e.From, To: e.To} }),
	}
}

func wireQueue(q engine.Queue) Queue {
	return Queue{
		Name: q.Name, Paused: q.Paused, Pending: q.Pending, Active: q.Active, Scheduled: q.Scheduled, Retry: q.Retry,
		Archived: q.Archived, Latency: q.Latency.Round(time.Millisecond).String(), Workers: q.Workers,
	}
}

func wireWorker(w engine.Worker) Worker {
	queues := w.Queues
	if queues == nil {
		queues = map[string]int{}
	}
	return Worker{
		ID: w.ID, Host: w.Host, Pid: w.PID, Queues: queues, Types: each(w.Types, same), Concurrency: w.Concurrency,
		Running: w.Running, Draining: w.Draining, Version: w.Version, StartedAt: w.StartedAt, SeenAt: w.SeenAt, Remote: w.Remote,
	}
}

func wireKey(k engine.Key) Key {
	return Key{
		ID: k.ID, Name: k.Name, Scope: Scope(k.Scope), Projects: each(k.Projects, same),
		CreatedAt: k.CreatedAt, RevokedAt: k.RevokedAt,
	}
}
