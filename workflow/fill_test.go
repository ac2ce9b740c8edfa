package workflow

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFill(t *testing.T) {
	values := map[string]string{"schedule.time": "2026-01-02T03:04:05Z", "schedule.name": `a "b"`}
	got, problems := Fill(json.RawMessage(`{"b":["${schedule.time}","x ${ schedule.name } y","$${z}"],"a":9007199254740993,"c":null}`), "input", values, DefaultLimits())
	require.Empty(t, problems)
	require.Equal(t, `{"a":9007199254740993,"b":["2026-01-02T03:04:05Z","x a \"b\" y","${z}"],"c":null}`, string(got))

	_, problems = Fill(json.RawMessage(`{"a":["${workflow.id}"],"b":"${schedule.time","x y":"${schedule.tim}"}`), "input", values, DefaultLimits())
	require.Len(t, problems, 3)
	var fields []string
	for _, p := range problems {
		fields = append(fields, p.Field)
		require.Contains(t, p.Allowed, "${schedule.name}, ${schedule.time}")
		require.NotEmpty(t, p.Message)
	}
	require.Equal(t, []string{"input.a[0]", "input.b", `input["x y"]`}, fields)

	for source, field := range map[string]string{`{`: "input", `{"a":{"b":1,"b":2}}`: "input.a.b", `[{"a":1,"a":1}]`: "input[0].a"} {
		_, problems = Fill(json.RawMessage(source), "input", values, DefaultLimits())
		require.NotEmpty(t, problems, source)
		require.Equal(t, field, problems[0].Field)
	}
}
