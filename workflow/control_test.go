package workflow

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheIDInTheOutputOfASubWorkflow(t *testing.T) {
	n := mustLoad(t, `{"name":"w","tasks":[{"name":"s","type":"workflow","with":{"name":"x","id_field":"the \"id\""}},{"name":"t","type":"workflow","with":{"name":"x"}}]}`)
	require.True(t, n.Node("s").WantsID())
	require.False(t, n.Node("t").WantsID())
	for output, want := range map[string]string{
		`{"b": 1.50, "a": [ ]}`:          `{"the \"id\"":"e-1","b": 1.50, "a": [ ]}`, // the rest of it byte for byte
		`{}`:                             `{"the \"id\"":"e-1"}`,
		`null`:                           `{"the \"id\"":"e-1"}`,
		` {"the \u0022id\u0022": "own"}`: ` {"the \u0022id\u0022": "own"}`,
		`[1]`:                            `[1]`,
		`"text"`:                         `"text"`,
	} {
		got := n.Node("s").ChildOutput(json.RawMessage(`{"name":"x","id_field":"the \"id\""}`), json.RawMessage(output), "e-1")
		require.Equal(t, want, string(got))
		require.Equal(t, output, string(n.Node("s").ChildOutput(json.RawMessage(`{"name":"x"}`), json.RawMessage(output), "e-1")))
	}
}
