package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// RedriveRequest asks to run a part of an execution again.
type RedriveRequest struct {
	workflow.Redrive
	Reason         string
	By             string
	PlanHash       string // execute only if the plan is still this one
	IdempotencyKey string
	WhenFull       workflow.WhenFull // "" = as the workflow says
}

// Plan answers what a redrive would do, and changes nothing. The refusals are those of Redrive.
func (e *Engine) Plan(ctx context.Context, id string, r RedriveRequest) (*workflow.Plan, error) {
	for range planTries {
		m, err := e.prepare(ctx, id, r)
		if errors.Is(err, ErrMoved) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &m.planned.Plan, nil
	}
	return nil, busy(id)
}

// planTries is how often a redrive is planned anew because the execution moved on meanwhile.
const planTries = 20

func busy(id string) error {
	return Conflict("execution_busy", "execution %s changes faster than a plan for it can be made; pause it, redrive it and resume it", id)
}

// Redrive runs a part of an execution again and answers the execution that runs now.
// KindInvalid for a request that cannot be; KindConflict nothing_to_retry, not_retryable,
// plan_changed, acknowledge_required, history_full, execution_canceling, execution_busy.
func (e *Engine) Redrive(ctx context.Context, id string, r RedriveRequest) (*Execution, error) {
	return e.redriveAs(ctx, id, r, nil)
}

// redriveAs is Redrive; where as is not nil it happens once under that token, if the execution was redriven only so often.
func (e *Engine) redriveAs(ctx context.Context, id string, r RedriveRequest, as *onceAs) (*Execution, error) {
	x, err := e.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	once, err := onceOf(x, r, as)
	if err != nil {
		return nil, err
	}
	if made, err := e.redrivenBefore(ctx, x, once); made != nil || err != nil {
		return made, err
	}
	before := x.Redrives
	if as != nil {
		before = as.epoch
	}
	h := &hold{}
	defer h.end(ctx, e)
	for try := range planTries {
		made, err := e.redriveOnce(ctx, x, before, once, h, r)
		if err == nil {
			return made, nil
		}
		if made, looked := e.redrivenBefore(ctx, x, once); made != nil || looked != nil {
			return made, looked // another call for the same was first
		}
		if !errors.Is(err, ErrMoved) {
			return nil, err
		}
		if try >= holdAfter {
			h.begin(ctx, e)
		}
	}
	return nil, busy(x.ID)
}

func (e *Engine) redriveOnce(ctx context.Context, x *Execution, before int, once *once, h *hold, r RedriveRequest) (*Execution, error) {
	m, err := e.prepare(ctx, x.ID, r)
	if err != nil {
		return nil, err
	}
	if r.PlanHash != "" && contentOf(r.PlanHash) != contentOf(m.planned.Plan.PlanHash) {
		return nil, e.planChanged(ctx, m, r.PlanHash)
	}
	if (r.Operation == workflow.OperationRetry && r.PlanHash == "" || once.exact) && m.asked.Redrives != before {
		return nil, Conflict("plan_changed", "execution %s was redriven meanwhile; look at it again", x.ID)
	}
	if need := m.planned.Plan.Acknowledge; len(need) > 0 {
		return nil, Conflict("acknowledge_required", "tasks with unsafe effects would run again; say that this is all right with acknowledge: %s", strings.Join(need, ", "))
	}
	token, err := e.claimOnce(ctx, x, once)
	if err != nil {
		return nil, err
	}
	if r.Identity == workflow.NewExecution {
		made, err := e.redriveAnew(ctx, m, token)
		if err == nil {
			e.metrics.redriven(r.Operation)
		}
		return made, err
	}
	h.id = m.top.ID
	if err := e.commit(ctx, m, token, h.token); err != nil {
		return nil, err
	}
	h.token = "" // it ended with that
	e.metrics.redriven(r.Operation)
	return e.Execution(ctx, x.ID)
}

// once is what makes a redrive happen once however often it is asked for: the
// token under which its effect is known, which is the id of a new execution.
type once struct {
	key   string // under which the token is reserved; "" = it is not
	hash  string // of the request
	token string // "" as long as it is not known
	anew  bool
	exact bool // it rests on how often the execution was redriven
}

// onceOf reads what makes a request the same as an earlier one: its key, or its plan.
func onceOf(x *Execution, r RedriveRequest, as *onceAs) (*once, error) {
	o := &once{anew: r.Identity == workflow.NewExecution}
	switch {
	case as != nil:
		o.token, o.exact = as.token, true
	case len(r.IdempotencyKey) > maxLabelBytes:
		return nil, Invalid("request_invalid", "the redrive cannot be taken", workflow.Problem{
			Field: "idempotency_key", Code: "too_long", Message: fmt.Sprintf("has %d bytes", len(r.IdempotencyKey)), Allowed: fmt.Sprintf("at most %d", maxLabelBytes),
		})
	case r.IdempotencyKey != "":
		body, err := json.Marshal(struct {
			workflow.Redrive
			Reason string `json:"reason"`
			Plan   string `json:"plan_hash"`
		}{r.Redrive, r.Reason, r.PlanHash})
		if err != nil {
			return nil, Invalid("request_invalid", "the redrive cannot be taken", workflow.Problem{Field: "request", Code: workflow.CodeSyntax, Message: err.Error(), Allowed: "JSON"})
		}
		o.key, o.hash = "redrive:"+x.ID+":key:"+r.IdempotencyKey, hashOf(body)
	case r.PlanHash != "" && o.anew:
		o.key = "redrive:" + x.ID + ":plan:" + r.PlanHash
	case r.PlanHash != "":
		o.token = "plan:" + r.PlanHash
	}
	return o, nil
}

// claimOnce answers the token of a redrive that is about to happen.
func (e *Engine) claimOnce(ctx context.Context, x *Execution, o *once) (string, error) {
	if o.token != "" {
		return o.token, nil
	}
	token, err := newID()
	if err != nil || o.key == "" {
		return token, err
	}
	heldBy, heldHash, err := e.store.Reserve(ctx, x.Project, o.key, token, o.hash)
	if err != nil {
		return "", err
	}
	if heldHash != o.hash {
		return "", keyReused(x.ID)
	}
	if heldBy != token {
		o.token = heldBy
		return "", ErrMoved // somebody else is about to do it, or did
	}
	o.token = token
	return token, nil
}

func keyReused(id string) error {
	return Invalid("idempotency_key_reused", "the idempotency key was used for another request", workflow.Problem{
		Field: "idempotency_key", Code: "idempotency_key_reused", Message: "it already redrove execution " + id + " with another body",
		Allowed: "the same request again, or a new key",
	})
}

// redrivenBefore answers the execution that runs since the same was asked for; nil when it was not.
func (e *Engine) redrivenBefore(ctx context.Context, x *Execution, o *once) (*Execution, error) {
	if o.token == "" && o.key != "" {
		token, hash, err := e.store.Reserved(ctx, x.Project, o.key)
		if err != nil || token == "" {
			return nil, err
		}
		if hash != o.hash {
			return nil, keyReused(x.ID)
		}
		o.token = token
	}
	if o.token == "" {
		return nil, nil
	}
	if o.anew {
		made, err := e.store.Execution(ctx, o.token, true)
		if errors.Is(err, ErrGone) || err == nil && made.Redrives < 0 {
			return nil, nil
		}
		return made, err
	}
	for at := x; ; {
		n, err := e.store.RedriveOf(ctx, at.ID, o.token)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return e.Execution(ctx, x.ID)
		}
		if at.Parent == nil {
			return nil, nil
		}
		if at, err = e.store.Execution(ctx, at.Parent.Execution, false); errors.Is(err, ErrGone) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// A plan's hash reads <revision>-<events so far>x<hash of its content>.
func planHash(revision int64, events int64, content string) string {
	return strconv.FormatInt(revision, 10) + "-" + strconv.FormatInt(events, 36) + "x" + content
}

func contentOf(hash string) string {
	return hash[strings.LastIndexByte(hash, 'x')+1:]
}

// eventsOf answers how many events there were when a plan was made; -1 when the hash is none.
func eventsOf(hash string) int64 {
	_, rest, ok := strings.Cut(hash, "-")
	text, _, cut := strings.Cut(rest, "x")
	n, err := strconv.ParseInt(text, 36, 64)
	if !ok || !cut || err != nil {
		return -1
	}
	return n
}

// planChanged says what happened since a plan was made.
func (e *Engine) planChanged(ctx context.Context, m *redriving, hash string) error {
	const shown = 20
	from := eventsOf(hash)
	if from < 0 {
		return Invalid("request_invalid", "the redrive cannot be taken", workflow.Problem{
			Field: "plan_hash", Code: "format", Message: "is not the hash of a plan", Allowed: "the plan_hash that a dry run answered, as it is",
		})
	}
	events, err := e.store.Events(ctx, m.asked.ID, from, shown+1)
	if err != nil {
		return err
	}
	var since []string
	var problems workflow.Problems
	for i, ev := range events {
		if i == shown {
			since = append(since, "...")
			break
		}
		text := ev.Type
		if ev.Ref != "" {
			text += " " + ev.Ref
		}
		since = append(since, text)
		problems = append(problems, workflow.Problem{Field: ev.Ref, Code: ev.Type, Message: "at " + ev.At.Format(time.RFC3339Nano)})
	}
	what := "nothing in this execution: the request is another one"
	if len(since) > 0 {
		what = strings.Join(since, ", ")
	}
	changed := Conflict("plan_changed", "the plan is no longer the one that was looked at; since then: %s. Look at the new plan, and execute that", what)
	changed.Problems = problems
	return changed
}

// RetryJob is what "run" on the archived job of a failed attempt means: retry that task.
func (e *Engine) RetryJob(ctx context.Context, f Fence, by string) error {
	recs, err := e.store.Records(ctx, f.Execution, []string{f.Ref})
	if err != nil {
		return err
	}
	if rec := recs[f.Ref]; rec.Attempt != f.Attempt {
		return Conflict("plan_changed", "attempt %d of task %s is not its newest: it was retried already", f.Attempt, f.Ref)
	}
	r := RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRetry, From: []string{f.Ref}}, Reason: "run in asynqmon", By: by}
	_, err = e.Redrive(ctx, f.Execution, r)
	return err
}
