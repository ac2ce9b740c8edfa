package workflow

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOverridesAreMadeOfTheExecution(t *testing.T) {
	o, problems := CompileOverrides(Redrive{
		Operation: OperationRerun, From: []string{"load"}, InputMode: InputMerge,
		WorkflowInput: json.RawMessage(`{"n": "${workflow.input.n + 1}", "text": "run ${workflow.number} of ${workflow.name}, $${kept}", "big": 12345678901234567890}`),
		TaskInput:     map[string]json.RawMessage{"load": json.RawMessage(`{"why": "${workflow.error.code}"}`)},
	}, DefaultLimits())
	require.Empty(t, problems)
	require.False(t, o.Constant())
	r, bad := o.Resolve(WorkflowScope{Number: 7, Name: "etl", Input: json.RawMessage(`{"n": 41}`), Error: &Error{Code: "boom"}})
	require.Nil(t, bad)
	require.Equal(t, `{"big":12345678901234567890,"n":42,"text":"run 7 of etl, ${kept}"}`, string(r.WorkflowInput))
	require.JSONEq(t, `{"why": "boom"}`, string(r.TaskInput["load"]))
	require.Equal(t, []string{"load"}, r.From)
	require.Equal(t, InputMerge, r.InputMode)

	_, bad = o.Resolve(WorkflowScope{Input: json.RawMessage(`{}`), Error: &Error{Code: "boom"}})
	require.NotNil(t, bad)
	require.Equal(t, CodeExpressionFailed, bad.Code)
	require.Contains(t, bad.Message, "workflow_input.n")
}

func TestOverridesReadTheExecutionOnly(t *testing.T) {
	for input, field := range map[string]string{
		`{"a": "${tasks.load.output}"}`: "workflow_input.a",
		`{"a": ["${secrets.token}"]}`:   "workflow_input.a[0]",
		`{"a": "${item}"}`:              "workflow_input.a",
		`{"a": "${1 +}"}`:               "workflow_input.a",
	} {
		_, problems := CompileOverrides(Redrive{Operation: OperationRetry, WorkflowInput: json.RawMessage(input)}, DefaultLimits())
		require.Len(t, problems, 1, input)
		require.Equal(t, field, problems[0].Field, input)
		require.Zero(t, problems[0].Line)
	}
	_, problems := CompileOverrides(Redrive{Operation: OperationRetry, Scope: "all"}, DefaultLimits())
	require.Equal(t, "scope", problems[0].Field)
	o, problems := CompileOverrides(Redrive{Operation: OperationRetry, WorkflowInput: json.RawMessage(`{"a": 1}`)}, DefaultLimits())
	require.Empty(t, problems)
	require.True(t, o.Constant())
}
