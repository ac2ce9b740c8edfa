package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// The tests of this file play a process that stands between two of its steps,
// or crashes there, while another one does something else.

// repair does what every shard has to do a while from now, as the next sweep does.
func (s *stage) repair() {
	s.t.Helper()
	s.offset += 10 * time.Second
	for _, due := range s.due() {
		require.NoError(s.t, s.Repair(s.ctx(), engine.Due{Now: due.Now, Decide: due.Decide, Index: due.Index}))
	}
}

// completeOnly writes that a task succeeded, and crashes before it does what follows.
func (s *stage) completeOnly(x *engine.Execution, ref string, next ...string) {
	s.t.Helper()
	f := engine.Fence{Execution: x.ID, Ref: ref, Attempt: 1, Dispatch: 1}
	_, err := s.Claim(s.ctx(), f, "w")
	require.NoError(s.t, err)
	r := engine.Result{Fence: f, Output: json.RawMessage(`1`)}
	for _, ref := range next {
		r.Successors = append(r.Successors, engine.Successor{Ref: ref, Decide: true})
	}
	_, err = s.store.Complete(s.ctx(), r)
	require.NoError(s.t, err)
}

const lateParent = `
name: w
tasks:
  - { name: a, type: noop }
  - { name: sub, needs: [a], type: workflow, with: { name: child, input: { n: 1 } }, timeout: 1m }
`

// beginOnly begins the sub-workflow of lateParent, and crashes before it is made.
func (s *stage) beginOnly(x *engine.Execution) (child engine.NewExecution) {
	s.t.Helper()
	s.completeOnly(x, "a", "sub")
	id := uuid.NewString()
	id = id[:len(id)-2] + x.ID[len(x.ID)-2:]
	_, err := s.store.BeginTask(s.ctx(), x.ID, engine.Begin{Ref: "sub", Child: id, Input: json.RawMessage(`{"name":"child","version":1,"input":{"n":1}}`)})
	require.NoError(s.t, err)
	w, err := s.Workflow(s.ctx(), "default", "child", 1)
	require.NoError(s.t, err)
	return engine.NewExecution{
		Execution: engine.Execution{
			ID: id, Number: 7, Project: "default", Workflow: "child", Version: 1, DefinitionHash: w.Hash, Input: json.RawMessage(`{"n":1}`),
			Parent: &engine.Parent{Execution: x.ID, Task: "sub"}, Root: x.ID, Path: "sub/", Depth: 1,
		},
		Tasks: []engine.NewTask{{Ref: "double"}}, Roots: []engine.Successor{{Ref: "double"}},
	}
}

func TestASubWorkflowThatNobodyWaitsForIsNotMade(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(lateParent, `{}`)
	late := s.beginOnly(x)
	_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.ends(x, workflow.ExecutionCanceled)
	_, _, err = s.store.Create(s.ctx(), late)
	require.ErrorIs(t, err, engine.ErrStale)
	_, err = s.Execution(s.ctx(), late.ID)
	require.Error(t, err)
	s.purges(x)
}

func TestASubWorkflowMadeWhileItsParentIsPausedIsPaused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(lateParent, `{}`)
	late := s.beginOnly(x)
	_, err := s.store.Control(s.ctx(), x.ID, engine.OperationPause, engine.Request{})
	require.NoError(t, err)
	require.NoError(t, s.store.Cascaded(s.ctx(), x.ID, engine.OperationPause)) // it found none
	_, created, err := s.store.Create(s.ctx(), late)
	require.NoError(t, err)
	require.True(t, created)
	s.repair() // whoever made it crashed before it looked
	require.Equal(t, workflow.ExecutionPaused, s.at(&late.Execution).Status)
	s.settle()
	require.Zero(t, s.starts["double"])
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestALatePauseOfASubWorkflowIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": 1}`)
	inner := s.task(x, "sub").Child
	_, err := s.store.Control(s.ctx(), inner, engine.OperationPause, engine.Request{Above: x.ID})
	var status *engine.StatusError
	require.ErrorAs(t, err, &status, "its parent runs, or runs again")
	_, err = s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	_, err = s.store.Control(s.ctx(), inner, engine.OperationResume, engine.Request{Above: x.ID})
	require.ErrorAs(t, err, &status, "its parent is paused")
}

func TestASubWorkflowIsCanceledInTheStepThatEndsItsTask(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(s *stage, x *engine.Execution) error{
		"drop": func(s *stage, x *engine.Execution) error {
			_, err := s.store.Drop(s.ctx(), x.ID, engine.Drop{To: workflow.TaskCanceled, Reason: "x", Refs: []string{"sub"}})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.publish(child)
			x := s.start(parent, `{"n": 1}`)
			inner := &engine.Execution{ID: s.task(x, "sub").Child}
			require.NoError(t, end(s, x)) // and crashes
			s.audit(x)
			s.repair()
			require.Equal(t, workflow.ExecutionCanceled, s.at(inner).Status)
			s.audit(inner)
			s.audit(x) // it is told nothing that it does not wait for
		})
	}
}

func TestACutOffIsNotLost(t *testing.T) {
	t.Parallel()
	t.Run("of a sub-workflow that is awaited", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.publish(child)
		x := s.start(lateParent, `{}`)
		s.deliver(s.queued()[0])
		inner := &engine.Execution{ID: s.task(x, "sub").Child}
		s.offset += 2 * time.Minute
		require.NoError(t, s.store.CutOff(s.ctx(), engine.Fence{Execution: x.ID, Ref: "sub", Attempt: 1}, nil))
		require.ErrorIs(t, s.store.Made(s.ctx(), x.ID, "sub", inner.ID), engine.ErrMoved)
		s.repair()
		require.Equal(t, "timed_out", s.ends(x, workflow.ExecutionFailed).Error.Code)
		require.Equal(t, workflow.ExecutionCanceled, s.at(inner).Status)
	})
	t.Run("of a loop that goes on", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start(`
name: w
tasks: [{ name: poll, type: loop, until: "${false}", timeout: 1m, tasks: [{name: check, type: noop}] }]
`, `{}`)
		s.completeOnly(x, "poll[1].check")
		_, err := s.store.CloseTask(s.ctx(), x.ID, engine.Close{Ref: "poll[1]", From: []workflow.TaskStatus{workflow.TaskRunning}, When: engine.CloseRests, To: workflow.TaskSucceeded})
		require.NoError(t, err)
		s.offset += 2 * time.Minute
		require.NoError(t, s.store.CutOff(s.ctx(), engine.Fence{Execution: x.ID, Ref: "poll", Attempt: 1}, nil))
		require.ErrorIs(t, s.store.Again(s.ctx(), x.ID, "poll", 0, 1, 1), engine.ErrMoved)
		s.repair()
		s.ends(x, workflow.ExecutionFailed)
		require.NotContains(t, s.tasks(x), "poll[2]")
	})
}

// TestWhatBeganMeanwhileEndsWithItsHolder: a for_each begins between what a
// cut-off of its group reads and what it cancels.
func TestWhatBeganMeanwhileEndsWithItsHolder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks: [{ name: g, type: group, timeout: 1m, tasks: [{name: each, type: noop, for_each: {items: [1, 2, 3]}}] }]
`, `{}`)
	s.offset += 2 * time.Minute
	require.NoError(t, s.store.CutOff(s.ctx(), engine.Fence{Execution: x.ID, Ref: "g", Attempt: 1}, nil))
	_, err := s.store.Drop(s.ctx(), x.ID, engine.Drop{To: workflow.TaskCanceled, Reason: "timed_out", Refs: []string{"g.each"}}) // which saw none of its items
	require.NoError(t, err)
	s.repair()
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, map[string]string{"g": "timed_out", "g.each": "canceled", "g.each[1]": "canceled", "g.each[2]": "canceled", "g.each[3]": "canceled"}, s.tasks(x))
}

func TestAnItemThatDidNotBeginMakesNoRoomWhenItEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: each, type: noop, for_each: {items: [1, 2, 3, 4], max_parallel: 1}}]", `{}`)
	_, err := s.SettleByHand(s.ctx(), x.ID, "each[4]", engine.HandRequest{To: workflow.TaskSucceeded})
	require.NoError(t, err)
	require.Len(t, s.queued(), 1, "max_parallel")
	s.audit(x)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, map[string]int{"each[1]": 1, "each[2]": 1, "each[3]": 1}, s.starts)
}

func TestAnOperatorWhoEndsATaskThatBeginsJustThenLooksAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: g, type: group, tasks: [{name: a, type: noop}]}]", `{}`)
	_, err := s.store.CloseTask(s.ctx(), x.ID, engine.Close{
		Ref: "g", Epoch: -1, From: []workflow.TaskStatus{workflow.TaskPending, workflow.TaskRunning}, To: workflow.TaskSkipped, By: "ann",
	})
	require.ErrorIs(t, err, engine.ErrMoved)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

// TestAForEachThatIsCutOffWhileItWidens releases nothing that needs it.
func TestAForEachThatIsCutOffWhileItWidens(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: each, needs: [a], type: noop, for_each: { items: "${lists.range(502)}", max_parallel: 502 } }
  - { name: after, needs: [each], type: noop }
`, `{}`)
	s.completeOnly(x, "a", "each")
	var tasks []engine.Inside
	var keys []string
	for i := range 502 {
		ref := fmt.Sprintf("each[%d]", i)
		tasks, keys = append(tasks, engine.Inside{Ref: ref, Context: json.RawMessage(`{}`)}), append(keys, fmt.Sprint(i))
	}
	list, err := json.Marshal(keys)
	require.NoError(t, err)
	require.NoError(t, s.store.Grow(s.ctx(), x.ID, "each", 0, engine.Part{Tasks: tasks[:500], Items: true}))
	s.audit(x)
	_, err = s.store.BeginTask(s.ctx(), x.ID, engine.Begin{Ref: "each", Keys: list, Parallel: 502, Size: 502, Part: engine.Part{Tasks: tasks[500:], Items: true, First: 500}})
	require.NoError(t, err)
	s.audit(x)
	require.NoError(t, s.store.CutOff(s.ctx(), engine.Fence{Execution: x.ID, Ref: "each", Attempt: 1}, json.RawMessage(`{"to":"failed","error":{"code":"no","message":"no"},"by":"ann"}`)))
	_, err = s.store.CloseTask(s.ctx(), x.ID, engine.Close{
		Ref: "each", From: []workflow.TaskStatus{workflow.TaskRunning}, To: workflow.TaskFailed, Error: &workflow.Error{Code: "no"}, OnFailure: engine.OnwardStop, By: "ann",
	})
	require.NoError(t, err)
	s.repair()
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, "canceled", s.tasks(x)["after"])
}

func TestKeysOfItemsThatNeverBeganAreNotKept(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = func(*engine.Run) (json.RawMessage, *workflow.Error) { return nil, &workflow.Error{Code: "boom"} }
	x := s.start(`
name: w
tasks: [{name: each, type: noop, for_each: {items: "${lists.range(3000)}", max_parallel: 1, on_item_failure: stop}}]
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	left, err := s.store.Client().Keys(s.ctx(), "redrive:*}:c:*").Result()
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestManyFailureHandlers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "a" {
			return nil, &workflow.Error{Code: "boom"}
		}
		return r.Input, nil
	}
	var source strings.Builder
	source.WriteString("name: w\ntasks: [{name: a, type: noop}]\non_failure:\n")
	for i := range 700 {
		fmt.Fprintf(&source, "  - { name: h%d, type: noop }\n", i)
	}
	x := s.start(source.String(), `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	require.Len(t, s.starts, 701)
}

// TestATreeStaysUntilAllOfItEnded: a sub-workflow that nobody canceled outlives the retention of its parent, and is not forgotten.
func TestATreeStaysUntilAllOfItEnded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": 1}`)
	inner := &engine.Execution{ID: s.task(x, "sub").Child}
	_, err := s.store.Control(s.ctx(), x.ID, engine.OperationCancel, engine.Request{})
	require.NoError(t, err)
	_, err = s.store.Drop(s.ctx(), x.ID, engine.Drop{To: workflow.TaskCanceled, Reason: "canceled", Refs: []string{"sub", "after"}})
	require.NoError(t, err)
	require.NoError(t, s.store.Finish(s.ctx(), x.ID, 0, workflow.ExecutionCanceled, nil, nil, nil))
	s.offset += 2 * time.Hour
	for _, due := range s.due() {
		require.NoError(t, s.Repair(s.ctx(), engine.Due{Now: due.Now, Expire: due.Expire}))
	}
	s.at(x)
	s.settle()
	s.ends(inner, workflow.ExecutionSucceeded)
	s.audit(x)
	s.purges(x, inner)
}

// TestAPausedExecutionIsAtRest: tasks that wait for its resume keep nobody busy.
func TestAPausedExecutionIsAtRest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: a, type: noop}, {name: g, needs: [a], type: group, tasks: [{name: b, type: noop}]}]", `{}`)
	run, err := s.Claim(s.ctx(), s.queued()[0], "w")
	require.NoError(t, err)
	_, err = s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.NoError(t, s.Complete(s.ctx(), run, nil))
	require.NoError(t, s.Advance(s.ctx(), x.ID))
	s.offset += time.Hour
	for _, due := range s.due() {
		require.Empty(t, due.Decide)
	}
	s.audit(x)
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

// TestALateLookAtALoopCancelsNothing: another process began the next iteration
// since this one found that nothing moves, and takes it for one that was never reached.
func TestALateLookAtALoopCancelsNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{ name: poll, type: loop, max_iterations: 2, tasks: [{name: check, type: noop}] }]", `{}`)
	s.completeOnly(x, "poll[1].check")
	_, err := s.store.CloseTask(s.ctx(), x.ID, engine.Close{Ref: "poll[1]", From: []workflow.TaskStatus{workflow.TaskRunning}, When: engine.CloseRests, To: workflow.TaskSucceeded})
	require.NoError(t, err)
	require.NoError(t, s.store.Again(s.ctx(), x.ID, "poll", 0, 1, 1))
	_, err = s.store.Drop(s.ctx(), x.ID, engine.Drop{
		To: workflow.TaskCanceled, Reason: "upstream_failed", If: engine.DropIfRests, Holder: "poll", Attempt: 1, Refs: []string{"poll[2]"},
	})
	require.ErrorIs(t, err, engine.ErrMoved)
	s.repair()
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, 1, s.starts["poll[2].check"])
}
