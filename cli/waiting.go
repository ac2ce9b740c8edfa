package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/redrive/redrive/client"
)

// mostShown is how many gates and sub-executions of one execution are shown.
const mostShown = 10

// around is what an execution waits for, what failed in it, and the executions that it started.
type around struct {
	gates, failed, children []client.Task
	moreGates               int
	moreFailed              int
	moreChildren            int
}

// around reads the graph for what is worth a look, and then only that.
func (s *session) around(ctx context.Context, x *client.Execution) (*around, error) {
	g, err := s.api.Graph(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	a := &around{}
	for _, n := range g.Nodes {
		if n.Status == client.TaskStatusWaiting {
			err = s.show(ctx, x, n, &a.gates, &a.moreGates)
		}
		if !n.Holds && (n.Status == client.TaskStatusFailed || n.Status == client.TaskStatusTimedOut) {
			err = errors.Join(err, s.show(ctx, x, n, &a.failed, &a.moreFailed))
		}
		if n.Type == "workflow" && !n.Holds && n.Attempt > 0 {
			err = errors.Join(err, s.show(ctx, x, n, &a.children, &a.moreChildren))
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// show reads the task of a node into a list, or only counts it where the list is full.
func (s *session) show(ctx context.Context, x *client.Execution, n client.GraphNode, into *[]client.Task, more *int) error {
	if len(*into) == mostShown {
		*more++
		return nil
	}
	task, err := s.api.Task(ctx, x.ID, n.Ref)
	if err != nil {
		return err
	}
	*into = append(*into, *task)
	return nil
}

// whatFailed lists the tasks that failed, each with its error.
func (a *around) whatFailed(x client.Execution) string {
	if a == nil {
		return ""
	}
	var lines []string
	for _, t := range a.failed {
		lines = append(lines, t.Ref+": "+clip(oneLine(errorText(t.Error)), 300))
	}
	return strings.Join(append(lines, more(x, a.moreFailed)...), "\n")
}

// waitsFor lists the open gates, each with the command that answers it.
func (a *around) waitsFor(p *printer, x client.Execution) string {
	if a == nil {
		return ""
	}
	var lines []string
	for _, t := range a.gates {
		lines = append(lines, t.Ref+": "+gateText(p, t))
		if isOpen(t) {
			lines = append(lines, "  "+answerTo(x, t))
		}
		if schema := gateOf(t).InputSchema; len(schema) > 0 {
			lines = append(lines, "  JSON that fits "+clip(compact(schema), 200))
		}
	}
	return strings.Join(append(lines, more(x, a.moreGates)...), "\n")
}

// answerTo is the command that answers an open gate.
func answerTo(x client.Execution, t client.Task) string {
	return fmt.Sprintf("redrive resume %d --task %s --input JSON", x.Number, quoted(t.Ref))
}

// started lists the sub-executions.
func (a *around) started(p *printer, x client.Execution) string {
	if a == nil {
		return ""
	}
	var lines []string
	for _, t := range a.children {
		if t.Child != "" {
			lines = append(lines, fmt.Sprintf("%s  %s: %s", t.Child, t.Ref, p.style.status(string(t.Status))))
		}
	}
	return strings.Join(append(lines, more(x, a.moreChildren)...), "\n")
}

func more(x client.Execution, n int) []string {
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("… and %d more: redrive execution tasks %d", n, x.Number)}
}

func parentText(x client.Execution) string {
	if x.Parent == nil {
		return ""
	}
	return fmt.Sprintf("%s  its task %s", x.Parent.Execution, x.Parent.Task)
}

// originText says which execution a redrive made this one of.
func originText(x client.Execution) string {
	l := x.Lineage
	if l.Parent == nil || l.Relation == nil || *l.Relation == client.RelationSubWorkflow {
		return ""
	}
	return fmt.Sprintf("%s  this is its %s", *l.Parent, *l.Relation)
}

type gateInput struct {
	Message     string          `json:"message"`
	InputSchema json.RawMessage `json:"input_schema"`
}

// gateOf reads what is said of a waiting task; nothing, where its input is another one.
func gateOf(t client.Task) (g gateInput) {
	if t.Status != client.TaskStatusWaiting || json.Unmarshal(t.Input, &g) != nil {
		return gateInput{}
	}
	return g
}

// isOpen reports whether a waiting task is ended by an input.
func isOpen(t client.Task) bool { return t.Type == "approval" || t.NextAttemptAt == nil }

func gateText(p *printer, t client.Task) string {
	if !isOpen(t) {
		return "waits until " + absolute(*t.NextAttemptAt) + " (" + ago(p.now, *t.NextAttemptAt) + ")"
	}
	if message := gateOf(t).Message; message != "" {
		return clip(message, 300)
	}
	return "waits for an input"
}

// quoted is a ref as a shell takes it.
func quoted(ref string) string {
	if strings.ContainsAny(ref, "[]~") {
		return "'" + ref + "'"
	}
	return ref
}
