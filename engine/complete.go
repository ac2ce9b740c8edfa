package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Complete stores the output of a run and sends out what waited for it.
// ErrStale when the run was superseded. An output that breaks its schema or
// limits fails the task; the answer is that *workflow.Error when it is final.
func (e *Engine) Complete(ctx context.Context, r *Run, output json.RawMessage) error {
	if len(output) == 0 {
		output = json.RawMessage("null")
	}
	if bad := r.At.CheckOutput(output); bad != nil {
		return e.reject(ctx, r, bad)
	}
	x := r.result()
	x.Output, x.Successors = output, r.program.next(r.At)
	if r.document.Epoch == 0 {
		x.Ahead = e.ahead(r.document, r.program, r.Execution, x.Successors)
	}
	settled, err := e.store.Complete(ctx, x)
	if errors.Is(err, ErrValuesFull) {
		return e.reject(ctx, r, valuesFull(fmt.Sprintf("the output has %d bytes", len(output))))
	}
	if err != nil {
		return e.refused("complete", r.Fence, err)
	}
	e.metrics.task(r.At.Type, workflow.TaskSucceeded, time.Since(r.Sent))
	e.follow(ctx, r.Execution, r.document, r.program, settled)
	return nil
}

// reject fails a run whose output cannot be taken; it answers why when that is final.
func (e *Engine) reject(ctx context.Context, r *Run, bad *workflow.Error) error {
	final, err := e.Fail(ctx, r, bad, false)
	if err != nil {
		return err
	}
	if final {
		return bad
	}
	return nil
}

// ValuesBytes is how many bytes all inputs, outputs and errors of an execution may have, as they are stored.
const ValuesBytes = 64 << 20

func valuesFull(what string) *workflow.Error {
	return &workflow.Error{Code: "values_limit", Message: fmt.Sprintf(
		"%s, and with it the inputs and outputs of this execution would have more than %d MiB, compressed; "+
			"hand on references (a path, a URL) instead of the data, or spread the work over several executions", what, ValuesBytes>>20)}
}

// Fail reports that a run failed. final is false when another attempt follows.
func (e *Engine) Fail(ctx context.Context, r *Run, failure *workflow.Error, timedOut bool) (final bool, err error) {
	failure = fingerprinted(r.At, failure)
	x := r.result()
	x.Error, x.TimedOut = failure, timedOut
	if delay, again := r.At.Retry.Next(r.Try, failure, e.o.Random()); again {
		due, err := e.store.BackOff(ctx, x, delay)
		if err != nil {
			return false, e.refused("fail", r.Fence, err)
		}
		e.metrics.task(r.At.Type, workflow.TaskRetrying, time.Since(r.Sent))
		e.timers.add(TimerRetry, r.Fence, due)
		return false, nil
	}
	settled, err := e.fail(ctx, x, r.At, r.program)
	if err != nil {
		return false, e.refused("fail", r.Fence, err)
	}
	status := workflow.TaskFailed
	if timedOut {
		status = workflow.TaskTimedOut
	}
	e.metrics.task(r.At.Type, status, time.Since(r.Sent))
	e.follow(ctx, r.Execution, r.document, r.program, settled)
	return true, nil
}

func (e *Engine) fail(ctx context.Context, x Result, at workflow.Place, p *program) (Settled, error) {
	x.OnFailure = onward(at, p)
	x.Successors = p.next(at)
	return e.store.Fail(ctx, x)
}

// onward says what the final failure of a task means. That of one inside another
// is the other's business: it goes on in there as on_failure says.
func onward(at workflow.Place, p *program) Onward {
	switch {
	case at.Item && at.Each.Stop:
		return OnwardHalt
	case at.Inner():
		return OnwardStop
	case at.OnFailure == workflow.OnFailureContinue:
		return OnwardContinue
	case p.Definition.FailFast && at.Owner == nil && at.Path != workflow.HandlersPath:
		return OnwardStopAll
	}
	return OnwardStop
}

// fingerprinted groups failures of the same kind: those of all items of a for_each are one.
func fingerprinted(at workflow.Place, failure *workflow.Error) *workflow.Error {
	f := *failure
	if f.Fingerprint = workflow.GivenFingerprint(f.Fingerprint); f.Fingerprint == "" {
		f.Fingerprint = workflow.Fingerprint(at.Type, at.Path, failure)
	}
	return &f
}

// refused counts and logs a result that came too late.
func (e *Engine) refused(operation string, f Fence, err error) error {
	if errors.Is(err, ErrStale) || errors.Is(err, ErrGone) {
		e.metrics.fenced(operation)
		e.log.Warn("a result was refused: another attempt or delivery took its place",
			"operation", operation, "execution", f.Execution, "task", f.Ref, "attempt", f.Attempt, "dispatch", f.Dispatch)
		return ErrStale
	}
	return fmt.Errorf("engine: %s of %s: %w", operation, f.JobID(), err)
}

// Release hands a run back: a draining worker cannot finish it. No try is used.
func (e *Engine) Release(ctx context.Context, r *Run) error {
	return e.redispatch(ctx, r.Fence, WhyRelease)
}

// Decline passes a delivery on, before any claim: this worker has no handler for its type.
func (e *Engine) Decline(ctx context.Context, f Fence) error {
	_, _, err := e.store.Redispatch(ctx, f, WhyDecline, declinePause)
	if errors.Is(err, ErrStale) || errors.Is(err, ErrGone) {
		return nil
	}
	return err
}

// relayGrace is how long the writer of a job has to relay it before a sweep does.
const relayGrace = 1500 * time.Millisecond

// declinePause is how long a declined delivery waits, so that a worker without
// its type does not take it at once again.
const declinePause = time.Second

// redispatch sends the same attempt out again, at once.
func (e *Engine) redispatch(ctx context.Context, f Fence, why Why) error {
	next, relay, err := e.store.Redispatch(ctx, f, why, relayGrace)
	if err != nil {
		return e.refused(string(why), f, err)
	}
	if !relay {
		return nil
	}
	d, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return err
	}
	e.relay(ctx, d, p, []Fence{next})
	return nil
}

// Heartbeat extends the leases of runs. Per run: nil, ErrStale when it was
// superseded (cancel its handler), or why Redis could not be asked.
func (e *Engine) Heartbeat(ctx context.Context, runs []*Run) []error {
	out := make([]error, len(runs))
	if len(runs) == 0 {
		return out
	}
	fences := make([]Fence, len(runs))
	for i, r := range runs {
		fences[i] = r.Fence
	}
	alive, err := e.store.Heartbeat(ctx, fences, e.o.Lease)
	for i := range out {
		switch {
		case err != nil:
			out[i] = err
		case !alive[i]:
			e.metrics.fenced("heartbeat")
			out[i] = ErrStale
		}
	}
	return out
}
