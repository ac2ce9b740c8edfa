package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// Advance does everything that an execution waits for Go to decide: conditions,
// the cancellation of what is left, its end. Any process may do it at any time,
// several at once: each decision is applied only if what it rested on still holds.
func (e *Engine) Advance(ctx context.Context, id string) error {
	ctx = withAdvancing(ctx, id)
	for range maxDecisions {
		a, err := e.store.Agenda(ctx, id)
		if errors.Is(err, ErrGone) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("engine: reading what %s waits for: %w", id, err)
		}
		done, err := e.advance(ctx, a)
		if errors.Is(err, ErrMoved) {
			continue // somebody else did a part of it
		}
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("engine: %s still waits for a decision after %d rounds of them; a sweep goes on", id, maxDecisions)
}

// advancing lists the executions that are being advanced by the calls around this one.
type advancing struct {
	id    string
	outer *advancing
}

type advancingKey struct{}

func withAdvancing(ctx context.Context, id string) context.Context {
	outer, _ := ctx.Value(advancingKey{}).(*advancing)
	return context.WithValue(ctx, advancingKey{}, &advancing{id, outer})
}

// isAdvancing reports whether a call around this one advances the execution: it
// looks at the agenda again when this one returns. Without that, the cancellation
// of many sub-executions would nest as deep as there are of them.
func isAdvancing(ctx context.Context, id string) bool {
	a, _ := ctx.Value(advancingKey{}).(*advancing)
	for a != nil && a.id != id {
		a = a.outer
	}
	return a != nil
}

// maxDecisions bounds one Advance: a chain of conditions takes a round per link.
const maxDecisions = 2 * 1000

func (e *Engine) advance(ctx context.Context, a *Agenda) (done bool, err error) {
	if a.Status.Ended() {
		return true, nil
	}
	p, err := e.program(ctx, a.Project, a.DefinitionHash, a.ID)
	if err != nil {
		return false, err
	}
	if a.Holding && a.Status != workflow.ExecutionCanceling {
		return e.endHold(ctx, a)
	}
	if a.Applying && a.Status != workflow.ExecutionCanceling {
		return false, e.applyRest(ctx, a, p)
	}
	if orphans, err := e.cancelOrphans(ctx, a); orphans || err != nil {
		return false, err
	}
	switch {
	case a.Waits && a.Status != workflow.ExecutionCanceling:
		return true, e.store.Settle(ctx, a.ID, failed(a)) // nothing is decided before its turn
	case a.Status == workflow.ExecutionCanceling:
		return e.finishCancel(ctx, a, p)
	case a.Cascade != "":
		return false, e.cascade(ctx, a)
	case a.Status == workflow.ExecutionRunning && a.Held > 0:
		return false, e.letGo(ctx, a, p)
	case a.Ending != "":
		recs, err := e.store.Records(ctx, a.ID, nil)
		if err != nil {
			return false, err
		}
		if dropped, err := e.dropRest(ctx, a, p, recs, string(a.Ending)); dropped || err != nil {
			return false, err
		}
	case p.Definition.FailFast && failed(a) > 0 && unended(a) > 0 && (active(a) > 0 || len(a.Open) > 0):
		recs, err := e.store.Records(ctx, a.ID, nil)
		if err != nil {
			return false, err
		}
		if !failedNow(recs, a.Epoch) {
			break
		}
		if dropped, err := e.dropRest(ctx, a, p, recs, "fail_fast"); dropped || err != nil {
			return false, err
		}
	}
	if len(a.Open) > 0 {
		postponed, err := e.decide(ctx, a, p)
		if !postponed || err != nil {
			return false, err
		}
	}
	if active(a) > 0 || len(a.Open) > 0 {
		return true, e.store.Settle(ctx, a.ID, failed(a))
	}
	return e.finish(ctx, a, p)
}

func active(a *Agenda) int {
	n := 0
	for s, count := range a.TasksSummary {
		if s.Active() {
			n += count
		}
	}
	return n
}

func failed(a *Agenda) int {
	return a.TasksSummary[workflow.TaskFailed] + a.TasksSummary[workflow.TaskTimedOut]
}

func unended(a *Agenda) int { return active(a) + a.TasksSummary[workflow.TaskPending] }

// failedNow reports whether a task failed for good since the last redrive. What
// failed before, and was left as it is, must not cancel what is retried.
func failedNow(recs map[string]Record, epoch int) bool {
	for ref, r := range recs {
		if (r.Status == workflow.TaskFailed || r.Status == workflow.TaskTimedOut) && !r.Continued && r.Redrive == epoch && workflow.Outside(ref) == "" {
			return true
		}
	}
	return false
}

// decide settles up to a step of open tasks. postponed says that all of them
// wait until the execution is resumed.
func (e *Engine) decide(ctx context.Context, a *Agenda, p *program) (postponed bool, err error) {
	postponed = true
	for _, ref := range a.Open {
		switch err := e.decideOne(ctx, a, p, ref); {
		case errors.Is(err, errPostponed):
			continue
		case err != nil && !errors.Is(err, ErrMoved):
			return false, err
		}
		postponed = false
	}
	return postponed, nil
}

func (e *Engine) decideOne(ctx context.Context, a *Agenda, p *program, ref string) error {
	if of, ok := strings.CutPrefix(ref, SpreadMark); ok {
		return e.spread(ctx, a, p, of)
	}
	at, ok := p.Place(ref)
	if !ok {
		return fmt.Errorf("engine: definition %s has no task %q, which %s waits for", p.Hash, ref, a.ID)
	}
	if at.Holds() || at.Control() {
		return e.decideControl(ctx, a, p, at)
	}
	return e.decideTask(ctx, a, p, at)
}

// spread releases successors of a task that has many, or items of a for_each that
// may begin, a step at a time.
func (e *Engine) spread(ctx context.Context, a *Agenda, p *program, ref string) error {
	at, ok := p.Place(ref)
	if !ok {
		return fmt.Errorf("engine: definition %s has no task %q, which %s waits for", p.Hash, ref, a.ID)
	}
	recs, err := e.store.Records(ctx, a.ID, []string{ref})
	if err != nil {
		return err
	}
	if !recs[ref].Status.Ended() {
		settled, err := e.store.Widen(ctx, a.ID, ref, a.Epoch)
		if err == nil {
			e.relay(ctx, documentOf(a), p, settled.Relay)
		}
		return err
	}
	list := p.next(at)
	if recs[ref].Status == workflow.TaskSkipped {
		list = skipped(list)
	}
	for len(list) > 0 {
		n := min(len(list), StepSize)
		settled, err := e.store.Spread(ctx, a.ID, ref, a.Epoch, list[:n], n == len(list))
		if err != nil {
			return err
		}
		list = list[n:]
		e.relay(ctx, documentOf(a), p, settled.Relay)
	}
	return nil
}

func documentOf(a *Agenda) *Document {
	d := &Document{
		Epoch: a.Epoch, Number: a.Number, Project: a.Project, Workflow: a.Workflow, Version: a.Version,
		Definition: a.DefinitionHash, Root: a.Root, Path: a.Path, Depth: a.Depth, Parent: a.parentID(), Priority: a.Priority,
	}
	d.place(a.Session)
	return d
}

// decideTask says whether a task that a worker runs is to run.
func (e *Engine) decideTask(ctx context.Context, a *Agenda, p *program, at workflow.Place) error {
	u := &undecided{a: a, p: p, d: documentOf(a), at: at}
	v, err := e.verdict(ctx, u)
	if err != nil {
		return err
	}
	if v.Action == workflow.ActionRun && a.Epoch > 0 {
		recs, err := e.store.Records(ctx, a.ID, []string{at.Ref})
		if err != nil {
			return err
		}
		u.rec = recs[at.Ref]
		if v, err = e.unlessSame(ctx, u, v); err != nil {
			return err
		}
	}
	return e.applyVerdict(ctx, u, v)
}

// unlessSame keeps a task as it was that would see the same as before.
func (e *Engine) unlessSame(ctx context.Context, u *undecided, v workflow.Verdict) (workflow.Verdict, error) {
	if u.rec.Maybe == "" {
		return v, nil
	}
	input, err := e.recorded(ctx, u)
	if _, failed := errors.AsType[*workflow.Error](err); failed {
		return v, nil // it runs, and fails with that
	}
	if err == nil && inputHash(input) == u.rec.Hash {
		v.Action = workflow.ActionKeep
	}
	return v, err
}

// verdict evaluates what a task that was reached depends on.
func (e *Engine) verdict(ctx context.Context, u *undecided) (workflow.Verdict, error) {
	needs := u.at.SiblingRefs(u.at.Needs)
	scope, at, err := e.look(ctx, u.a.ID, u.d, u.p, sight{at: u.at, reads: u.at.IfReads}, needs...)
	tooLarge := e.tooLarge(err)
	switch {
	case tooLarge != nil:
		return workflow.Verdict{Action: workflow.ActionFail, Error: tooLarge}, nil //nolint:nilerr // it is the task's failure
	case err != nil:
		return workflow.Verdict{}, err
	}
	state := func(ref string) workflow.TaskState {
		return workflow.TaskState{Status: at[ref].Status, Attempt: at[ref].Attempt}
	}
	return u.at.Decide(state, scope), nil
}

func (e *Engine) applyVerdict(ctx context.Context, u *undecided, v workflow.Verdict) error {
	x := Result{Simple: u.p.simple, OnFailure: onward(u.at, u.p), Successors: u.p.next(u.at)}
	if v.Action == workflow.ActionSkip {
		x.Successors = skipped(x.Successors)
	}
	if v.Error != nil {
		v.Error = fingerprinted(u.at, v.Error)
	}
	settled, err := e.store.Verdict(ctx, u.a.ID, u.at.Ref, u.a.Epoch, v, x)
	if err != nil {
		return err
	}
	e.relay(ctx, u.d, u.p, settled.Relay)
	if settled.State == StateEnded {
		e.ended(ctx, u.a.ID, u.d.Parent, workflow.ExecutionSucceeded)
	}
	return nil
}

func states(recs map[string]Record) map[string]workflow.TaskState {
	all := make(map[string]workflow.TaskState, len(recs))
	for ref, r := range recs {
		all[ref] = workflow.TaskState{Status: r.Status, Attempt: r.Attempt, Continued: r.Continued}
	}
	return all
}

// letGo sends out tasks that were kept aside while the execution was paused.
func (e *Engine) letGo(ctx context.Context, a *Agenda, p *program) error {
	c, err := e.store.Control(ctx, a.ID, OperationResume, Request{})
	if _, ok := errors.AsType[*StatusError](err); ok {
		return ErrMoved
	}
	if err != nil {
		return err
	}
	e.relay(ctx, documentOf(a), p, c.Relay)
	return nil
}
