package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// errStaleRun tells a remote worker to stop.
func errStaleRun(f Fence) error {
	return Conflict("stale", "this run is over: the task was canceled or timed out, its lease ended, or another delivery took its place. Stop it; its result is not wanted (attempt %d, delivery %d)", f.Attempt, f.Dispatch)
}

// Beat is what a remote worker's sign of life is answered.
type Beat struct {
	Canceled bool          // stop: the result is not wanted any more
	Lease    time.Duration // how long the lease holds now
}

// RemoteHeartbeat extends the lease of a remote run, up to its attempt's
// deadline. KindConflict stale when the run is over.
func (e *Engine) RemoteHeartbeat(ctx context.Context, id, ref, token string) (Beat, error) {
	t, err := e.openToken(ctx, id, ref, token)
	if err != nil {
		return Beat{}, err
	}
	holds, canceled, err := e.store.Beat(ctx, t.Fence, time.Duration(t.Lease)*time.Millisecond)
	switch {
	case errors.Is(err, ErrMoved):
		if r, err := e.remoteRun(ctx, t); err == nil {
			if err := e.timedOut(ctx, r); err != nil {
				e.log.Warn("a run whose time is up could not be ended; a sweep will", "job", t.JobID(), "error", err)
			}
		}
		return Beat{}, errStaleRun(t.Fence)
	case errors.Is(err, ErrStale), errors.Is(err, ErrGone):
		e.metrics.fenced("heartbeat")
		return Beat{}, errStaleRun(t.Fence)
	case err != nil || canceled:
		return Beat{Canceled: canceled}, err
	}
	if err := e.store.Touch(ctx, t.Fleet, remoteTTL); err != nil {
		e.log.Debug("a remote worker could not be kept in the fleet", "worker", t.Fleet, "error", err)
	}
	return Beat{Lease: holds}, nil
}

// RemoteResult is what became of a task with a remote worker's report.
type RemoteResult struct {
	Status workflow.TaskStatus // succeeded, failed, or retrying when another attempt follows
	Error  *workflow.Error     // why it failed: as reported, or since the output breaks its schema
}

// RemoteComplete stores the output of a remote run. The same report again is
// answered as the first one. KindConflict stale when the run is over.
func (e *Engine) RemoteComplete(ctx context.Context, id, ref, token string, output json.RawMessage) (RemoteResult, error) {
	t, r, err := e.openRun(ctx, id, ref, token)
	if err != nil {
		return RemoteResult{}, err
	}
	if len(output) == 0 {
		output = json.RawMessage("null")
	}
	if bad := r.At.CheckOutput(output); bad != nil {
		return e.remoteFail(ctx, t, r, bad)
	}
	err = e.Complete(ctx, r, e.cleanOutput(r.At.Node, output))
	if failure, ok := errors.AsType[*workflow.Error](err); ok {
		return RemoteResult{Status: workflow.TaskFailed, Error: failure}, nil
	}
	if errors.Is(err, ErrStale) && e.completedBefore(ctx, t) {
		return RemoteResult{Status: workflow.TaskSucceeded}, nil
	}
	return RemoteResult{Status: workflow.TaskSucceeded}, e.reported(t, err)
}

// completedBefore says that this very delivery succeeded: only its own worker
// can have said so, and did not get the answer.
func (e *Engine) completedBefore(ctx context.Context, t ticket) bool {
	recs, err := e.store.States(ctx, []Fence{t.Fence})
	return err == nil && recs[0].Status == workflow.TaskSucceeded && recs[0].Attempt == t.Attempt && recs[0].Dispatch == t.Dispatch
}

// RemoteFail reports that a remote run failed. KindConflict stale when the run is over.
func (e *Engine) RemoteFail(ctx context.Context, id, ref, token string, failure workflow.Error) (RemoteResult, error) {
	t, r, err := e.openRun(ctx, id, ref, token)
	if err != nil {
		return RemoteResult{}, err
	}
	return e.remoteFail(ctx, t, r, e.redacted(r.At.Node, &failure))
}

func (e *Engine) remoteFail(ctx context.Context, t ticket, r *Run, failure *workflow.Error) (RemoteResult, error) {
	final, err := e.Fail(ctx, r, failure, false)
	result := RemoteResult{Status: workflow.TaskRetrying, Error: fingerprinted(r.At, failure)}
	if final {
		result.Status = workflow.TaskFailed
	}
	return result, e.reported(t, err)
}

// RemoteLog keeps lines that a remote run wrote. KindConflict stale when there is no such run.
func (e *Engine) RemoteLog(ctx context.Context, id, ref, token string, lines []LogLine) error {
	t, r, err := e.openRun(ctx, id, ref, token)
	if err != nil {
		return err
	}
	for i := range lines {
		lines[i].Message = e.withoutSecrets(r.At.Node, lines[i].Message)
	}
	return e.reported(t, e.AppendLogs(ctx, t.Fence, lines))
}

func (e *Engine) reported(t ticket, err error) error {
	if errors.Is(err, ErrStale) || errors.Is(err, ErrGone) {
		return errStaleRun(t.Fence)
	}
	return err
}

func (e *Engine) openRun(ctx context.Context, id, ref, token string) (ticket, *Run, error) {
	t, err := e.openToken(ctx, id, ref, token)
	if err != nil {
		return t, nil, err
	}
	r, err := e.remoteRun(ctx, t)
	return t, r, e.reported(t, err)
}

// remoteRun is a run again, at whichever server its worker reports to. What was
// recorded of its input is stored already.
func (e *Engine) remoteRun(ctx context.Context, t ticket) (*Run, error) {
	if d, ok := e.documents.Get(t.Execution); ok && d.Epoch != t.Epoch {
		e.documents.Remove(t.Execution) // it was redriven at another server
	}
	d, p, err := e.document(ctx, t.Execution)
	if err != nil {
		return nil, err
	}
	at, ok := p.Place(t.Ref)
	if !ok {
		return nil, ErrStale
	}
	return &Run{
		Fence: t.Fence, At: at, Project: d.Project, Workflow: d.Workflow, Number: d.Number, Try: t.Try,
		StartedAt: time.UnixMilli(t.Started), Sent: time.UnixMilli(t.Started), document: d, program: p, hash: t.Hash,
	}, nil
}

const hiddenSecret = "[secret]"

// redacted keeps the secrets that a task was given out of its failure.
func (e *Engine) redacted(n *workflow.Node, failure *workflow.Error) *workflow.Error {
	failure.Message = e.withoutSecrets(n, failure.Message)
	return failure
}

// cleanOutput keeps them out of the texts of an output.
func (e *Engine) cleanOutput(n *workflow.Node, output json.RawMessage) json.RawMessage {
	if clean := json.RawMessage(e.withoutSecrets(n, string(output))); json.Valid(clean) {
		return clean
	}
	return output // the digits of a number look like a secret
}

func (e *Engine) withoutSecrets(n *workflow.Node, text string) string {
	for _, name := range n.InputReads.Secrets {
		if value, err := e.o.Secrets(name); err == nil && len(value) >= 4 { // shorter ones would garble every text
			text = strings.ReplaceAll(text, value, hiddenSecret)
			if quoted, err := json.Marshal(value); err == nil {
				text = strings.ReplaceAll(text, string(quoted[1:len(quoted)-1]), hiddenSecret)
			}
		}
	}
	return text
}

// expireDeadline ends a remote run whose deadline passed: nobody cancels its handler from inside.
func (e *Engine) expireDeadline(ctx context.Context, f Fence, rec Record, d *Document, p *program) error {
	at, ok := p.Place(f.Ref)
	if !ok {
		return harmless(e.redispatch(ctx, f, WhyExpire))
	}
	e.metrics.repaired("deadline")
	started := time.UnixMilli(rec.Started)
	r := &Run{Fence: f, At: at, Try: rec.Try, StartedAt: started, Sent: started, document: d, program: p, hash: rec.Hash}
	if rec.Silence > 0 && rec.Deadline < rec.Started+at.Timeout.Milliseconds() {
		_, err := e.Fail(ctx, r, &workflow.Error{
			Code: CodeSilent, Message: fmt.Sprintf("its worker was silent for %s", time.Duration(rec.Silence)*time.Millisecond), Retryable: true,
		}, true)
		return harmless(err)
	}
	return e.timedOut(ctx, r)
}

// CodeSilent is the code of an attempt that was timed out because its remote worker was silent.
const CodeSilent = "worker_silent"

func (e *Engine) timedOut(ctx context.Context, r *Run) error {
	_, err := e.Fail(ctx, r, &workflow.Error{
		Code: CodeTimedOut, Message: fmt.Sprintf("the attempt did not end within its timeout of %s", r.At.Timeout), Retryable: true,
	}, true)
	return harmless(err)
}
