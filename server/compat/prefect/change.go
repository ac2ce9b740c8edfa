package prefect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/workflow"
)

// tries is how often something is looked at anew, because it changed meanwhile.
const tries = 10

var errBusy = refused{http.StatusConflict, detail{"the flow run changes faster than this can be done; try again"}}

// raced reports whether what was asked rested on a state that is no more: it is to be looked at again.
func raced(err error) bool {
	var e *engine.Error
	return errors.As(err, &e) && slices.Contains([]string{"memo_changed", "not_paused", "not_pausable", "not_cancelable", "gate_answered", "no_gate", "plan_changed"}, e.Code)
}

// cannot is why Redrive does not do what Prefect's rules let pass.
type cannot string

func (c cannot) Error() string { return string(c) }

// errPauseOver says that the deadline of a pause had passed before it was lifted.
var errPauseOver = errors.New("prefect: the pause is over")

// drivenTask is the only task of a flow that Prefect's own process runs: it waits for how that ends.
const drivenTask = "flow_run"

// change is a step from one state of a flow run to the next.
type change struct {
	h      *handlers
	run    *run
	from   *state // nil = none
	to     *state
	forced bool               // Prefect's rules were not asked
	answer json.RawMessage    // of the approval that is open
	with   []engine.MemoWrite // what else is kept with it
}

// apply makes a step so, and answers the state as it is kept.
func (c *change) apply(ctx context.Context) (*state, error) {
	c.to.ID = stateID(c.run.x.ID, uuid.NewString())
	do := c.natively
	if c.run.driven() {
		do = c.driven
	}
	err := do(ctx)
	var e *engine.Error
	switch {
	case errors.As(err, &e) && e.Code == "pause_expired":
		return nil, errPauseOver
	case errors.As(err, &e) && e.Kind == engine.KindConflict && !raced(err):
		return nil, cannot(e.Message)
	case errors.As(err, &e) && e.Kind == engine.KindInvalid:
		return nil, cannot("Reason: " + e.Error())
	case err != nil:
		return nil, err
	}
	return c.found(ctx)
}

// kept keeps a state of a step that is done already.
func (c *change) kept(ctx context.Context) (*state, error) {
	c.to.ID = stateID(c.run.x.ID, uuid.NewString())
	if err := c.afterwards(ctx); err != nil {
		return nil, err
	}
	return c.found(ctx)
}

// found is the state as it is kept.
func (c *change) found(ctx context.Context) (*state, error) {
	r, err := c.h.load(ctx, c.run.x.ID)
	if err != nil {
		return nil, err
	}
	for i, s := range r.said.States {
		if s.ID != c.to.ID {
			continue
		}
		if i < len(r.said.States)-1 {
			return &s, nil
		}
		if now := r.state(); now != nil && now.ID == s.ID {
			return now, nil
		}
		return r.lastSaid(), nil
	}
	return c.to, nil // so much followed that it is kept no more
}

// natively is a step of an execution that Redrive's workers run.
func (c *change) natively(ctx context.Context) error {
	now, to := c.from.Type, c.to.Type
	switch {
	case !final(now) && (to == cancelling || to == cancelled):
		return c.control(ctx, c.h.engine.Cancel)
	case to == paused && !final(now) && c.run.x.Status != workflow.ExecutionPaused:
		return c.control(ctx, c.h.engine.Pause)
	case now == paused && c.run.gate != nil && (to == running || to == scheduled):
		return c.answerGate(ctx)
	case now == paused && (to == running || to == scheduled):
		return c.control(ctx, c.h.engine.Resume)
	case final(now) && (to == running || to == scheduled || to == pending):
		return c.redrive(ctx)
	case now == to:
		return c.note(ctx)
	}
	return cannot(fmt.Sprintf("Redrive's workers run this flow run: it does not become %s because somebody says so.", to))
}

// driven is a step of a flow run that Prefect's own process runs: what that says holds.
func (c *change) driven(ctx context.Context) error {
	now, to := "", c.to.Type
	if c.from != nil {
		now = c.from.Type
	}
	lift := now == paused && c.run.x.Status == workflow.ExecutionPaused
	switch {
	case to == paused && !final(now) && !lift:
		return c.control(ctx, c.h.engine.Pause)
	case to == cancelled && !final(now):
		return c.control(ctx, c.h.engine.Cancel)
	case final(now) && !final(to):
		return c.redrive(ctx)
	case final(now) && (now == to || now != completed && to == completed):
	case final(now):
		return cannot(fmt.Sprintf("This flow run is %s: it does not become %s.", now, to))
	case lift && !final(to):
		return c.control(ctx, c.h.engine.Resume)
	case lift:
		if _, err := c.h.engine.Resume(ctx, c.run.x.ID, c.request(ctx)); err != nil {
			return err
		}
	}
	if final(to) && now != to {
		return c.settle(ctx)
	}
	return c.note(ctx)
}

// settle tells Redrive how the process of Prefect ended.
func (c *change) settle(ctx context.Context) error {
	hand := engine.HandRequest{To: workflow.TaskSucceeded, Output: c.to.Data, By: auth.From(ctx).By()}
	if c.to.Type != completed {
		message := "it ended as " + c.to.Type
		if c.to.Message != nil {
			message = *c.to.Message
		}
		hand = engine.HandRequest{To: workflow.TaskFailed, Error: &workflow.Error{Code: "prefect_" + lower(c.to.Type), Message: message}, By: hand.By}
	}
	_, err := c.h.engine.SettleByHand(ctx, c.run.x.ID, drivenTask, hand)
	if err != nil {
		return err
	}
	return c.afterwards(ctx)
}

func (c *change) answerGate(ctx context.Context) error {
	by := auth.From(ctx).By()
	input := c.answer
	if input == nil {
		input = json.RawMessage("{}")
	}
	_, err := c.h.engine.AnswerGate(ctx, c.run.x.ID, engine.Answer{Task: c.run.gate.Ref, Input: input, By: by})
	if err != nil {
		return err
	}
	return c.afterwards(ctx)
}

// redrive runs an execution that ended again, in place: what failed, or all of it when nothing did.
func (c *change) redrive(ctx context.Context) error {
	q := engine.RedriveRequest{By: auth.From(ctx).By(), Redrive: workflow.Redrive{Operation: workflow.OperationRetry, Identity: workflow.InPlace, Budget: workflow.BudgetFull}}
	if c.from.Type == completed {
		q.Operation = workflow.OperationRerun
	}
	q.Reason = c.reason()
	made, err := c.h.engine.Redrive(ctx, c.run.x.ID, q)
	if err != nil {
		return err
	}
	c.run.x = made
	return c.afterwards(ctx)
}

// control pauses, resumes or cancels, and keeps the state in the same step.
func (c *change) control(ctx context.Context, do func(context.Context, string, engine.Request) (*engine.Execution, error)) error {
	note, err := c.memo()
	if err != nil {
		return err
	}
	q := c.request(ctx)
	q.Memos = append(q.Memos, note)
	q.Memos = append(q.Memos, c.with...)
	_, err = do(ctx, c.run.x.ID, q)
	return err
}

func (c *change) request(ctx context.Context) engine.Request {
	q := engine.Request{By: auth.From(ctx).By(), Reason: c.reason()}
	if t := c.to.Details.PauseTimeout; c.to.Type == paused && t != nil {
		q.Deadline = min(max(time.Until(t.Time), leastPause), longestPause)
	}
	return q
}

// The engine's bounds of how long a pause and a reason may be.
const (
	leastPause    = time.Second
	longestPause  = 30 * 24 * time.Hour
	longestReason = 4096 // bytes
)

// reason is the message for the history of the execution, cut where it is longer than that takes: the state keeps all of it.
func (c *change) reason() string {
	switch {
	case c.to.Message == nil:
		return ""
	case len(*c.to.Message) > longestReason:
		return strings.ToValidUTF8((*c.to.Message)[:longestReason], "")
	}
	return *c.to.Message
}

func (c *change) memo() (engine.MemoWrite, error) {
	return memoOf(runMemo, c.run.after(c.from, c.to, c.forced), c.run.version)
}

func memoOf(key string, value any, version int64) (engine.MemoWrite, error) {
	text, err := plain(value)
	if err != nil {
		return engine.MemoWrite{}, fmt.Errorf("prefect: encoding the memo %s: %w", key, err)
	}
	return engine.MemoWrite{Key: key, Text: string(text), Expect: version}, nil
}

// note keeps the state, which nothing of the execution depends on.
func (c *change) note(ctx context.Context) error {
	note, err := c.memo()
	if err != nil {
		return err
	}
	return c.h.engine.WriteMemos(ctx, c.run.x.ID, append([]engine.MemoWrite{note}, c.with...)...)
}

// afterwards keeps the state of a step that is done: whoever was first meanwhile does not undo that.
func (c *change) afterwards(ctx context.Context) error {
	for range tries {
		err := c.note(ctx)
		if err == nil || !raced(err) {
			return err
		}
		now, err := c.h.load(ctx, c.run.x.ID)
		if err != nil {
			return err
		}
		c.run = now
	}
	return nil
}
