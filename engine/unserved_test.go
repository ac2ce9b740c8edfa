package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

func TestQueuesThatNobodyServesAreNamedInBodiesToo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{name: a, type: noop}]", `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded) // this process has seen the fleet
	published, err := s.Publish(s.ctx(), "default", []byte(`
name: w
tasks: [{name: g, type: group, tasks: [{name: a, type: noop}, {name: b, type: noop, queue: far}]}]
on_failure: [{name: h, type: noop, queue: away}]
`), true)
	require.NoError(t, err)
	var fields []string
	for _, w := range published.Warnings {
		fields = append(fields, w.Field)
	}
	require.Equal(t, []string{"tasks[0].tasks[1].queue", "on_failure[0].queue"}, fields)
}
