package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// fill leaves room for so many bytes more among the values of an execution.
func (s *stage) fill(x *engine.Execution, room int) {
	s.t.Helper()
	require.NoError(s.t, s.store.Client().HSet(s.ctx(), queuetest.ShardKey(x.ID, "v:"+x.ID), "bytes", engine.ValuesBytes-room).Err())
}

// withChild lets a task of a sub-execution fail.
func withChild(t *testing.T) (s *stage, x, child *engine.Execution) {
	t.Helper()
	s = newStage(t)
	s.publish("name: c\ntasks:\n  - { name: pay, type: noop }\n  - { name: z, needs: [pay], type: noop }\n")
	s.run = failing("pay")
	x = s.start("name: w\nconcurrency: { max_running: 1 }\ntasks:\n  - { name: a, type: noop }\n  - { name: child, needs: [a], type: workflow, with: { name: c } }\n", `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	s.run = nil
	return s, x, s.child(x, "child")
}

func TestRedriveRefusesToGiveMoreThanAnExecutionHolds(t *testing.T) {
	t.Parallel()
	const receipt = `"0123456789"`
	retry, rerun := workflow.OperationRetry, workflow.OperationRerun
	t.Run("a sub-execution that goes on", func(t *testing.T) {
		t.Parallel()
		s, x, child := withChild(t)
		s.fill(child, len(receipt)-1)
		require.Contains(t, s.refuses(x, retry, "values_limit", output("child/pay", receipt)).Message, child.ID)
		require.Contains(t, s.refuses(x, retry, "values_limit", taskInput("child/pay", receipt)).Message, child.ID)
		s.refuses(child, retry, "values_limit", output("pay", receipt))
		s.fill(child, len(receipt)+len("{}"))
		s.begin(x, retry, output("child/pay", receipt))
	})
	t.Run("a sub-execution that is full when its task begins", func(t *testing.T) {
		t.Parallel()
		s, x, child := withChild(t)
		other, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w"})
		require.NoError(t, err)
		require.Equal(t, workflow.ExecutionQueued, s.begin(x, retry, output("child/pay", receipt)).now.Status)
		s.fill(child, len(receipt)-1)
		s.settle()
		s.ends(other, workflow.ExecutionSucceeded)
		require.Equal(t, "values_limit", s.ends(x, workflow.ExecutionFailed).Error.Code)
		require.Equal(t, map[string]string{"a": "succeeded", "child": "failed"}, s.tasks(x))
		s.fill(child, 1000)
		s.retry(x)
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("the outermost one", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		x := s.start("name: w\ntasks: [{ name: z, type: noop }, { name: t, type: noop }]", `{}`)
		s.settle()
		s.fill(x, len(receipt)-1)
		s.refuses(x, rerun, "values_limit", from("z"), output("t", receipt))
		s.fill(x, len(receipt))
		s.begin(x, rerun, from("z"), output("t", receipt))
	})
}
