package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func TestATimeoutOfOneExecution(t *testing.T) {
	const source = "name: w\ntimeout: 1h\ntasks: [{ name: a, type: noop }, { name: b, needs: [a], type: wait, with: { external: true } }]"
	s := newStage(t)
	s.publish(source)
	start := func(timeout time.Duration) *engine.Execution {
		x, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w", Timeout: timeout})
		require.NoError(t, err)
		s.settle()
		return x
	}
	short, long, usual := start(time.Minute), start(3*time.Hour), start(0)
	s.pass(61 * time.Second)
	s.ends(short, workflow.ExecutionTimedOut)
	s.pass(time.Hour)
	s.ends(usual, workflow.ExecutionTimedOut)
	require.Equal(t, workflow.ExecutionRunning, s.at(long).Status)

	in, anew := s.retry(short).now, s.rerun(short, anew).now
	s.pass(59 * time.Second)
	require.Equal(t, workflow.ExecutionRunning, s.at(in).Status, "it starts again with a redrive")
	require.Equal(t, workflow.ExecutionRunning, s.at(anew).Status)
	s.pass(2 * time.Second)
	s.ends(in, workflow.ExecutionTimedOut)
	s.ends(anew, workflow.ExecutionTimedOut)

	for _, wrong := range []time.Duration{-time.Second, 31 * 24 * time.Hour} {
		_, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w", Timeout: wrong})
		require.Contains(t, codes(t, err), "out_of_range")
	}
	keyed := engine.StartRequest{Workflow: "w", Timeout: time.Minute, IdempotencyKey: "k"}
	_, _, err := s.Start(s.ctx(), "default", keyed)
	require.NoError(t, err)
	keyed.Timeout = time.Hour
	_, _, err = s.Start(s.ctx(), "default", keyed)
	require.Contains(t, codes(t, err), "idempotency_key_reused")
}

func TestAStartSaysWhoAsked(t *testing.T) {
	s := newStage(t)
	s.publish("name: w\nconcurrency: { max_running: 1, when_full: queue }\ntasks: [{ name: a, type: noop }]")
	for _, kind := range []string{"execution.started", "execution.queued"} {
		x, _, err := s.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w", By: "kaizen:ci (k1)"})
		require.NoError(t, err)
		events, _, err := s.History(s.ctx(), x.ID, engine.Page{})
		require.NoError(t, err)
		require.Equal(t, kind, events[0].Type)
		require.Equal(t, "kaizen:ci (k1)", events[0].By)
	}
}
