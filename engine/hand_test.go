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
