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

// reported is an engine that knows of some executions, and takes reports of failures. What else it is asked is a panic.
type reported struct {
	Engine
	executions map[string]string // and their projects
	read       []string
	failures   []workflow.Error
}

func (e *reported) Execution(_ context.Context, id string) (*engine.Execution, error) {
	e.read = append(e.read, id)
	return &engine.Execution{ID: id, Project: e.executions[id], Version: 1}, nil
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

// TestWhoseFailure: a start tells of the workflow that its task is in, and only if that is one of its project.
func TestWhoseFailure(t *testing.T) {
	d, err := compile(sourceOf(t, `{"name":"w","tasks":[{"name":"s","taskReferenceName":"s","type":"START_WORKFLOW","inputParameters":{"failureOf":"${workflow.input.other}","startWorkflow":{"name":"x"}}}]}`), nil)
	require.NoError(t, err)
	require.Len(t, d.Tasks, 1)
	require.JSONEq(t, `{"startWorkflow":{"name":"x"}}`, string(d.Tasks[0].With))

	e := &reported{executions: map[string]string{"own": "default", "other": "default", "foreign": "secret"}}
	h := &handlers{engine: e, logger: slog.New(slog.DiscardHandler)}
	for _, own := range []string{"own", "foreign"} {
		run := &engine.Run{Project: "default", Workflow: "w", Input: json.RawMessage(`{"failureOf":"other","startWorkflow":{"name":"x","input":null}}`)}
		run.Execution, run.At.Node = own, &workflow.Node{Type: typeStart}
		h.run(t.Context(), engine.RemoteRun{Run: run})
	}
	require.Equal(t, []string{"own", "foreign"}, e.read)
	require.Contains(t, e.failures[1].Message, "No such workflow found by id: foreign")
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
