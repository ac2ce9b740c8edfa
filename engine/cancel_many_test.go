package engine_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// TestTheCostOfCancelingSubWorkflows holds the cancellation of one to what it costs among fewer.
func TestTheCostOfCancelingSubWorkflows(t *testing.T) {
	t.Parallel()
	server, err := queuetest.Start()
	require.NoError(t, err)
	defer server.Stop()
	s := newStageOn(t, "redis://"+server.Addr()+"/0")
	s.publish(child)
	cancel := func(n int) (commandsEach float64) {
		x := s.start(`
name: w
tasks: [{ name: each, type: workflow, for_each: { items: "${lists.range(workflow.input.n)}", max_parallel: 1000 }, with: { name: child, input: { n: "${item}" } } }]
`, `{"n": `+strconv.Itoa(n)+`}`)
		before := s.info("stats", "total_commands_processed")
		_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
		require.NoError(t, err)
		commands := s.info("stats", "total_commands_processed") - before
		s.ends(x, workflow.ExecutionCanceled)
		children, err := s.store.Children(s.ctx(), x.ID)
		require.NoError(t, err)
		require.Len(t, children, n)
		for _, id := range children {
			require.Equal(t, workflow.ExecutionCanceled, s.at(&engine.Execution{ID: id}).Status)
		}
		return commands / float64(n)
	}
	cancel(5) // loads the scripts
	few, many := cancel(20), cancel(100)
	t.Logf("%.1f commands for each of 20, %.1f for each of 100", few, many)
	require.Less(t, many, 1.3*few)
}
