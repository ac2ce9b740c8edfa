package cli

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestJSONIsLegible: what is shown means the same, and has no code where a letter will do.
func TestJSONIsLegible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringOf(rapid.SampledFrom([]rune(`<>&\u03ce"xé`+"\n"))).Draw(t, "text")
		raw, err := json.Marshal(map[string]string{want: want})
		require.NoError(t, err)
		var got map[string]string
		shown := compact(raw)
		require.NoError(t, json.Unmarshal([]byte(shown), &got), shown)
		require.Equal(t, map[string]string{want: want}, got, shown)
	})
	require.Equal(t, `{"a":"x > 1 && y < 2 \\u003e \n"}`, compact(json.RawMessage(`{"a": "x \u003e 1 \u0026\u0026 y \u003c 2 \\u003e \n"}`)))
	require.Equal(t, "{\n  \"a\": \">\"\n}", indented(json.RawMessage(`{"a":"\u003e"}`)))
}
