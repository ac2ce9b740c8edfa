package workflow

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

const weather = `
name: weather-report
description: Yearly report
input_schema: { type: object, required: [csv], properties: { csv: {type: string}, years: {type: array, items: {type: integer}} } }
defaults: { queue: reports, timeout: 1m, retry: { max_attempts: 3, delay: 1s } }
tasks:
  - name: load
    type: exec
    with: { command: [awk, "${workflow.input.csv}"], token: "Bearer ${secrets.token}" }
  - name: my-check
    needs: [load]
    if: "${size(tasks.load.output.rows) > 1}"
    type: transform
    with: { jq: ".", value: "${tasks.load.output}", first: "${tasks.load.output.rows[0]}", text: "n=${tasks.load.output.rows[0]}, $${x}" }
    retry: { delay: 0s }
  - name: report
    needs: [my-check]
    type: log
    with: { message: '${tasks["my-check"].output.mean * 2.0}' }
output: { report: "${tasks.report.output}" }
`

func mustLoad(t testing.TB, source string) *Program {
	t.Helper()
	p, _, err := Load([]byte(source), nil, DefaultLimits())
	require.NoError(t, err)
	return p
}

func TestLoadedWorkflowResolves(t *testing.T) {
	p := mustLoad(t, weather)
	require.Len(t, p.Nodes, 3)
	load, check := p.Node("load"), p.Node("my-check")
	require.Equal(t, "reports", load.Queue)
	require.Zero(t, check.Retry.Delay)
	require.Equal(t, 3, check.Retry.MaxAttempts)
	require.Equal(t, Reads{Tasks: []string{"load"}}, check.IfReads)
	require.Equal(t, Reads{Workflow: true, Secrets: []string{"token"}}, load.InputReads)

	s := Scope{
		Workflow: WorkflowScope{Input: json.RawMessage(`{"csv":"a.csv"}`)},
		Tasks: map[string]TaskScope{
			"load":     {Status: TaskSucceeded, Output: json.RawMessage(`{"rows":[12345678901234567890123, 2]}`)},
			"my-check": {Status: TaskSucceeded, Output: json.RawMessage(`{"mean":1.5}`)},
			"report":   {Status: TaskSucceeded},
		},
		Secret: func(string) (string, error) { return `s"e`, nil },
	}
	got, err := load.Input(s)
	require.Nil(t, err)
	require.Equal(t, `{"command":["awk","a.csv"],"token":"Bearer s\"e"}`, string(got))
	got, err = load.Recorded(s)
	require.Nil(t, err)
	require.Equal(t, `{"command":["awk","a.csv"],"token":"Bearer ${secrets.token}"}`, string(got))
	yes, err := check.Condition(s)
	require.Nil(t, err)
	require.True(t, yes)
	got, err = check.Input(s)
	require.Nil(t, err)
	require.Equal(t, `{"first":12345678901234567890123,"jq":".","text":"n=12345678901234567890123, ${x}","value":{"rows":[12345678901234567890123, 2]}}`, string(got))
	got, err = p.Node("report").Input(s)
	require.Nil(t, err)
	require.Equal(t, `{"message":3.0}`, string(got))
	got, err = p.Output(s)
	require.Nil(t, err)
	require.Equal(t, `{"report":null}`, string(got))

	require.Empty(t, p.CheckInput(json.RawMessage(`{"csv":"x"}`)))
	problems := p.CheckInput(json.RawMessage(`{"years":[1,"b"]}`))
	require.Len(t, problems, 2)
	require.Equal(t, "input.years[1]", problems[1].Field)

	again, openErr := Open(p.Definition.Canonical(), DefaultLimits())
	require.NoError(t, openErr)
	require.Equal(t, p.Hash, again.Hash)
	require.Equal(t, p.Definition, again.Definition)
}
