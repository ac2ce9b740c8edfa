package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/redrive/redrive/workflow"
)

func itoa(n int) string { return strconv.Itoa(n) }

func random() float64 { return rand.Float64() }

// Start makes an execution of a workflow and sends out its first tasks.
// With an idempotency key that is known, it answers the execution it made
// before and false; the same key with another request is refused.
func (e *Engine) Start(ctx context.Context, project string, r StartRequest) (*Execution, bool, error) {
	if w := e.knownHead(project, &r); w != nil {
		x, created, err := e.startNew(ctx, project, w, r)
		refused, invalid := errors.AsType[*Error](err)
		if again := errors.Is(err, ErrMoved) || invalid && refused.Kind == KindInvalid; !again {
			return x, created, err
		}
	}
	w, err := e.head(ctx, project, r.Workflow, r.Version)
	if err != nil {
		return nil, false, err
	}
	return e.startNew(ctx, project, w, r)
}

// knownHead answers the newest version as of the last start, where that is all that a start has to know:
// whether it is the newest still, the creation checks. nil = it is to be read first.
func (e *Engine) knownHead(project string, r *StartRequest) *Workflow {
	if r.Version != 0 || r.IdempotencyKey != "" || !r.SessionTime.IsZero() || !r.StartAt.IsZero() {
		return nil
	}
	head, ok := e.heads.Get(workflowName{project, r.Workflow})
	if !ok {
		return nil
	}
	return &Workflow{Project: project, Name: r.Workflow, Version: head.Version, Hash: head.Hash, assumed: true}
}

type workflowName struct{ project, name string }

func (e *Engine) startNew(ctx context.Context, project string, w *Workflow, r StartRequest) (*Execution, bool, error) {
	id, err := newID()
	if err != nil {
		return nil, false, err
	}
	return e.startVersion(ctx, project, id, w, r)
}

// startAs is Start under an id that was chosen before.
func (e *Engine) startAs(ctx context.Context, project, id string, r StartRequest) (*Execution, bool, error) {
	w, err := e.head(ctx, project, r.Workflow, r.Version)
	if err != nil {
		return nil, false, err
	}
	return e.startVersion(ctx, project, id, w, r)
}

func (e *Engine) startVersion(ctx context.Context, project, id string, w *Workflow, r StartRequest) (*Execution, bool, error) {
	p, err := e.program(ctx, project, w.Hash, "")
	if err != nil {
		return nil, false, err
	}
	if err := e.checkStart(p, &r); err != nil {
		return nil, false, err
	}
	x := newExecution(id, project, w, p, r)
	if r.IdempotencyKey != "" {
		if x.ID, err = e.reserve(ctx, project, x.ID, r); err != nil {
			return nil, false, err
		}
		if known, err := e.store.Execution(ctx, x.ID, true); err == nil {
			return known, false, nil
		} else if !errors.Is(err, ErrGone) {
			return nil, false, err
		}
	}
	x.Root = x.ID
	if x.Number, err = e.store.Number(ctx); err != nil {
		return nil, false, err
	}
	if err := e.place(ctx, &x, w, r); err != nil {
		return nil, false, err
	}
	settled, created, err := e.create(ctx, x, p)
	if err != nil {
		return nil, false, err
	}
	if created && settled.State == StateGoesOn {
		return x.made(settled.Now), true, nil
	}
	made, err := e.store.Execution(ctx, x.ID, true)
	return made, created, err
}

// place reserves what the execution needs where its workflow limits how many run, where
// it belongs to a session, or where it is to start later.
func (e *Engine) place(ctx context.Context, x *NewExecution, w *Workflow, r StartRequest) error {
	if !w.limited && r.SessionTime.IsZero() && r.StartAt.IsZero() {
		return nil
	}
	entry := Entry{
		Project: x.Project, Workflow: x.Workflow, Execution: x.ID, Number: x.Number, WhenFull: r.WhenFull, StartAt: r.StartAt, Tasks: len(x.Tasks),
	}
	if !r.SessionTime.IsZero() {
		number, err := e.store.SessionNumber(ctx)
		if err != nil {
			return err
		}
		entry.Session = &SessionPlace{Number: number, Time: r.SessionTime, AttemptName: r.AttemptName}
	}
	got, err := e.enter(ctx, entry)
	if err != nil {
		return err
	}
	x.Waits, x.Till, x.StartAt = got.Waits, got.Till, r.StartAt
	if entry.Session != nil {
		entry.Session.Number, entry.Session.Attempt = got.Session, got.Attempt
		x.Session = entry.Session
	}
	return nil
}

// create makes an execution, once, and sends out its first tasks.
func (e *Engine) create(ctx context.Context, x NewExecution, p *program) (Settled, bool, error) {
	d := &Document{
		Number: x.Number, Project: x.Project, Workflow: x.Workflow, Version: x.Version, Definition: x.DefinitionHash,
		Root: x.Root, Path: x.Path, Depth: x.Depth, Parent: x.parentID(), Priority: x.Priority, Input: x.Input,
	}
	d.place(x.Session)
	x.Deadline = x.timeout(p)
	if !x.Waits && x.Parent == nil { // a sub-workflow may not be wanted any more
		x.Ahead = e.ahead(d, p, x.ID, x.Roots)
	}
	settled, created, err := e.store.Create(ctx, x)
	if errors.Is(err, ErrMoved) && !x.Till.IsZero() {
		return settled, false, late("start")
	}
	if err != nil {
		return settled, false, fmt.Errorf("engine: creating execution %s: %w", x.ID, err)
	}
	if created {
		e.remember(x.ID, d)
		if x.Deadline > 0 && !x.Waits {
			e.timers.add(TimerExpire, Fence{Execution: x.ID}, x.Deadline)
		}
		e.follow(ctx, x.ID, d, p, settled)
		if !settled.Listed {
			e.indexed(ctx, x.ID)
		}
		e.metrics.started()
	}
	return settled, created, nil
}

// timeout is how long the whole execution may take, from its start or from a redrive; 0 = as long as it likes.
func (x *Execution) timeout(p *program) time.Duration {
	return cmp.Or(x.Timeout, time.Duration(p.Definition.Timeout))
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("engine: making an id: %w", err)
	}
	return id.String(), nil
}

// made is the execution as it is right after its creation.
func (x *NewExecution) made(now time.Time) *Execution {
	m := x.Execution
	m.Status, m.CreatedAt, m.StartedAt, m.Revision = workflow.ExecutionRunning, now, &now, 1
	if m.Waits {
		m.Status, m.StartedAt, m.Reason = workflow.ExecutionQueued, nil, ReasonConcurrency
		if m.StartAt.After(now) {
			m.Reason = ReasonStartAt
		}
	}
	m.TasksSummary = map[workflow.TaskStatus]int{workflow.TaskQueued: len(x.Roots)}
	if waiting := len(x.Tasks) - len(x.Roots); waiting > 0 {
		m.TasksSummary[workflow.TaskPending] = waiting
	}
	return &m
}

// head finds the version of a workflow that is asked for.
func (e *Engine) head(ctx context.Context, project, name string, version int) (*Workflow, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	found, err := e.store.Head(ctx, project, name, version)
	if err != nil {
		return nil, err
	}
	if found.Version == 0 {
		e.heads.Remove(workflowName{project, name})
		return e.Workflow(ctx, project, name, version) // says what is missing
	}
	switch {
	case version != 0:
	case found.Limited:
		e.heads.Remove(workflowName{project, name})
	default:
		e.heads.Add(workflowName{project, name}, found)
	}
	return &Workflow{Project: project, Name: name, Version: found.Version, Hash: found.Hash, limited: found.Limited}, nil
}

func newExecution(id, project string, w *Workflow, p *program, r StartRequest) NewExecution {
	x := NewExecution{By: r.By, Newest: w.assumed, Execution: Execution{
		ID: id, Project: project, Workflow: w.Name, Version: w.Version, DefinitionHash: w.Hash, Input: r.Input,
		CorrelationID: r.CorrelationID, Metadata: r.Metadata, Labels: r.Labels, Priority: r.Priority, Timeout: r.Timeout,
	}}
	for _, n := range p.Nodes {
		x.Tasks = append(x.Tasks, NewTask{Ref: n.Path, Needs: n.Needs})
		if len(n.Needs) == 0 {
			s := successor(n)
			s.Decide = s.Decide || len(x.Roots) >= StepSize // the rest goes one by one
			x.Roots = append(x.Roots, s)
		}
	}
	return x
}

// reserve answers the execution id that holds the idempotency key.
func (e *Engine) reserve(ctx context.Context, project, id string, r StartRequest) (string, error) {
	body, err := json.Marshal(struct {
		Workflow      string            `json:"workflow"`
		Version       int               `json:"version"`
		Input         json.RawMessage   `json:"input"`
		CorrelationID string            `json:"correlation_id"`
		Metadata      map[string]string `json:"metadata"`
		Labels        map[string]string `json:"labels"`
		Priority      int               `json:"priority"`
		SessionTime   time.Time         `json:"session_time,omitzero"`
		AttemptName   string            `json:"attempt_name,omitempty"`
		StartAt       time.Time         `json:"start_at,omitzero"`
		WhenFull      workflow.WhenFull `json:"when_full,omitempty"`
		Timeout       time.Duration     `json:"timeout,omitempty"`
	}{
		r.Workflow, r.Version, r.Input, r.CorrelationID, r.Metadata, r.Labels, r.Priority,
		r.SessionTime.UTC(), r.AttemptName, r.StartAt.UTC(), r.WhenFull, r.Timeout,
	})
	if err != nil {
		return "", fmt.Errorf("engine: encoding the request: %w", err)
	}
	if r.KeyAlone {
		body = nil
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	heldBy, heldHash, err := e.store.Reserve(ctx, project, r.IdempotencyKey, id, hash)
	if err != nil {
		return "", err
	}
	if heldHash != hash {
		return "", Invalid("idempotency_key_reused", "the idempotency key was used for another request", workflow.Problem{
			Field: "idempotency_key", Code: "idempotency_key_reused", Message: fmt.Sprintf("%q already started execution %s with another body", r.IdempotencyKey, heldBy),
			Allowed: "the same request again, or a new key",
		})
	}
	return heldBy, nil
}

// The limits of what may be attached to an execution.
const (
	maxLabels       = 64
	maxLabelBytes   = 256
	maxAttemptBytes = 1020 // of its name: 255 characters of any script
)

func (e *Engine) checkStart(p *program, r *StartRequest) error {
	var problems workflow.Problems
	add := func(field, code, message, allowed string) {
		problems = append(problems, workflow.Problem{Field: field, Code: code, Message: message, Allowed: allowed})
	}
	r.Input = bytes.TrimSpace(r.Input)
	if len(r.Input) == 0 || bytes.Equal(r.Input, []byte("null")) {
		r.Input = json.RawMessage("{}")
	}
	if len(r.Input) > e.o.Limits.ValueBytes {
		add("input", "too_large", fmt.Sprintf("has %d bytes", len(r.Input)), fmt.Sprintf("at most %d", e.o.Limits.ValueBytes))
	} else {
		problems = append(problems, p.CheckInput(r.Input)...)
	}
	if r.Priority == 0 {
		r.Priority = workflow.DefaultPriority
	}
	if r.Priority < 1 || r.Priority > 9 {
		add("priority", "out_of_range", fmt.Sprintf("is %d", r.Priority), "1 to 9")
	}
	for field, text := range map[string]string{"correlation_id": r.CorrelationID, "idempotency_key": r.IdempotencyKey, "attempt_name": r.AttemptName} {
		most := maxLabelBytes
		if field == "attempt_name" {
			most = maxAttemptBytes
		}
		if len(text) > most {
			add(field, "too_long", fmt.Sprintf("has %d bytes", len(text)), fmt.Sprintf("at most %d", most))
		}
	}
	if most := e.o.Limits.Timeout; r.Timeout < 0 || r.Timeout > most {
		add("timeout", "out_of_range", "is "+r.Timeout.String(), "at most "+most.String())
	}
	e.checkPlace(r, add)
	for field, m := range map[string]map[string]string{"labels": r.Labels, "metadata": r.Metadata} {
		if len(m) > maxLabels {
			add(field, "too_many", fmt.Sprintf("has %d entries", len(m)), fmt.Sprintf("at most %d", maxLabels))
		}
		for k, v := range m {
			if k == "" || len(k) > maxLabelBytes || len(v) > maxLabelBytes {
				add(field+"."+k, "too_long", "has an empty name, or a name or value that is too long", fmt.Sprintf("1 to %d bytes each", maxLabelBytes))
			}
		}
	}
	if len(problems) > 0 {
		return Invalid("request_invalid", "the execution cannot be started", problems...)
	}
	return nil
}
