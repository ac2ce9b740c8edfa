package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

func (s *stage) chain(x *engine.Execution) engine.Chain {
	s.t.Helper()
	c, err := s.Chain(s.ctx(), s.at(x))
	require.NoError(s.t, err)
	return c
}

func TestChain(t *testing.T) {
	s := newStage(t)
	s.run = failing("a")
	x := s.start("name: w\ntasks: [{ name: a, type: noop }]", `{}`)
	stranger := s.start("name: w\ntasks: [{ name: a, type: noop }]", `{}`)
	s.settle()
	require.Equal(t, engine.Chain{Attempt: 1, Total: 1, Last: true}, s.chain(x))

	second := s.rerun(x, anew).now
	require.Equal(t, engine.Chain{Attempt: 1, Total: 2}, s.chain(x))
	require.Equal(t, engine.Chain{Attempt: 2, Total: 2, Last: true}, s.chain(second))

	s.retry(second)
	require.Equal(t, engine.Chain{Attempt: 3, Total: 3, Last: true}, s.chain(second), "a redrive in place counts")

	s.pass(time.Second)
	branch := s.rerun(x, anew).now
	third := s.retry(branch, anew).now
	require.Equal(t, engine.Chain{Attempt: 1, Total: 5}, s.chain(x))
	require.Equal(t, engine.Chain{Attempt: 3, Total: 5}, s.chain(second))
	require.Equal(t, engine.Chain{Attempt: 4, Total: 5}, s.chain(branch))
	require.Equal(t, engine.Chain{Attempt: 5, Total: 5, Last: true}, s.chain(third))
	require.Equal(t, engine.Chain{Attempt: 1, Total: 1, Last: true}, s.chain(stranger))
}

// TestChainOfAPart: a sub-execution is no attempt of what holds it, although they have one lineage.
func TestChainOfAPart(t *testing.T) {
	s := newStage(t)
	s.publish("name: part\ntasks: [{ name: a, type: noop }]")
	x := s.start("name: w\ntasks: [{ name: sub, type: workflow, with: { name: part } }]", `{}`)
	s.settle()
	part := s.child(x, "sub")
	again := s.redriven(part, engine.RelationRerun)
	require.Equal(t, engine.Chain{Attempt: 1, Total: 1, Last: true}, s.chain(x))
	require.Equal(t, engine.Chain{Attempt: 1, Total: 2}, s.chain(part))
	require.Equal(t, engine.Chain{Attempt: 2, Total: 2, Last: true}, s.chain(again))
}
