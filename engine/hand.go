package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// HandRequest is what an operator says of a task: that it succeeded with an
// output, that it failed with an error, or that it is skipped.
type HandRequest struct {
	To         workflow.TaskStatus // succeeded, failed or skipped
	Output     json.RawMessage
	Error      *workflow.Error
	Reason, By string
	// Of a task that ended, as settling that is a redrive: refs of tasks with unsafe effects that
	// may run again, and the plan that it must still be.
	Acknowledge []string
	PlanHash    string
}

// hand is a HandRequest as a running task that holds others keeps it.
type hand struct {
	To     workflow.TaskStatus `json:"to"`
	Output json.RawMessage     `json:"output,omitempty"`
	Error  *workflow.Error     `json:"error,omitempty"`
	Reason string              `json:"reason,omitempty"`
	By     string              `json:"by,omitempty"`
}

func (h hand) close() Close {
	return Close{To: h.To, Output: h.Output, Error: h.Error, Reason: h.Reason, By: h.By}
}

// notEnded are the statuses that a task has before it ends.
var notEnded = []workflow.TaskStatus{workflow.TaskPending, workflow.TaskQueued, workflow.TaskRunning, workflow.TaskRetrying, workflow.TaskWaiting}

// SettleByHand ends a task that has not ended as an operator says; a run that is
// under way is superseded, and what the task holds is canceled. One that ended without
// success is settled by a redrive. The ref of one inside a sub-workflow stands behind its
// task and a slash. KindInvalid for an output that does not fit; KindConflict task_ended, execution_ended.
func (e *Engine) SettleByHand(ctx context.Context, id, path string, r HandRequest) (*Task, error) {
	x, p, t, err := e.innerTask(ctx, id, path)
	if err != nil {
		return nil, err
	}
	at, rec, ref := t.Place, t.rec, t.Ref
	if _, ok := p.Place(ref); !ok { // only a former version has it
		return nil, NotFound("task", path)
	}
	if err := checkHand(at, &r); err != nil {
		return nil, err
	}
	if done, err := e.handedBefore(ctx, id, path, r); err != nil {
		return nil, err
	} else if done {
		return e.Task(ctx, x.ID, ref)
	}
	if x.Status == workflow.ExecutionCanceling {
		return nil, Conflict("execution_ended", "execution %s is being canceled; a task can be settled by hand before that, or when it is canceled", x.ID)
	}
	if rec.Status.Ended() {
		if !handable(r.To, rec) {
			return nil, taskEnded(path, string(rec.Status))
		}
		if _, err := e.Redrive(ctx, id, handRedrive(path, r)); err != nil {
			return nil, err
		}
		return e.Task(ctx, x.ID, ref)
	}
	if r.PlanHash != "" {
		return nil, taskActive(path, rec.Status)
	}
	h := hand{To: r.To, Output: r.Output, Error: r.Error, Reason: r.Reason, By: orOperator(r.By)}
	if rec.Control != "" && rec.Status == workflow.TaskRunning {
		err = e.endHolder(ctx, x.ID, at, rec, h)
	} else {
		err = e.closeByHand(ctx, x, p, at, h.close(), notEnded)
	}
	if err != nil {
		return nil, err
	}
	if err := e.store.PublishCancel(ctx, x.ID); err != nil {
		e.log.Warn("workers could not be told that a task was superseded; their next heartbeat will", "execution", x.ID, "error", err)
	}
	return e.Task(ctx, x.ID, ref)
}

// handedBefore reports whether the plan of settling a task was executed already.
func (e *Engine) handedBefore(ctx context.Context, id, path string, r HandRequest) (bool, error) {
	if r.PlanHash == "" {
		return false, nil
	}
	x, err := e.Execution(ctx, id)
	if err != nil {
		return false, err
	}
	once, err := onceOf(x, handRedrive(path, r), nil)
	if err != nil {
		return false, err
	}
	made, err := e.redrivenBefore(ctx, x, once)
	return made != nil, err
}

// PlanByHand answers what SettleByHand would do to a task that ended; that is a redrive.
func (e *Engine) PlanByHand(ctx context.Context, id, ref string, r HandRequest) (*workflow.Plan, error) {
	_, _, t, err := e.innerTask(ctx, id, ref)
	if err != nil {
		return nil, err
	}
	if err := checkHand(t.Place, &r); err != nil {
		return nil, err
	}
	if !t.rec.Status.Ended() {
		return nil, taskActive(ref, t.rec.Status)
	}
	if !handable(r.To, t.rec) {
		return nil, taskEnded(ref, string(t.rec.Status))
	}
	return e.Plan(ctx, id, handRedrive(ref, r))
}

// handable reports whether an operator may settle a task anew that ended: one that did not succeed.
func handable(to workflow.TaskStatus, rec Record) bool {
	return to != workflow.TaskFailed && rec.Status != workflow.TaskSucceeded && rec.Status != workflow.TaskSkipped
}

// handRedrive is the redrive that an operator asks for who settles a task that ended.
func handRedrive(ref string, r HandRequest) RedriveRequest {
	q := RedriveRequest{Reason: r.Reason, By: orOperator(r.By), PlanHash: r.PlanHash}
	q.Acknowledge = r.Acknowledge
	switch r.To {
	case workflow.TaskSkipped:
		q.Operation, q.From = workflow.OperationSkip, []string{ref}
	case workflow.TaskSucceeded:
		output := r.Output
		if len(output) == 0 {
			output = json.RawMessage("null")
		}
		q.Operation, q.Outputs = workflow.OperationComplete, map[string]json.RawMessage{ref: output}
	}
	return q
}

func orOperator(by string) string {
	if by == "" {
		return "operator"
	}
	return by
}

func taskActive(ref string, status workflow.TaskStatus) *Error {
	return Conflict("task_active", "task %s is %s: settling it by hand is no redrive, and there is no plan of it", ref, status)
}

func taskEnded(ref, status string) *Error {
	return Conflict("task_ended", "task %s is %s; by hand a task is settled that has not ended, or completed or skipped when it did not succeed", ref, status)
}

func checkHand(at workflow.Place, r *HandRequest) error {
	if err := checkReason(r.Reason); err != nil {
		return err
	}
	switch r.To {
	case workflow.TaskSucceeded:
		if len(r.Output) == 0 {
			r.Output = json.RawMessage("null")
		}
		if at.Holds() && string(r.Output) != "null" {
			return Invalid("request_invalid", "the task cannot be completed so", workflow.Problem{
				Field: "output", Code: "not_allowed", Message: fmt.Sprintf("the output of %s is made of what it holds", at.Ref), Allowed: "no output, or complete the tasks inside",
			})
		}
		if bad := at.CheckOutput(r.Output); bad != nil {
			return Invalid("request_invalid", "the task cannot be completed so", workflow.Problem{
				Field: "output", Code: bad.Code, Message: bad.Message, Allowed: "a value that fits output_schema and the limits",
			})
		}
	case workflow.TaskFailed:
		if r.Error == nil {
			r.Error = &workflow.Error{}
		}
		f := *r.Error
		if f.Code == "" {
			f.Code = "failed_by_hand"
		}
		if f.Message == "" {
			f.Message = "an operator failed it"
		}
		r.Error = fingerprinted(at, &f)
	}
	return nil
}

func (e *Engine) endHolder(ctx context.Context, id string, at workflow.Place, rec Record, h hand) error {
	body, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("engine: encoding what an operator said: %w", err)
	}
	err = e.store.CutOff(ctx, Fence{Execution: id, Ref: at.Ref, Attempt: rec.Attempt}, body)
	if errors.Is(err, ErrStale) || errors.Is(err, ErrGone) {
		return taskEnded(at.Ref, "not running any more, or being ended already")
	}
	if err != nil {
		return err
	}
	return e.Advance(ctx, id)
}

func (e *Engine) closeByHand(ctx context.Context, x *Execution, p *program, at workflow.Place, c Close, from []workflow.TaskStatus) error {
	c.Epoch, c.From = -1, from
	settled, err := e.store.CloseTask(ctx, x.ID, c.of(at, p))
	var status *TaskStatusError
	switch {
	case errors.As(err, &status):
		return taskEnded(at.Ref, status.Status)
	case errors.Is(err, ErrGone):
		return NotFound("execution", x.ID)
	case errors.Is(err, ErrMoved):
		return Conflict("plan_changed", "execution %s changed meanwhile; look at it again", x.ID)
	case err != nil:
		return err
	}
	d, _, err := e.document(ctx, x.ID)
	if err != nil {
		return err
	}
	e.follow(ctx, x.ID, d, p, settled)
	return nil
}

// Answer is what somebody hands in to a wait or an approval.
type Answer struct {
	Task       string // ref; "" where only one waits
	Input      json.RawMessage
	AnsweredBy string
	Reason, By string
}

// AnswerGate ends a wait or an approval with a value that fits its schema; of two
// at once one wins. KindConflict no_gate, gate_ambiguous, gate_answered.
func (e *Engine) AnswerGate(ctx context.Context, id string, a Answer) (*Execution, error) {
	if err := checkReason(a.Reason); err != nil {
		return nil, err
	}
	x, p, err := e.open(ctx, id)
	if err != nil {
		return nil, err
	}
	at, rec, err := e.gate(ctx, x, p, a.Task)
	if err != nil {
		return nil, err
	}
	values, err := e.store.TaskValues(ctx, x.ID, []string{at.Ref}, []int{rec.Attempt}, true)
	if err != nil {
		return nil, err
	}
	gate, bad := at.Gate(values[0].Input)
	if bad != nil {
		return nil, fmt.Errorf("engine: the input of %s of %s cannot be read: %w", at.Ref, x.ID, bad)
	}
	if problems := gate.Check(a.Input); len(problems) > 0 {
		return nil, Invalid("input_invalid", "the input does not fit what "+at.Ref+" asks for", problems...)
	}
	output := a.Input
	if at.Type == workflow.TypeApproval {
		output = answered(a)
	}
	if len(output) > e.o.Limits.TaskValueBytes {
		return nil, Invalid("input_invalid", "the input cannot be taken", workflow.Problem{
			Field: "input", Code: "too_large", Message: fmt.Sprintf("has %d bytes", len(output)), Allowed: fmt.Sprintf("at most %d", e.o.Limits.TaskValueBytes),
		})
	}
	by := a.AnsweredBy
	if by == "" {
		by = orOperator(a.By)
	}
	c := Close{To: workflow.TaskSucceeded, Output: output, By: by, Reason: a.Reason, Attempt: rec.Attempt}
	err = e.closeByHand(ctx, x, p, at, c, []workflow.TaskStatus{workflow.TaskWaiting})
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "task_ended" {
		return nil, Conflict("gate_answered", "%s of execution %s was answered, or ended, meanwhile", at.Ref, x.ID)
	}
	if err != nil {
		return nil, err
	}
	return e.Execution(ctx, x.ID)
}

// answered adds who answered to an answer that is an object.
func answered(a Answer) json.RawMessage {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(a.Input, &fields); err != nil || fields == nil {
		return a.Input
	}
	by := a.AnsweredBy
	if by == "" {
		by = a.By
	}
	text, err := json.Marshal(by)
	if err != nil || by == "" {
		return a.Input
	}
	fields["answered_by"] = text
	out, err := json.Marshal(fields)
	if err != nil {
		return a.Input
	}
	return out
}

// gate finds the wait or approval that is meant.
func (e *Engine) gate(ctx context.Context, x *Execution, p *program, ref string) (workflow.Place, Record, error) {
	recs, err := e.store.Records(ctx, x.ID, nil)
	if err != nil {
		return workflow.Place{}, Record{}, err
	}
	var open []string
	for r, rec := range recs {
		if at, ok := p.Place(r); ok && isGate(at, rec) {
			open = append(open, r)
		}
	}
	slices.Sort(open)
	switch {
	case ref == "" && len(open) == 1:
		ref = open[0]
	case ref == "" && len(open) == 0:
		return workflow.Place{}, Record{}, Conflict("no_gate", "no task of execution %s waits for an input", x.ID)
	case ref == "":
		return workflow.Place{}, Record{}, Conflict("gate_ambiguous", "several tasks of execution %s wait for an input; name one as task: %s", x.ID, strings.Join(open, ", "))
	case !slices.Contains(open, ref):
		rec, there := recs[ref]
		if !there {
			return workflow.Place{}, Record{}, NotFound("task", ref)
		}
		code := "no_gate" // nobody was first: it has not begun to wait
		if rec.Status.Ended() {
			code = "gate_answered"
		}
		return workflow.Place{}, Record{}, Conflict(code, "task %s of execution %s is %s and waits for no input", ref, x.ID, rec.Status)
	}
	at, _ := p.Place(ref)
	return at, recs[ref], nil
}
