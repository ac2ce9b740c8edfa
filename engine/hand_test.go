package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// What an operator said of a task and was answered for holds, whatever another
// process was just about to do with the task.
func TestWhatAnOperatorSaidHolds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": 1}`)
	f := engine.Fence{Execution: x.ID, Ref: "sub", Attempt: 1, Dispatch: 1}
	said := json.RawMessage(`{"to":"skipped","by":"ann"}`)
	require.NoError(t, s.store.CutOff(s.ctx(), f, said))

	_, err := s.store.BackOff(s.ctx(), engine.Result{Fence: f, Error: &workflow.Error{Code: "boom"}}, 0)
	require.ErrorIs(t, err, engine.ErrStale, "it is not tried again")
	running := []workflow.TaskStatus{workflow.TaskRunning}
	_, err = s.store.CloseTask(s.ctx(), x.ID, engine.Close{Ref: "sub", Attempt: 1, From: running, To: workflow.TaskSucceeded, Output: json.RawMessage(`1`)})
	require.ErrorIs(t, err, engine.ErrMoved, "its sub-execution ended just now")
	_, err = s.store.CloseTask(s.ctx(), x.ID, engine.Close{Ref: "sub", Epoch: -1, From: running, To: workflow.TaskFailed, By: "bob"})
	require.ErrorIs(t, err, engine.ErrMoved, "another operator saw it before it began")
	require.ErrorIs(t, s.store.CutOff(s.ctx(), f, json.RawMessage(`{"to":"failed","by":"bob"}`)), engine.ErrStale, "another operator was second")
	require.NoError(t, s.store.CutOff(s.ctx(), f, said), "the same again")

	require.NoError(t, s.Advance(s.ctx(), x.ID))
	s.settle()
	require.Equal(t, workflow.TaskSkipped, s.task(x, "sub").Status)
	require.Equal(t, workflow.ExecutionCanceled, s.at(&engine.Execution{ID: s.task(x, "sub").Child}).Status)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestAnAnswerThatComesTooEarly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: early\ntasks:\n  - { name: first, type: wait, with: { external: true } }\n"+
		"  - { name: second, needs: [first], type: wait, with: { external: true } }\n", `{}`)
	s.settle()
	answer := func(ref string) error {
		_, err := s.AnswerGate(s.ctx(), x.ID, engine.Answer{Task: ref, Input: json.RawMessage(`1`)})
		return err
	}
	var refused *engine.Error
	require.ErrorAs(t, answer("second"), &refused)
	require.Equal(t, "no_gate", refused.Code, "nobody was first")
	require.NoError(t, answer("first"))
	s.settle()
	require.ErrorAs(t, answer("first"), &refused)
	require.Equal(t, "gate_answered", refused.Code)
	require.NoError(t, answer("second"))
}

// A task of a sub-workflow is settled through the executions around it, too.
func TestByHandInsideASubWorkflow(t *testing.T) {
	t.Parallel()
	s, top, _, leaf := three(t)
	for _, ref := range []string{"sub/inner/l3", "sub/inner/l2/x", "first/l2", "sub/"} {
		_, err := s.SettleByHand(s.ctx(), top.ID, ref, engine.HandRequest{To: workflow.TaskSkipped})
		require.Equal(t, engine.KindNotFound, refusalOf(t, err).Kind, ref)
		_, err = s.PlanByHand(s.ctx(), top.ID, ref, engine.HandRequest{To: workflow.TaskSkipped})
		require.Equal(t, engine.KindNotFound, refusalOf(t, err).Kind, ref)
	}
	seven := engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`7`)}
	p, err := s.PlanByHand(s.ctx(), top.ID, "sub/inner/l2", seven)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"sub/inner/l2": "pin", "sub/m2": "run", "after": "run"}, rows(p, "sub/inner/l2", "sub/m2", "after"))
	task, err := s.SettleByHand(s.ctx(), top.ID, "sub/inner/l2", seven)
	require.NoError(t, err)
	require.Equal(t, []any{"l2", workflow.TaskSucceeded}, []any{task.Ref, task.Status})
	s.settle()
	s.gave(top, "after", `7`)
	s.ends(top, workflow.ExecutionSucceeded)
	all, _, err := s.Attempts(s.ctx(), top.ID, "sub/inner/l2", engine.Page{})
	require.NoError(t, err)
	require.Len(t, all, 2)
	inside, err := s.Task(s.ctx(), leaf.ID, "l2")
	require.NoError(t, err)
	outside, err := s.Task(s.ctx(), top.ID, "sub/inner/l2")
	require.NoError(t, err)
	require.Equal(t, inside, outside)

	// One that has not ended.
	x := s.start(topOf3, `{}`)
	s.complete(s.claim(x, "first"))
	s.complete(s.claim(s.child(x, "sub"), "m1"))
	run := s.claim(s.child(s.child(x, "sub"), "inner"), "l1")
	_, err = s.SettleByHand(s.ctx(), x.ID, "sub/inner/l1", engine.HandRequest{To: workflow.TaskFailed})
	require.NoError(t, err)
	s.stale(run)
	s.settle()
	require.Equal(t, "failed_by_hand", s.ends(x, workflow.ExecutionFailed).Error.Code)
}
