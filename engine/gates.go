package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Gate is a task that waits for what AnswerGate hands in.
type Gate struct {
	Ref      string
	Type     string // approval or wait
	Attempt  int
	Message  string          // of an approval
	Schema   json.RawMessage // that the answer must fit; nil = any does
	Since    time.Time
	Deadline *time.Time // when it times out; nil = never
}

// Gates answers the tasks of an execution that wait for an answer, those that wait longest first.
func (e *Engine) Gates(ctx context.Context, id string) ([]Gate, error) {
	x, p, err := e.open(ctx, id)
	if err != nil {
		return nil, err
	}
	recs, err := e.store.Records(ctx, x.ID, nil)
	if err != nil {
		return nil, err
	}
	var gates []Gate
	for ref, rec := range recs {
		if task, ok := p.Place(ref); ok && isGate(task, rec) {
			gates = append(gates, Gate{
				Ref: ref, Type: task.Type, Attempt: rec.Attempt, Since: time.UnixMilli(rec.Started).UTC(), Deadline: at(rec.Limit),
			})
		}
	}
	slices.SortFunc(gates, func(a, b Gate) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Ref, b.Ref)) })
	refs, attempts := make([]string, len(gates)), make([]int, len(gates))
	for i, g := range gates {
		refs[i], attempts[i] = g.Ref, g.Attempt
	}
	values, err := e.store.TaskValues(ctx, x.ID, refs, attempts, true)
	if err != nil {
		return nil, err
	}
	for i := range gates {
		var with struct {
			Message     string          `json:"message"`
			InputSchema json.RawMessage `json:"input_schema"`
		}
		if len(values[i].Input) > 0 {
			if err := json.Unmarshal(values[i].Input, &with); err != nil {
				return nil, fmt.Errorf("engine: the input of %s of %s cannot be read: %w", refs[i], x.ID, err)
			}
		}
		gates[i].Message, gates[i].Schema = with.Message, with.InputSchema
	}
	return gates, nil
}

// isGate reports whether a task waits for what somebody hands in.
func isGate(at workflow.Place, rec Record) bool {
	return rec.Status == workflow.TaskWaiting && (at.Type == workflow.TypeApproval || rec.Due == 0)
}
