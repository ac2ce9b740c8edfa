package engine_test

import (
	"strings"
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

func TestRefsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	long := strings.Repeat("n", 128)
	x := s.start("name: w\ntasks: [{name: "+long+", type: group, for_each: {items: ["+strings.Repeat("k", 126)+"]}, tasks: [{name: "+long+", type: group, tasks: [{name: "+long+", type: noop}]}]}]", `{}`)
	s.settle()
	now := s.ends(x, workflow.ExecutionFailed)
	require.Contains(t, now.Error.Message, "ref_too_long")
}

func TestAKeyMayReadThePreviousIteration(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - name: l
    type: loop
    max_iterations: 2
    tasks:
      - { name: each, type: noop, for_each: { items: [a], key: "${item + (iteration.number == 1 ? '1' : string(size(iteration.previous.each)) + 'x')}" } }
`, `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.Contains(t, s.tasks(x), "l[1].each[a1]")
	require.Contains(t, s.tasks(x), "l[2].each[a1x]")
}
