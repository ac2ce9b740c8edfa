package engine_test

import (
	"encoding/json"
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
	require.Equal(t, "the execution did not end within its timeout of 1m0s", s.at(short).Error.Message)
	require.Equal(t, "the execution did not end within its timeout of 1h0m0s", s.at(usual).Error.Message)
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

	alone := engine.StartRequest{Workflow: "w", IdempotencyKey: "alone", KeyAlone: true}
	first, created, err := s.Start(s.ctx(), "default", alone)
	require.NoError(t, err)
	require.True(t, created)
	alone.Timeout, alone.Labels, alone.StartAt = time.Hour, map[string]string{"a": "b"}, time.Now().Add(time.Hour)
	again, created, err := s.Start(s.ctx(), "default", alone)
	require.NoError(t, err)
	require.Equal(t, []any{first.ID, false}, []any{again.ID, created}, "the key alone says that it is the same")
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

// TestAStartKnowsNoOldVersion lets a process start what another one published anew: what it
// remembers of the workflow is checked by the creation, or made good when it refuses the request.
func TestAStartKnowsNoOldVersion(t *testing.T) {
	s := newStage(t)
	s.publish("name: w\ntasks: [{ name: a, type: noop }]")
	o := engine.DefaultOptions()
	o.Store, o.Logger, o.Catalog = s.store, quiet(), workflow.Catalog{"noop": nil}
	other, err := engine.New(o)
	require.NoError(t, err)
	start := func(input string) (*engine.Execution, error) {
		x, _, err := other.Start(s.ctx(), "default", engine.StartRequest{Workflow: "w", Input: json.RawMessage(input)})
		return x, err
	}
	for version, c := range []struct{ source, input string }{
		1: {"name: w\ntasks: [{ name: a, type: noop }]", `{}`},
		2: {"name: w\ntasks: [{ name: a, type: noop }, { name: b, type: noop }]", `{}`},
		3: {"name: w\ninput_schema: { type: object, required: [n] }\ntasks: [{ name: a, type: noop }]", `{"n":1}`},
		4: {"name: w\ninput_schema: { type: object, properties: { n: { type: string } } }\ntasks: [{ name: a, type: noop }]", `{"n":"1"}`},
		5: {"name: w\nconcurrency: { max_running: 1, when_full: reject }\ntasks: [{ name: a, type: noop }]", `{}`},
	} {
		if version == 0 {
			continue
		}
		s.publish(c.source)
		for range 2 {
			x, err := start(c.input)
			if version == 5 { // those before run still
				require.ErrorContains(t, err, "at most 1 executions")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, version, x.Version)
		}
	}
	all, _, err := s.Executions(s.ctx(), "default", engine.ExecutionFilter{}, engine.Page{Limit: 100})
	require.NoError(t, err)
	require.Len(t, all, 8, "what was refused was not made")
}
