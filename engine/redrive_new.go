package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Adoption is an execution that a redrive makes from another one: what stays is carried over.
type Adoption struct {
	Execution
	From   string            // the execution that it is made from
	Writer string            // tells this adoption from others under the same id: only the commit that has it as its hold lets the execution run
	Tasks  map[string]Record // in it: ended ones with their values, under attempt 1, and pending ones
	Of     map[string]int    // which attempt of From each ended one is
	Items  []string          // refs of for_each tasks, and of items, whose lists and contexts are carried over
}

// redriveAnew makes a new execution of a planned redrive: results that stay are carried over, the rest runs.
func (e *Engine) redriveAnew(ctx context.Context, m *redriving, id string) (*Execution, error) {
	f := m.factsOf(m.asked.ID)
	a, steps := m.adoption(id, f)
	var err error
	if a.Writer, err = newID(); err != nil {
		return nil, err
	}
	if err := e.keepsGiven(ctx, f, steps); err != nil {
		return nil, err
	}
	if a.Number, err = e.store.Number(ctx); err != nil {
		return nil, err
	}
	entry := Entry{Project: a.Project, Workflow: a.Workflow, Execution: id, Number: a.Number, WhenFull: m.r.WhenFull, Tasks: len(a.Tasks)}
	if err := e.nextAttempt(ctx, m, &entry); err != nil {
		return nil, err
	}
	got, err := e.enter(ctx, entry)
	if err != nil {
		return nil, err
	}
	if entry.Session != nil {
		entry.Session.Number, entry.Session.Attempt = got.Session, got.Attempt
		a.Session = entry.Session
	}
	if err := e.adopt(ctx, a); err != nil {
		return nil, err
	}
	switch source, err := e.store.Execution(ctx, f.x.ID, false); {
	case errors.Is(err, ErrGone):
		return nil, NotFound("execution", f.x.ID)
	case err != nil:
		return nil, err
	case source.Redrives != f.x.Redrives: // what was carried over may be of another redrive than what was planned
		return nil, ErrMoved
	}
	record, err := m.record(f, true)
	if err != nil {
		return nil, err
	}
	part := CommitPart{
		Execution: id, Epoch: -1, Revision: 0, By: m.r.By, Reason: m.r.Reason, Waits: got.Waits, Till: got.Till,
		Deadline: f.deadline(), Record: record, Steps: steps, Grows: grows(steps), Hold: a.Writer,
	}
	if needs := StepNeeds; !applyAtOnce(steps, &needs) {
		if part.Written, err = e.store.Write(ctx, id, a.Writer, nil, steps); err != nil {
			return nil, err
		}
	}
	applied, _, err := e.store.Commit(ctx, Commit{Token: id, Draft: a.Writer, Parts: []CommitPart{part}})
	var status *StatusError
	switch {
	case errors.Is(err, ErrGone):
		return nil, ErrMoved // another call with the same key swept it away
	case errors.Is(err, ErrMoved) && !got.Till.IsZero():
		now, timed := e.store.Time(ctx)
		if timed != nil {
			return nil, timed
		}
		if now.After(got.Till) {
			return nil, late("redrive")
		}
		return nil, err // another call with the same key made it its own
	case errors.Is(err, ErrValuesFull):
		return nil, valuesLimit("the new execution")
	case errors.As(err, &status): // another call with the same key was first
	case err != nil:
		return nil, err
	}
	for _, one := range applied {
		e.redriven(ctx, one)
	}
	e.metrics.started()
	return e.Execution(ctx, id)
}

// keepsGiven adds to steps the inputs that earlier redrives gave to their tasks, and this one does not.
func (e *Engine) keepsGiven(ctx context.Context, f *facts, steps []workflow.Step) error {
	for i := range steps {
		s := &steps[i]
		if s.Given != nil || f.recs[s.Ref].Given == "" {
			continue
		}
		given, err := e.store.Given(ctx, f.x.ID, s.Ref)
		if err != nil {
			return err
		}
		text := string(given)
		s.Given = &text
	}
	return nil
}

// adopt makes the new execution, as one that has ended. What another call with the same key
// made is left to it for a moment; when it did not get further, it is swept away.
func (e *Engine) adopt(ctx context.Context, a Adoption) error {
	for wait := time.Millisecond; ; wait *= 2 {
		x, err := e.store.Execution(ctx, a.ID, false)
		switch {
		case errors.Is(err, ErrGone):
			return e.store.Adopt(ctx, a)
		case err != nil:
			return err
		case x.Redrives >= 0:
			return ErrMoved
		case wait > adoptedByAnother:
			if err := e.store.Purge(ctx, a.ID, true); err != nil {
				return err
			}
			return e.store.Adopt(ctx, a)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// adoptedByAnother is about how long a call is waited for that makes the same new execution.
const adoptedByAnother = 500 * time.Millisecond

// nextAttempt makes the new execution the next attempt of its session.
func (e *Engine) nextAttempt(ctx context.Context, m *redriving, entry *Entry) error {
	s := m.asked.Session
	if s == nil {
		return nil
	}
	name := m.r.AttemptName
	if name == "" {
		session, err := e.store.Session(ctx, m.asked.Project, s.Number)
		if err != nil {
			return err
		}
		if session != nil {
			name = fmt.Sprintf("retry-%d", session.Attempts+1)
		}
	}
	entry.Session = &SessionPlace{Number: s.Number, Time: s.Time, AttemptName: name}
	return nil
}

// adoption is the new execution before the steps are applied, and these.
func (m *redriving) adoption(id string, f *facts) (Adoption, []workflow.Step) {
	c := m.caseOf(m.asked.ID)
	x := f.x
	a := Adoption{From: x.ID, Tasks: map[string]Record{}, Of: map[string]int{}}
	a.Execution = Execution{
		ID: id, Project: x.Project, Workflow: x.Workflow, Version: m.version, DefinitionHash: f.p.Hash, Input: x.Input,
		CorrelationID: x.CorrelationID, Metadata: x.Metadata, Labels: x.Labels, Priority: x.Priority, Root: x.Root, Timeout: x.Timeout,
		Origin: &Origin{Execution: x.ID, Relation: RelationRetry},
	}
	if m.r.Operation != workflow.OperationRetry {
		a.Origin.Relation = RelationRerun
	}
	if m.input != nil {
		a.Input = m.input
	}
	if m.r.CorrelationID != nil {
		a.CorrelationID = *m.r.CorrelationID
	}
	if m.r.Priority != 0 {
		a.Priority = m.r.Priority
	}
	if m.r.Metadata != nil {
		a.Metadata = m.r.Metadata
	}
	for _, row := range m.planned.Plan.Tasks {
		rec := f.recs[row.Ref]
		if row.Action != workflow.PlanKeep && !row.Stays || !rec.Status.Ended() {
			continue
		}
		if rec.Attempt > 0 {
			a.Of[row.Ref] = rec.Attempt
			rec.Attempt = 1
		}
		a.Tasks[row.Ref] = Record{
			Status: rec.Status, Attempt: rec.Attempt, Dispatch: min(rec.Dispatch, 1), Try: rec.Try, Reason: rec.Reason, Continued: rec.Continued,
			Queued: rec.Queued, Started: rec.Started, Ended: rec.Ended, Control: rec.Control, Size: rec.Size, Hash: rec.Hash, Given: rec.Given,
		}
	}
	var steps []workflow.Step
	for _, s := range m.planned.Parts[0].Steps {
		at, ok := c.Target.Place(s.Ref)
		if !ok || s.Reason == workflow.ReasonNotInside || s.Ref == workflow.HandlersPath || workflow.Within(workflow.HandlersPath, s.Ref) {
			continue
		}
		if s.Do == workflow.StepReset && s.Mode == "" {
			continue // what holds it runs as a whole, and makes it anew
		}
		s.Attempt, s.Status = 0, workflow.TaskPending
		steps = append(steps, s)
		a.Tasks[s.Ref] = Record{Status: workflow.TaskPending}
		if at.Role == workflow.RoleEach && s.Keep != workflow.KeepNothing {
			a.Items = append(a.Items, s.Ref)
		}
	}
	for ref, rec := range a.Tasks {
		if at, _ := c.Target.Place(ref); at.Role == workflow.RoleEach && rec.Status.Ended() || at.Item {
			a.Items = append(a.Items, ref)
		}
	}
	slices.Sort(a.Items)
	a.Items = slices.Compact(a.Items)
	return a, steps
}
