package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// TestUpcomingInput: what is told before a worker has it is what that is given then, after a redrive at another server, too.
func TestUpcomingInput(t *testing.T) {
	t.Parallel()
	url, ctx := queuetest.URL(t), t.Context()
	p, other := newServer(t, url, &clock{}), newServer(t, url, &clock{})
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", `{name: w, tasks: [{ name: a, type: render, with: { n: "${workflow.input.n}", key: "${secrets.api}" } }, { name: b, type: noop, needs: [a] }]}`)
	upcoming := func(f engine.Fence) string {
		input, err := p.UpcomingInput(ctx, f)
		require.NoError(t, err)
		return string(input)
	}
	f := engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1}
	require.JSONEq(t, `{"n":1,"key":"${secrets.api}"}`, upcoming(f))
	require.Empty(t, upcoming(engine.Fence{Execution: x.ID, Ref: "a", Attempt: 2}))
	require.Empty(t, upcoming(engine.Fence{Execution: x.ID, Ref: "b", Attempt: 1}), "not reached")
	again := func(r workflow.Redrive) {
		r.Operation = workflow.OperationRerun
		_, err := other.Redrive(ctx, x.ID, engine.RedriveRequest{Redrive: r})
		require.NoError(t, err)
	}
	again(workflow.Redrive{WorkflowInput: json.RawMessage(`{"n":2}`)})
	f.Attempt = task(t, p, x, "a").Attempt
	require.JSONEq(t, `{"n":2,"key":"${secrets.api}"}`, upcoming(f))
	again(workflow.Redrive{From: []string{"a"}, TaskInput: map[string]json.RawMessage{"a": json.RawMessage(`{"mine":true}`)}})
	f.Attempt = task(t, p, x, "a").Attempt
	require.JSONEq(t, `{"mine":true}`, upcoming(f))
}
