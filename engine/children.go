package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redrive/redrive/workflow"
)

// beginChild begins a sub-workflow: first the task says which execution it will
// be, then that is made under this id. Whoever finds the one without the other makes it.
func (e *Engine) beginChild(ctx context.Context, u *undecided, b Begin) error {
	if u.rec.Keep != workflow.KeepNothing && u.rec.Child != "" {
		return e.reopenChild(ctx, u, b)
	}
	input, err := e.recorded(ctx, u)
	if err != nil {
		return err
	}
	b.Input, b.InputHash = input, inputHash(input)
	child, bad := u.at.Child(input)
	if bad != nil {
		return bad
	}
	if u.a.Depth+1 > e.o.Limits.Nesting {
		return &workflow.Error{Code: "too_deep", Message: fmt.Sprintf("sub-workflows are nested deeper than %d; does %s call itself?", e.o.Limits.Nesting, child.Name)}
	}
	if err := e.resolveChild(ctx, u.a.Project, &child); err != nil {
		return err
	}
	if b.Input, err = json.Marshal(child); err != nil {
		return fmt.Errorf("engine: encoding what %s asks for: %w", u.at.Ref, err)
	}
	if b.Child, err = childID(u.a.ID); err != nil {
		return err
	}
	if err := e.commence(ctx, u, b); err != nil {
		return err
	}
	return e.makeChild(ctx, u, child)
}

// resolveChild settles what a sub-workflow will run: the version of a workflow, or the definition that the task gives, checked as when it is published.
func (e *Engine) resolveChild(ctx context.Context, project string, child *workflow.Child) error {
	if child.Definition != nil {
		p, bad := workflow.LoadInline(child.Definition, e.fleet.catalog(e.o.Catalog), e.o.Limits)
		if bad != nil {
			return bad
		}
		child.Definition = p.Definition.Canonical()
		return nil
	}
	head, err := e.childHead(ctx, project, *child)
	if err != nil {
		return err
	}
	if head.Hash == "" {
		return &workflow.Error{Code: "workflow_not_found", Message: fmt.Sprintf("project %s has no workflow %s; publish it and retry", project, wanted(*child))}
	}
	child.Version = head.Version
	return nil
}

// openChild answers the workflow and the program of a sub-workflow that was resolved.
func (e *Engine) openChild(ctx context.Context, project string, child workflow.Child) (*Workflow, *program, error) {
	if child.Definition != nil {
		opened, err := workflow.Open(child.Definition, e.o.Limits)
		if err != nil {
			return nil, nil, fmt.Errorf("engine: opening the definition that a task gave: %w", err)
		}
		p := newProgram(opened)
		e.programs.Add(p.Hash, p)
		return &Workflow{Project: project, Name: p.Definition.Name, Hash: p.Hash}, p, nil
	}
	w, err := e.head(ctx, project, child.Name, child.Version)
	if err != nil {
		return nil, nil, err
	}
	p, err := e.program(ctx, project, w.Hash, "")
	return w, p, err
}

// childHead answers the version that a sub-workflow will run; without a hash there is none.
func (e *Engine) childHead(ctx context.Context, project string, child workflow.Child) (Head, error) {
	if child.Label != "" && child.Version == 0 {
		version, err := e.labeled(ctx, project, child.Name, child.Label)
		if err != nil || version == 0 && child.Label != LabelLatest {
			return Head{}, err
		}
		child.Version = version
	}
	return e.store.Head(ctx, project, child.Name, child.Version)
}

// wanted says which workflow a task asks for.
func wanted(c workflow.Child) string {
	switch {
	case c.Version != 0:
		return fmt.Sprintf("%q with a version %d", c.Name, c.Version)
	case c.Label != "":
		return fmt.Sprintf("%q with the label %q", c.Name, c.Label)
	}
	return fmt.Sprintf("%q", c.Name)
}

// makeChild makes the sub-execution that a task names, once, and takes the task off the agenda.
func (e *Engine) makeChild(ctx context.Context, u *undecided, child workflow.Child) error {
	w, p, err := e.openChild(ctx, u.a.Project, child)
	var refused *Error
	if errors.As(err, &refused) && refused.Kind == KindNotFound {
		return e.failControl(ctx, u, &workflow.Error{Code: "workflow_not_found", Message: refused.Message}, false, CloseAlways)
	}
	if err != nil {
		return err
	}
	request := StartRequest{Workflow: w.Name, Version: w.Version, Input: child.Input, Priority: u.a.Priority, CorrelationID: u.a.CorrelationID, Labels: u.a.Labels}
	if err := e.checkStart(p, &request); errors.As(err, &refused) && refused.Kind == KindInvalid {
		return e.failControl(ctx, u, &workflow.Error{Code: workflow.CodeInputInvalid, Message: fmt.Sprintf("%s refuses the input: %v", w.Name, refused.Problems)}, false, CloseAlways)
	} else if err != nil {
		return err
	}
	x := newExecution(u.rec.Child, u.a.Project, w, p, request)
	x.Definition = child.Definition
	x.Parent, x.Root = &Parent{Execution: u.a.ID, Task: u.at.Ref}, u.a.Root
	x.Path, x.Depth = u.a.Path+u.at.Ref+"/", u.a.Depth+1
	if x.Number, err = e.store.Number(ctx); err != nil {
		return err
	}
	err = e.place(ctx, &x, w, request)
	if errors.As(err, &refused) && refused.Kind == KindConflict { // it is full, and says to refuse then
		return e.failControl(ctx, u, &workflow.Error{Code: refused.Code, Message: refused.Message, Retryable: true}, false, CloseAlways)
	}
	if err != nil {
		return err
	}
	if _, _, err := e.create(ctx, x, p); errors.Is(err, ErrStale) {
		return ErrMoved // the task was canceled, or timed out, meanwhile
	} else if err != nil {
		return err
	}
	if err := e.pausedMeanwhile(ctx, u); err != nil {
		return err
	}
	return e.awaitChild(ctx, u)
}

// pausedMeanwhile pauses a sub-execution that was made while its parent was paused.
func (e *Engine) pausedMeanwhile(ctx context.Context, u *undecided) error {
	x, err := e.store.Execution(ctx, u.a.ID, false)
	if errors.Is(err, ErrGone) || err == nil && x.Status != workflow.ExecutionPaused {
		return nil
	}
	if err != nil {
		return err
	}
	return e.passOn(ctx, u.a.ID, u.rec.Child, OperationPause)
}

// awaitChild takes the task off the agenda until its sub-execution ends.
func (e *Engine) awaitChild(ctx context.Context, u *undecided) error {
	err := e.store.Made(ctx, u.a.ID, u.at.Ref, u.rec.Child)
	var ended *StatusError
	if errors.As(err, &ended) || errors.Is(err, ErrGone) {
		return ErrMoved
	}
	return err
}

// settleChild does what a task waits for whose sub-execution is to be made, or ended.
func (e *Engine) settleChild(ctx context.Context, u *undecided) error {
	if u.rec.Timed != "" || u.rec.Hand != "" {
		return e.cutOff(ctx, u)
	}
	if u.rec.Plan != "" {
		err := e.resumeChild(ctx, u)
		if refused, ok := errors.AsType[*Error](err); ok && refused.Kind == KindConflict { // it is full, and says to refuse then
			return e.failControl(ctx, u, &workflow.Error{Code: refused.Code, Message: refused.Message, Retryable: true}, false, CloseAlways)
		}
		if errors.Is(err, ErrValuesFull) {
			return e.failControl(ctx, u, valuesFull("what a redrive gave to execution "+u.rec.Child+" is to be kept"), false, CloseAlways)
		}
		if err != nil {
			return err
		}
	}
	x, err := e.store.Execution(ctx, u.rec.Child, true)
	if errors.Is(err, ErrGone) {
		input, err := e.asked(ctx, u)
		if err != nil {
			return err
		}
		var child workflow.Child
		if err := json.Unmarshal(input, &child); err != nil {
			return fmt.Errorf("engine: what %s of %s asks for cannot be read: %w", u.at.Ref, u.a.ID, err)
		}
		return e.makeChild(ctx, u, child)
	}
	switch {
	case err != nil:
		return err
	case !x.Status.Ended():
		if err := e.pausedMeanwhile(ctx, u); err != nil { // whoever made it may have crashed before it looked
			return err
		}
		return e.awaitChild(ctx, u)
	case x.Status == workflow.ExecutionSucceeded:
		output := x.Output
		if output == nil {
			output = json.RawMessage("null")
		}
		if u.rec.Given != "" || u.at.WantsID() {
			input, err := e.asked(ctx, u)
			if err != nil {
				return err
			}
			output = u.at.ChildOutput(input, output, x.ID)
		}
		if bad := u.at.CheckOutput(output); bad != nil {
			return e.failControl(ctx, u, bad, false, CloseAlways)
		}
		return e.closeTask(ctx, u, Close{To: workflow.TaskSucceeded, Output: output})
	}
	return e.failControl(ctx, u, childFailure(x), false, CloseAlways)
}

// asked is the input that a task was begun with.
func (e *Engine) asked(ctx context.Context, u *undecided) (json.RawMessage, error) {
	values, err := e.store.TaskValues(ctx, u.a.ID, []string{u.at.Ref}, []int{u.rec.Attempt}, true)
	if err != nil {
		return nil, err
	}
	return values[0].Input, nil
}

func childFailure(x *Execution) *workflow.Error {
	failure := &workflow.Error{Code: "child_" + string(x.Status), Message: fmt.Sprintf("execution %s of %s is %s", x.ID, x.Workflow, x.Status), Retryable: x.Status != workflow.ExecutionCanceled}
	if x.Error != nil {
		failure.Code, failure.Retryable, failure.Fingerprint = x.Error.Code, x.Error.Retryable, x.Error.Fingerprint // one cause, one group
		failure.Message = fmt.Sprintf("execution %s of %s: %s", x.ID, x.Workflow, x.Error.Message)
	}
	return failure
}

// ReasonPart begins the reason of an execution that was canceled with what it is a part of.
const ReasonPart = "a part of another execution: "

// cancelChild cancels a sub-execution. Whoever ends its task does this first, so
// that none goes on alone: what asked for it stays on the agenda until it is done.
func (e *Engine) cancelChild(ctx context.Context, id, reason string) error {
	_, err := e.store.Control(ctx, id, OperationCancel, Request{Reason: ReasonPart + reason})
	var status *StatusError
	switch {
	case errors.Is(err, ErrGone), errors.As(err, &status):
		return nil
	case err != nil:
		return err
	}
	e.indexed(ctx, id)
	if err := e.Advance(ctx, id); err != nil {
		e.log.Warn("a sub-execution could not be advanced; a sweep will", "execution", id, "error", err)
	}
	return nil
}

// cascadeReason is the reason of a pause that came from the parent: only such a one ends with the parent's.
const cascadeReason = "the execution that it is a part of was paused"

// cascade passes a pause or a resume on to the sub-executions.
func (e *Engine) cascade(ctx context.Context, a *Agenda) error {
	recs, err := e.store.Records(ctx, a.ID, nil)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		if rec.Status != workflow.TaskRunning || rec.Child == "" {
			continue
		}
		if err := e.passOn(ctx, a.ID, rec.Child, a.Cascade); err != nil {
			return err
		}
	}
	return e.store.Cascaded(ctx, a.ID, a.Cascade)
}

func (e *Engine) passOn(ctx context.Context, above, child string, op Operation) error {
	x, err := e.store.Execution(ctx, child, false)
	if errors.Is(err, ErrGone) {
		return nil // it is made later, and then looks at its parent
	}
	if err != nil {
		return err
	}
	if op == OperationResume && x.Reason != cascadeReason {
		return nil
	}
	_, err = e.store.Control(ctx, child, op, Request{Reason: map[Operation]string{OperationPause: cascadeReason}[op], Above: above})
	var status *StatusError
	if errors.As(err, &status) || errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if op == OperationResume {
		if err := e.overdue(ctx, x); err != nil {
			return err
		}
	}
	e.indexed(ctx, child)
	return e.Advance(ctx, child)
}
