package conductor

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// reported is an engine that takes reports of failures. What else it is asked is a panic.
type reported struct {
	Engine
	failures []workflow.Error
}

func (e *reported) RemoteFail(_ context.Context, _, _, _ string, failure workflow.Error) (engine.RemoteResult, error) {
	e.failures = append(e.failures, failure)
	return engine.RemoteResult{}, nil
}

// TestATaskThatPanics: it fails for good, and the server goes on.
func TestATaskThatPanics(t *testing.T) {
	e := &reported{}
	h := &handlers{engine: e, logger: slog.New(slog.DiscardHandler)}
	run := &engine.Run{Project: "default", Workflow: "w", Input: json.RawMessage(`{"startWorkflow":{"name":"x"}}`)}
	run.At.Node = &workflow.Node{Type: typeStart}
	r := engine.RemoteRun{Run: run}
	h.run(t.Context(), r)
	require.Len(t, e.failures, 1)
	require.Equal(t, codeTerminal, e.failures[0].Code)
	require.Contains(t, e.failures[0].Message, "its log says why")
	require.False(t, e.failures[0].Retryable)
}

func TestWhatIsNoForkedTask(t *testing.T) {
	for tasks, want := range map[string]string{
		`[null]`: "[0] is null", `[{"name":"a","taskReferenceName":"a"},null]`: "[1] is null", `["a"]`: "not a list of tasks", `[{"name":"a","taskReferenceName":"a","inputParameters":null}]`: "",
	} {
		_, _, err := (&expansion{Kind: "fork", Tasks: json.RawMessage(tasks)}).source("w")
		if want == "" {
			require.NoError(t, err, tasks)
			continue
		}
		require.ErrorContains(t, err, want, tasks)
		_, ok := told(err)
		require.True(t, ok, "it fails for good")
	}
}
