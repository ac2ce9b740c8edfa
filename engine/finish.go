package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// finish ends an execution in which nothing is active and nothing open; not done
// when its failure handlers are to run first.
func (e *Engine) finish(ctx context.Context, a *Agenda, p *program) (done bool, err error) {
	recs, err := e.store.Records(ctx, a.ID, nil)
	if err != nil {
		return false, err
	}
	all := states(recs)
	reads := p.OutputReads()
	d := documentOf(a)
	scope, _, err := e.look(ctx, a.ID, d, p, sight{reads: reads})
	tooLarge := e.tooLarge(err)
	if err != nil && tooLarge == nil {
		return false, err
	}
	first := scope.Workflow.Error
	if first == nil {
		if first, err = e.anyFailure(ctx, a.ID, all); err != nil {
			return false, err
		}
	}
	end := p.End(all, first)
	if a.Ending != "" {
		end.Status, end.Error = a.Ending, first
	}
	whole := a.Ending != ""
	var output []byte
	if end.Status == workflow.ExecutionSucceeded {
		bad := tooLarge
		if bad == nil {
			output, bad = p.Output(scope)
		}
		if whole = bad != nil; whole {
			end.Status, end.Error, output = workflow.ExecutionFailed, &workflow.Error{Code: workflow.CodeOutputFailed, Message: bad.Message}, nil
			if bad.Code == workflow.CodeOutputTooLarge {
				end.Error.Code = bad.Code
			}
		}
	}
	handled := recs[workflow.HandlersPath]
	handle := p.Handlers != nil && (end.Status == workflow.ExecutionFailed || end.Status == workflow.ExecutionTimedOut) &&
		(!handled.Status.Ended() || handled.Redrive != a.Epoch)
	if err := e.tidy(ctx, a, recs, handle); err != nil {
		return false, err
	}
	if handle {
		return false, e.beginHandlers(ctx, a, p, handled, end.Error)
	}
	causes, err := e.causes(ctx, a.ID, p, recs, end, first, whole)
	if err != nil {
		return false, err
	}
	if end.Error != nil && end.Error.Fingerprint == "" && len(causes) > 0 {
		failure := *end.Error
		failure.Fingerprint, end.Error = causes[0].Fingerprint, &failure
	}
	if err := e.store.Finish(ctx, a.ID, a.Epoch, end.Status, output, end.Error, causes); err != nil {
		return false, err
	}
	e.ended(ctx, a.ID, a.parentID(), end.Status)
	return true, nil
}

// tidy drops what was never reached, and failure handlers of an earlier run that are not needed now.
func (e *Engine) tidy(ctx context.Context, a *Agenda, recs map[string]Record, handle bool) error {
	var unreached, handlers []string
	for ref, rec := range recs {
		switch {
		case rec.Status != workflow.TaskPending:
		case ref == workflow.HandlersPath || workflow.Within(workflow.HandlersPath, ref):
			if !handle {
				handlers = append(handlers, ref)
			}
		default:
			unreached = append(unreached, ref)
		}
	}
	if _, err := e.dropRefs(ctx, a, Drop{To: workflow.TaskCanceled, Reason: workflow.ReasonUpstreamFailed, If: DropIfRests, Refs: unreached}); err != nil {
		return err
	}
	_, err := e.dropRefs(ctx, a, Drop{To: workflow.TaskSkipped, Reason: workflow.ReasonNotFailed, If: DropIfRests, Refs: handlers})
	return err
}

// beginHandlers begins the tasks under on_failure.
func (e *Engine) beginHandlers(ctx context.Context, a *Agenda, p *program, rec Record, failure *workflow.Error) error {
	at, _ := p.Place(workflow.HandlersPath)
	u := &undecided{a: a, p: p, d: documentOf(a), at: at, rec: rec}
	inside, roots := bodyOf(at)
	return e.beginHolding(ctx, u, Begin{Ref: at.Ref, Epoch: a.Epoch, Roots: roots, Missing: true, Failure: failure}, inside, false)
}

// anyFailure finds the error of a failed task where none was kept as the first:
// after a redrive of some of them, the others still stand.
func (e *Engine) anyFailure(ctx context.Context, id string, states map[string]workflow.TaskState) (*workflow.Error, error) {
	var refs []string
	for ref, s := range states {
		if (s.Status == workflow.TaskFailed || s.Status == workflow.TaskTimedOut) && !s.Continued && workflow.Outside(ref) == "" {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	slices.Sort(refs)
	_, _, reads, err := e.store.Values(ctx, id, refs[:1], false)
	if err != nil {
		return nil, err
	}
	return reads[0].Error, nil
}

// finishCancel cancels what has not ended, and in the next round the execution.
func (e *Engine) finishCancel(ctx context.Context, a *Agenda, p *program) (done bool, err error) {
	if unended(a) > 0 {
		recs, err := e.store.Records(ctx, a.ID, nil)
		if err != nil {
			return false, err
		}
		return false, e.drop(ctx, a, p, recs, "canceled")
	}
	if err := e.store.Finish(ctx, a.ID, a.Epoch, workflow.ExecutionCanceled, nil, nil, nil); err != nil {
		return false, err
	}
	e.ended(ctx, a.ID, a.parentID(), workflow.ExecutionCanceled)
	return true, nil
}

// cancelOrphans cancels sub-executions whose tasks were canceled.
func (e *Engine) cancelOrphans(ctx context.Context, a *Agenda) (found bool, err error) {
	for _, mark := range a.Open {
		child, ok := strings.CutPrefix(mark, OrphanMark)
		if !ok {
			continue
		}
		found = true
		if err := e.cancelChild(ctx, child, "its task was canceled"); err != nil {
			return found, err
		}
		if err := e.store.Dismiss(ctx, a.ID, mark); err != nil {
			return found, err
		}
	}
	return found, nil
}

// drop cancels every task that has not ended and tells the workers.
func (e *Engine) drop(ctx context.Context, a *Agenda, p *program, recs map[string]Record, reason string) error {
	return e.dropWhere(ctx, a, p, recs, Drop{Reason: reason}, func(string) bool { return true })
}

// dropRest cancels what has not ended, failure handlers aside: they run because of it.
func (e *Engine) dropRest(ctx context.Context, a *Agenda, p *program, recs map[string]Record, reason string) (dropped bool, err error) {
	handler := func(ref string) bool {
		return ref == workflow.HandlersPath || workflow.Within(workflow.HandlersPath, ref)
	}
	for ref, rec := range recs {
		if !rec.Status.Ended() && !handler(ref) {
			dropped = true
		}
	}
	if !dropped {
		return false, nil
	}
	return true, e.dropWhere(ctx, a, p, recs, Drop{Reason: reason}, func(ref string) bool { return !handler(ref) })
}

// dropWhere cancels the tasks for which this holds, and tells the workers. Their
// sub-executions become orphans, which are canceled next.
func (e *Engine) dropWhere(ctx context.Context, a *Agenda, p *program, recs map[string]Record, d Drop, which func(ref string) bool) error {
	for ref, rec := range recs {
		if rec.Status.Ended() || !which(ref) {
			continue
		}
		d.Refs = append(d.Refs, ref)
	}
	d.To = workflow.TaskCanceled
	out, err := e.dropRefs(ctx, a, d)
	if err != nil || len(out) == 0 {
		return err
	}
	if err := e.store.PublishCancel(ctx, a.ID); err != nil {
		e.log.Warn("workers could not be told of a cancellation; their next heartbeat will", "execution", a.ID, "error", err)
	}
	of := documentOf(a)
	var jobs []Job
	for _, f := range out {
		if at, ok := p.Place(f.Ref); ok && recs[f.Ref].Status == workflow.TaskQueued {
			jobs = append(jobs, job(of, at.Node, f))
		}
	}
	e.recallAll(ctx, jobs)
	return nil
}

// dropRefs drops tasks step by step, those inside others first.
func (e *Engine) dropRefs(ctx context.Context, a *Agenda, d Drop) (out []Fence, err error) {
	refs := d.Refs
	slices.Sort(refs)
	slices.Reverse(refs)
	d.Epoch = a.Epoch
	for d.Refs = range slices.Chunk(refs, StepSize) {
		fences, err := e.store.Drop(ctx, a.ID, d)
		if err != nil {
			return nil, err
		}
		out = append(out, fences...)
	}
	return out, nil
}
