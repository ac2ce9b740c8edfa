package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// What no worker hands in counts as well: items, recorded inputs, outputs of sub-executions.
func TestTheLimitOfValuesHoldsForTasksWithoutAWorker(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		task string
		full int // bytes that are left
		is   workflow.TaskStatus
	}{
		"items":                      {`{ name: b, needs: [a], type: noop, for_each: { items: [1, 2] } }`, 0, workflow.TaskFailed},
		"the input of a gate":        {`{ name: b, needs: [a], type: approval, with: { message: hello } }`, 0, workflow.TaskFailed},
		"what a sub-workflow gives":  {`{ name: b, needs: [a], type: workflow, with: { name: child, input: { n: 123456 } } }`, 51, workflow.TaskFailed},
		"a group has none":           {`{ name: b, needs: [a], type: group, tasks: [{ name: c, type: wait, with: { external: true } }] }`, 100, workflow.TaskRunning},
		"there is room for an input": {`{ name: b, needs: [a], type: approval, with: { message: hello } }`, 100, workflow.TaskWaiting},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.publish(child)
			x := s.start("name: w\ntasks: [{ name: a, type: noop }, "+c.task+"]", `{}`)
			s.completeOnly(x, "a", "b")
			values := queuetest.ShardKey(x.ID, "v:"+x.ID)
			require.NoError(t, s.store.Client().HSet(s.ctx(), values, "bytes", engine.ValuesBytes-c.full).Err())
			require.NoError(t, s.Advance(s.ctx(), x.ID))
			s.settle()
			b := s.task(x, "b")
			require.Equal(t, c.is, b.Status, "%v", b.Error)
			if c.is == workflow.TaskFailed {
				require.Equal(t, "values_limit", b.Error.Code)
				require.Equal(t, workflow.ExecutionFailed, s.at(x).Status)
			}
		})
	}
}
