package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// Advance does everything that an execution waits for Go to decide: conditions,
// the cancellation of what is left, its end. Any process may do it at any time,
// several at once: each decision is applied only if what it rested on still holds.
func (e *Engine) Advance(ctx context.Context, id string) error {
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

// maxDecisions bounds one Advance: a chain of conditions takes a round per link.
const maxDecisions = 2 * 1000

func (e *Engine) advance(ctx context.Context, a *Agenda) (done bool, err error) {
	if a.Status.Ended() {
		return true, nil
	}
	p, err := e.program(ctx, a.Project, a.DefinitionHash)
	if err != nil {
		return false, err
	}
	switch {
	case a.Waits && a.Status != workflow.ExecutionCanceling:
		return true, e.store.Settle(ctx, a.ID, failed(a)) // nothing is decided before its turn
	case a.Status == workflow.ExecutionCanceling:
		return true, e.finishCancel(ctx, a, p)
	case a.Status == workflow.ExecutionRunning && a.Held > 0:
		return false, e.letGo(ctx, a, p)
	case p.Definition.FailFast && failed(a) > 0 && unended(a) > 0 && (active(a) > 0 || len(a.Open) > 0):
		recs, err := e.store.Records(ctx, a.ID, nil)
		if err != nil {
			return false, err
		}
		if !failedNow(recs, a.Epoch) {
			break
		}
		return false, e.drop(ctx, a, p, states(recs), "fail_fast")
	}
	if len(a.Open) > 0 {
		return false, e.decide(ctx, a, p)
	}
	if active(a) > 0 {
		return true, e.store.Settle(ctx, a.ID, failed(a))
	}
	return true, e.finish(ctx, a, p)
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
	for _, r := range recs {
		if (r.Status == workflow.TaskFailed || r.Status == workflow.TaskTimedOut) && !r.Continued && r.Redrive == epoch {
			return true
		}
	}
	return false
}

// decide settles up to a step of open tasks.
func (e *Engine) decide(ctx context.Context, a *Agenda, p *program) error {
	for _, ref := range a.Open {
		var err error
		if of, ok := strings.CutPrefix(ref, SpreadMark); ok {
			err = e.spread(ctx, a, p, of)
		} else {
			err = e.decideTask(ctx, a, p, ref)
		}
		if err != nil && !errors.Is(err, ErrMoved) {
			return err
		}
	}
	return nil
}

func (e *Engine) spread(ctx context.Context, a *Agenda, p *program, ref string) error {
	list := p.successors[ref]
	recs, err := e.store.Records(ctx, a.ID, []string{ref})
	if err != nil {
		return err
	}
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
	return &Document{
		Epoch: a.Epoch, Number: a.Number, Project: a.Project, Workflow: a.Workflow, Version: a.Version,
		Definition: a.DefinitionHash, Root: a.Root, Priority: a.Priority, SessionTime: a.sessionTime(),
	}
}

func (e *Engine) decideTask(ctx context.Context, a *Agenda, p *program, ref string) error {
	n := p.Node(ref)
	if n == nil {
		return fmt.Errorf("engine: definition %s has no task %q, which %s waits for", p.Hash, ref, a.ID)
	}
	refs := append(slices.Clone(n.Needs), n.IfReads.Tasks...)
	slices.Sort(refs)
	refs = slices.Compact(refs)
	input, _, reads, err := e.store.Values(ctx, a.ID, refs)
	if err != nil {
		return err
	}
	states := map[string]workflow.TaskState{}
	for i, r := range refs {
		states[r] = workflow.TaskState{Status: reads[i].Status, Attempt: reads[i].Attempt}
	}
	d := documentOf(a)
	d.Input = input
	scope := d.scope(a.ID)
	scope.Tasks = taskScopes(refs, reads)
	v := p.Decide(ref, func(r string) workflow.TaskState { return states[r] }, scope)
	x := Result{Simple: p.simple, OnFailure: onward(n, p), Successors: p.successors[ref]}
	if v.Action == workflow.ActionSkip {
		x.Successors = skipped(x.Successors)
	}
	if v.Error != nil {
		v.Error = fingerprinted(n, v.Error)
	}
	settled, err := e.store.Verdict(ctx, a.ID, ref, a.Epoch, v, x)
	if err != nil {
		return err
	}
	e.relay(ctx, d, p, settled.Relay)
	if settled.State == StateEnded {
		e.ended(ctx, a.ID, workflow.ExecutionSucceeded)
	}
	return nil
}

func (e *Engine) states(ctx context.Context, id string) (map[string]workflow.TaskState, error) {
	recs, err := e.store.Records(ctx, id, nil)
	if err != nil {
		return nil, err
	}
	return states(recs), nil
}

func states(recs map[string]Record) map[string]workflow.TaskState {
	all := make(map[string]workflow.TaskState, len(recs))
	for ref, r := range recs {
		all[ref] = workflow.TaskState{Status: r.Status, Attempt: r.Attempt, Continued: r.Continued}
	}
	return all
}

// finish ends an execution in which nothing is active and nothing open.
func (e *Engine) finish(ctx context.Context, a *Agenda, p *program) error {
	states, err := e.states(ctx, a.ID)
	if err != nil {
		return err
	}
	reads := p.OutputReads()
	input, first, values, err := e.store.Values(ctx, a.ID, reads.Tasks)
	if err != nil {
		return err
	}
	if first == nil {
		if first, err = e.anyFailure(ctx, a.ID, states); err != nil {
			return err
		}
	}
	end := p.End(states, first)
	for refs := range slices.Chunk(end.Unreached, StepSize) {
		if _, err := e.store.Drop(ctx, a.ID, a.Epoch, "upstream_failed", refs); err != nil {
			return err
		}
	}
	var output []byte
	if end.Status == workflow.ExecutionSucceeded {
		d := documentOf(a)
		d.Input = input
		scope := d.scope(a.ID)
		scope.Tasks = taskScopes(reads.Tasks, values)
		var bad *workflow.Error
		if output, bad = p.Output(scope); bad != nil {
			end.Status, end.Error, output = workflow.ExecutionFailed, bad, nil
		}
	}
	if err := e.store.Finish(ctx, a.ID, a.Epoch, end.Status, output, end.Error); err != nil {
		return err
	}
	e.ended(ctx, a.ID, end.Status)
	return nil
}

// anyFailure finds the error of a failed task where none was kept as the first:
// after a redrive of some of them, the others still stand.
func (e *Engine) anyFailure(ctx context.Context, id string, states map[string]workflow.TaskState) (*workflow.Error, error) {
	var refs []string
	for ref, s := range states {
		if (s.Status == workflow.TaskFailed || s.Status == workflow.TaskTimedOut) && !s.Continued {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	slices.Sort(refs)
	_, _, reads, err := e.store.Values(ctx, id, refs[:1])
	if err != nil {
		return nil, err
	}
	return reads[0].Error, nil
}

// finishCancel cancels what has not ended, then the execution.
func (e *Engine) finishCancel(ctx context.Context, a *Agenda, p *program) error {
	states, err := e.states(ctx, a.ID)
	if err != nil {
		return err
	}
	if err := e.drop(ctx, a, p, states, "canceled"); err != nil {
		return err
	}
	if err := e.store.Finish(ctx, a.ID, a.Epoch, workflow.ExecutionCanceled, nil, nil); err != nil {
		return err
	}
	e.ended(ctx, a.ID, workflow.ExecutionCanceled)
	return nil
}

// drop cancels every task that has not ended and tells the workers.
func (e *Engine) drop(ctx context.Context, a *Agenda, p *program, states map[string]workflow.TaskState, reason string) error {
	var refs []string
	for ref, s := range states {
		if !s.Status.Ended() {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	var out []Fence
	for part := range slices.Chunk(refs, StepSize) {
		fences, err := e.store.Drop(ctx, a.ID, a.Epoch, reason, part)
		if err != nil {
			return err
		}
		out = append(out, fences...)
	}
	if len(out) == 0 {
		return nil
	}
	if err := e.store.PublishCancel(ctx, a.ID); err != nil {
		e.log.Warn("workers could not be told of a cancellation; their next heartbeat will", "execution", a.ID, "error", err)
	}
	d := documentOf(a)
	for _, f := range out {
		if n := p.Node(f.Ref); n != nil && states[f.Ref].Status == workflow.TaskQueued {
			if err := e.store.DeleteJob(ctx, job(d, n, f)); err != nil {
				e.log.Debug("a canceled job stays in asynq; its claim will be refused", "job", f.JobID(), "error", err)
			}
		}
	}
	return nil
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
