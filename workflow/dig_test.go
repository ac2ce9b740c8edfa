package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

func TestDig(t *testing.T) {
	input := json.RawMessage(`{"a": {"b": [10, {"c": "x"}], "n": null, "big": 12345678901234567890, "f": 1.50}, "s": "text"}`)
	for expression, want := range map[string]string{
		`dig(workflow.input, ['a', 'b', 1, 'c'])`:      `"x"`,
		`dig(workflow.input, ['a', 'b', -2])`:          `10`,
		`dig(workflow.input, ['a', 'big'])`:            `12345678901234567890`,
		`dig(workflow.input, [])`:                      string(compact(t, input)),
		`dig(workflow.input, ['nope', 'deeper', 0])`:   `null`,
		`dig(workflow.input, ['a', 'n', 'deeper'])`:    `null`,
		`dig(workflow.input, ['a', 'b', 2])`:           `null`,
		`dig(workflow.input, ['a', 'b', -3])`:          `null`,
		`dig(workflow.input, ['a', 'b', 'c'])`:         `null`,
		`dig(workflow.input, ['s', 0])`:                `null`,
		`dig(workflow.input, ['a', 0])`:                `null`,
		`dig(dig(workflow.input, ['a']), ['b'])[0]+1`:  `11`,
		`dig(workflow.input, [workflow.input.s, 'x'])`: `null`,
	} {
		source := strings.Replace(`{"name": "w", "tasks": [{"name": "t", "type": "noop"}], "output": "${E}"}`, "E", expression, 1)
		p, _, err := workflow.Load([]byte(source), nil, workflow.DefaultLimits())
		require.NoError(t, err, expression)
		got, bad := p.Output(workflow.Scope{Workflow: workflow.WorkflowScope{Input: input}})
		require.Nil(t, bad, expression)
		require.JSONEq(t, want, string(got), expression)
		if strings.HasPrefix(want, "1") {
			require.Equal(t, want, string(got), expression)
		}
	}
	for _, bad := range []string{`dig(workflow.input, 'a')`, `dig(workflow.input)`, `dig(tasks.x.output, ['a'])`} {
		_, _, err := workflow.Load([]byte(strings.Replace(`{"name": "w", "tasks": [{"name": "t", "type": "noop"}], "output": "${E}"}`, "E", bad, 1)), nil, workflow.DefaultLimits())
		require.Error(t, err, bad)
	}
}

func compact(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func TestForeignNamesAndAnnotations(t *testing.T) {
	source := []byte(`{"name": "Order Flow (EU)", "annotations": {"owner": "ann", "origin": "{\"a\": \"${x}\"}"}, "tasks": [{"name": "t", "type": "noop"}]}`)
	_, _, err := workflow.Load(source, nil, workflow.DefaultLimits())
	require.ErrorContains(t, err, "not a name")
	p, _, err := workflow.LoadForeign(source, nil, workflow.DefaultLimits())
	require.NoError(t, err)
	again, err := workflow.Open(p.Definition.Canonical(), workflow.DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, p.Hash, again.Hash)
	require.Equal(t, map[string]string{"owner": "ann", "origin": `{"a": "${x}"}`}, again.Definition.Annotations)
	for _, bad := range []string{`{"name": "a/b", "tasks": [{"name": "t", "type": "noop"}]}`, `{"name": "w", "annotations": {"a": 1}, "tasks": [{"name": "t", "type": "noop"}]}`} {
		_, _, err := workflow.LoadForeign([]byte(bad), nil, workflow.DefaultLimits())
		require.Error(t, err, bad)
	}
}
