package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Redriven is one redrive of an execution, as its history keeps it.
type Redriven struct {
	Number     int                `json:"number,omitempty"` // of this execution; 0 = it made another one
	Operation  workflow.Operation `json:"operation"`
	At         time.Time          `json:"at"`
	By         string             `json:"by,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	Request    json.RawMessage    `json:"request"`        // of a part of another execution none
	Plan       *workflow.Plan     `json:"plan,omitempty"` // its rows without keep and leave_running; of a part of another execution none
	Kept       int                `json:"kept"`           // how many of these there were
	Definition string             `json:"definition"`
	Version    int                `json:"version"`
	Into       string             `json:"into,omitempty"` // of a redrive into a new execution: its id
	IntoNumber int64              `json:"into_number,omitempty"`
}

// childHeader is what a sub-execution goes on with when its task begins.
type childHeader struct {
	Epoch  int               `json:"epoch"`
	By     string            `json:"by,omitempty"`
	Reason string            `json:"reason,omitempty"`
	Record json.RawMessage   `json:"record"`
	Input  json.RawMessage   `json:"input,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	Grows  int               `json:"grows,omitempty"`
}

const maxLiveParts = 20

// commit makes a planned redrive come true.
func (e *Engine) commit(ctx context.Context, m *redriving, token, hold string) error {
	draft, err := newID() // another call for the same must not write into this one's steps
	if err != nil {
		return err
	}
	c := Commit{Token: token, Draft: draft}
	needs := StepNeeds
	parts := m.planned.Parts
	for _, p := range slices.Backward(parts) { // what is written inside others is named in them
		if p.Task != "" {
			if err := e.writeChild(ctx, m, p, draft); err != nil {
				return err
			}
			continue
		}
		if p != parts[0] && !p.Moves() {
			continue
		}
		part, err := e.partOf(ctx, m, p, draft, applyAtOnce(p.Steps, &needs))
		if err != nil {
			return err
		}
		if f := m.cases[p.Case]; f.x == m.top {
			part.Hold = hold
		}
		c.Parts = append(c.Parts, part)
	}
	if len(c.Parts) > maxLiveParts {
		return cannot(workflow.Problem{
			Field: "from", Code: "too_many", Message: fmt.Sprintf("reaches into %d executions that run", len(c.Parts)), Allowed: fmt.Sprintf("at most %d", maxLiveParts),
		})
	}
	applied, _, err := e.store.Commit(ctx, c)
	var status *StatusError
	switch {
	case errors.As(err, &status):
		return ErrMoved
	case errors.Is(err, ErrGone):
		return NotFound("execution", m.top.ID)
	case errors.Is(err, ErrValuesFull):
		return valuesLimit("execution " + m.top.ID)
	case err != nil:
		return err
	}
	e.cleared(ctx, m)
	for _, a := range applied {
		e.redriven(ctx, a)
	}
	return nil
}

// applyAtOnce reports whether a commit applies the steps of a part itself, which leaves it as many needs fewer for
// others. Else they are written before, and hold only for the execution exactly as it was planned.
func applyAtOnce(steps []workflow.Step, needs *int) bool {
	of := 0
	for _, s := range steps {
		of += len(s.Needs) + len(s.Others)
	}
	if len(steps) > StepSize || of > *needs {
		return false
	}
	*needs -= of
	return true
}

// partOf makes a part of a plan ready that is committed: with its steps, or with a list of them that is written before.
func (e *Engine) partOf(ctx context.Context, m *redriving, p *workflow.Part, draft string, atOnce bool) (CommitPart, error) {
	f := m.cases[p.Case]
	record, err := m.record(f, p == m.planned.Parts[0])
	if err != nil {
		return CommitPart{}, err
	}
	part := CommitPart{
		Execution: f.x.ID, Epoch: f.x.Redrives, Revision: f.x.Revision, By: m.r.By, Reason: m.r.Reason, Live: !f.x.Status.Ended(),
		Deadline: f.deadline(), Record: record, Steps: p.Steps, Grows: m.grows(p), Fields: map[string]string{},
	}
	if f.x.ID == m.asked.ID {
		part.Input, part.Fields = m.input, m.fields(f)
	}
	if !atOnce {
		if part.Written, err = e.store.Write(ctx, f.x.ID, draft, nil, p.Steps); err != nil {
			return part, err
		}
	} else if part.Live {
		part.Revision = -1
	}
	if part.Live {
		return part, nil
	}
	entry := Entry{Project: f.x.Project, Workflow: f.x.LimitedBy(), Execution: f.x.ID, Number: f.x.Number, Epoch: f.x.Redrives + 1, Tasks: len(f.recs)}
	if f.x.ID == m.asked.ID {
		entry.WhenFull = m.r.WhenFull
	}
	got, err := e.enter(ctx, entry)
	part.Waits, part.Till = got.Waits, got.Till
	return part, err
}

// writeChild keeps the steps that a sub-execution goes on with when its task begins.
func (e *Engine) writeChild(ctx context.Context, m *redriving, p *workflow.Part, draft string) error {
	f := m.cases[p.Case]
	record, err := m.record(f, false)
	if err != nil {
		return err
	}
	h := childHeader{Epoch: f.x.Redrives, By: m.r.By, Reason: m.r.Reason, Record: record, Grows: m.grows(p)}
	if f.x.ID == m.asked.ID {
		h.Input, h.Fields = m.input, m.fields(f)
	}
	header, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("engine: encoding a redrive: %w", err)
	}
	if _, err := e.store.Write(ctx, f.x.ID, draft, header, p.Steps); err != nil {
		return err
	}
	for i := range p.Above.Steps {
		if s := &p.Above.Steps[i]; s.Ref == p.Task && s.Child == f.x.ID {
			s.Plan = draft
		}
	}
	return nil
}

// checkRoom refuses to give an execution, or a part of it, more than it may hold: one that
// goes on only when its task begins could not refuse it any more.
func (e *Engine) checkRoom(ctx context.Context, m *redriving) error {
	if m.r.Identity == workflow.NewExecution {
		return nil // what it will hold is known when it is made
	}
	for _, p := range m.planned.Parts {
		more := m.grows(p)
		if more == 0 {
			continue
		}
		id := m.cases[p.Case].x.ID
		size, err := e.store.ValuesSize(ctx, id)
		if err != nil {
			return err
		}
		if size+more > ValuesBytes {
			return valuesLimit("execution " + id)
		}
	}
	return nil
}

func valuesLimit(of string) *Error {
	return Conflict("values_limit", "with what the redrive gives, the inputs and outputs of %s would have more than %d MiB", of, ValuesBytes>>20)
}

// grows is by how many bytes the values of an execution grow at most.
func (m *redriving) grows(p *workflow.Part) int {
	bytes := grows(p.Steps)
	if m.cases[p.Case].x.ID == m.asked.ID {
		bytes += len(m.input)
	}
	return bytes
}

func grows(steps []workflow.Step) (bytes int) {
	for _, s := range steps {
		bytes += len(s.Output)
		if s.Given != nil {
			bytes += len(*s.Given)
		}
	}
	return bytes
}

// fields are those of the execution that change.
func (m *redriving) fields(f *facts) map[string]string {
	fields := map[string]string{}
	if m.target.Hash != f.x.DefinitionHash {
		fields["definition"], fields["version"] = m.target.Hash, itoa(m.version)
		former := append(slices.Clone(f.x.Definitions), FormerDefinition{Last: f.x.Redrives, Version: f.x.Version, Hash: f.x.DefinitionHash})
		fields["definitions"] = encoded(former)
	}
	if m.r.CorrelationID != nil && *m.r.CorrelationID != f.x.CorrelationID {
		fields["correlation_id"] = *m.r.CorrelationID
		if f.x.CorrelationID != "" {
			fields["correlations"] = encoded(append(slices.Clone(f.x.Correlations), f.x.CorrelationID))
		}
	}
	if m.r.Priority != 0 && f.x.Status.Ended() { // while it runs, its jobs wait in the lane of its priority
		fields["priority"] = itoa(m.r.Priority)
	}
	if m.r.Metadata != nil {
		fields["metadata"] = encoded(m.r.Metadata)
	}
	return fields
}

// encoded is a value of strings and numbers as JSON.
func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// record is what the history of an execution keeps of the redrive.
func (m *redriving) record(f *facts, withPlan bool) (json.RawMessage, error) {
	request, err := json.Marshal(m.r.Redrive)
	if err != nil {
		return nil, fmt.Errorf("engine: encoding a redrive: %w", err)
	}
	if !withPlan && f.x.ID != m.asked.ID {
		request = nil // it is with the execution that was asked, once
	}
	r := Redriven{
		Number: f.x.Redrives + 1, Operation: m.r.Operation, By: m.r.By, Reason: m.r.Reason, Request: request, Definition: f.p.Hash, Version: f.x.Version,
	}
	if f.x.ID == m.asked.ID {
		r.Version = m.version
	}
	if m.r.Identity == workflow.NewExecution {
		r.Number = 0
	}
	if withPlan {
		plan := m.planned.Plan
		plan.Tasks = nil
		for _, row := range m.planned.Plan.Tasks {
			if row.Action == workflow.PlanKeep || row.Action == workflow.PlanLeaveRunning {
				r.Kept++
				continue
			}
			plan.Tasks = append(plan.Tasks, row)
		}
		r.Plan = &plan
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("engine: encoding a redrive: %w", err)
	}
	return b, nil
}

// redriven does what follows from steps that were applied. What is not done now, a sweep does.
func (e *Engine) redriven(ctx context.Context, a Applied) {
	e.documents.Remove(a.Execution)
	d, p, err := e.document(ctx, a.Execution)
	if err != nil {
		e.log.Warn("a redriven execution could not be read; a sweep goes on with it", "execution", a.Execution, "error", err)
		return
	}
	e.superseded(ctx, d, p, a)
	e.indexed(ctx, a.Execution)
	e.follow(ctx, a.Execution, d, p, a.Settled)
}

// superseded takes back the jobs of attempts that were superseded, and tells their workers.
func (e *Engine) superseded(ctx context.Context, d *Document, p *program, a Applied) {
	if len(a.Out) == 0 {
		return
	}
	if err := e.store.PublishCancel(ctx, a.Execution); err != nil {
		e.log.Warn("workers could not be told of superseded attempts; their next heartbeat will", "execution", a.Execution, "error", err)
	}
	var jobs []Job
	for _, f := range a.Out {
		if at, ok := p.Place(f.Ref); ok {
			jobs = append(jobs, job(d, at.Node, f))
		}
	}
	e.recallAll(ctx, jobs)
}

// applyRest applies what is left of a redrive that was committed.
func (e *Engine) applyRest(ctx context.Context, a *Agenda, p *program) error {
	for {
		applied, more, err := e.store.Apply(ctx, a.ID, a.Epoch)
		if err != nil {
			return err
		}
		d := documentOf(a)
		e.superseded(ctx, d, p, applied)
		e.relay(ctx, d, p, applied.Relay)
		if !more {
			return nil
		}
	}
}

// cleared removes the archived jobs of attempts that a redrive superseded: to run one by hand would mean nothing any more.
func (e *Engine) cleared(ctx context.Context, m *redriving) {
	var jobs []Job
	for _, p := range m.planned.Parts {
		f := m.cases[p.Case]
		d := &Document{Priority: f.x.Priority, Project: f.x.Project}
		for _, s := range p.Steps {
			rec := f.recs[s.Ref]
			at, ok := p.Case.Program.Place(s.Ref)
			if !ok || rec.Attempt == 0 || rec.Control != "" || (rec.Status != workflow.TaskFailed && rec.Status != workflow.TaskTimedOut) {
				continue
			}
			jobs = append(jobs, job(d, at.Node, Fence{Execution: f.x.ID, Ref: s.Ref, Attempt: rec.Attempt, Dispatch: rec.Dispatch}))
		}
	}
	e.recallAll(ctx, jobs)
}

// resumeChild lets the sub-execution of a task go on that a redrive reopened, once.
func (e *Engine) resumeChild(ctx context.Context, u *undecided) error {
	n, err := e.store.RedriveOf(ctx, u.rec.Child, u.rec.Plan)
	if n > 0 || err != nil {
		return err
	}
	raw, rows, err := e.store.Header(ctx, u.rec.Child, u.rec.Plan)
	if errors.Is(err, ErrGone) {
		return nil // whoever took it applies it
	}
	if err != nil {
		return err
	}
	var h childHeader
	if err := json.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("engine: what %s of %s goes on with cannot be read: %w", u.at.Ref, u.a.ID, err)
	}
	x, err := e.store.Execution(ctx, u.rec.Child, false)
	if err != nil {
		return harmless(err)
	}
	p, err := e.program(ctx, x.Project, x.DefinitionHash, x.ID)
	if err != nil {
		return err
	}
	part := CommitPart{
		Execution: x.ID, Epoch: h.Epoch, Revision: -1, By: h.By, Reason: h.Reason, Deadline: x.timeout(p),
		Record: h.Record, Input: h.Input, Fields: maps.Clone(h.Fields), Written: rows, Grows: h.Grows,
	}
	got, err := e.enter(ctx, Entry{Project: x.Project, Workflow: x.LimitedBy(), Execution: x.ID, Number: x.Number, Epoch: h.Epoch + 1, Tasks: 1})
	if err != nil {
		return err
	}
	part.Waits, part.Till = got.Waits, got.Till
	applied, _, err := e.store.Commit(ctx, Commit{Token: u.rec.Plan, Draft: u.rec.Plan, Parts: []CommitPart{part}})
	if err != nil {
		return err
	}
	for _, a := range applied {
		e.redriven(ctx, a)
	}
	return nil
}

// Redrives answers the redrives of an execution, oldest first, those into new executions behind them.
func (e *Engine) Redrives(ctx context.Context, id string, page Page) ([]Redriven, string, error) {
	x, err := e.Execution(ctx, id)
	if err != nil {
		return nil, "", err
	}
	page = page.filled()
	after, err := seq(page.Cursor)
	if err != nil {
		return nil, "", err
	}
	till := min(int(after)+page.Limit, x.Redrives)
	records, times, err := e.store.RedriveRecords(ctx, x.ID, int(after)+1, till)
	if err != nil {
		return nil, "", err
	}
	all := make([]Redriven, 0, len(records))
	for i, raw := range records {
		if raw == nil {
			continue
		}
		var r Redriven
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, "", fmt.Errorf("engine: redrive %d of %s cannot be read: %w", int(after)+1+i, x.ID, err)
		}
		r.At = times[i]
		all = append(all, r)
	}
	if till < x.Redrives {
		return all, itoa(till), nil
	}
	branches, err := e.redrivenInto(ctx, x)
	return append(all, branches...), "", err
}

// redrivenInto answers the redrives of an execution that made new ones.
func (e *Engine) redrivenInto(ctx context.Context, x *Execution) ([]Redriven, error) {
	ids, err := e.store.Family(ctx, x.Project, x.Root, maxFamily)
	if err != nil {
		return nil, err
	}
	family, err := e.store.Branches(ctx, ids)
	if err != nil {
		return nil, err
	}
	var all []Redriven
	for _, b := range family {
		if b == nil || b.Origin == nil || b.Origin.Execution != x.ID {
			continue
		}
		records, times, err := e.store.RedriveRecords(ctx, b.ID, 0, 0)
		if err != nil {
			return nil, err
		}
		if records[0] == nil {
			continue
		}
		var r Redriven
		if err := json.Unmarshal(records[0], &r); err != nil {
			return nil, fmt.Errorf("engine: what %s was made by cannot be read: %w", b.ID, err)
		}
		r.At, r.Into, r.IntoNumber = times[0], b.ID, b.Number
		all = append(all, r)
	}
	return all, nil
}
