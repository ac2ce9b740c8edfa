package clients

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConductorPython: workers and clients of conductor-python.
func TestConductorPython(t *testing.T) {
	f := start(t)
	env := []string{"CONDUCTOR_SERVER_URL=" + f.URL + "/api", "CONDUCTOR_AUTH_KEY=any", "CONDUCTOR_AUTH_SECRET=" + f.Key, "CONDUCTOR_DISABLE_TELEMETRY=true"}
	out := command(t, env, python(t, "conductor"), filepath.Join("conductor", "client.py"))
	_, line, found := strings.Cut(out, "SEEN ")
	require.True(t, found, out)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &got))
	require.Equal(t, map[string]any{
		"versions":  []any{1.0},
		"first":     map[string]any{"status": "COMPLETED", "output": map[string]any{"said": "HELLO ANN"}, "correlation": "c1", "tasks": []any{"greet", "shout"}},
		"second":    map[string]any{"status": "FAILED", "reason": "there is nobody to greet", "tasks": []any{"FAILED"}},
		"rerun":     map[string]any{"same": true, "output": map[string]any{"said": "HELLO BOB"}, "tasks": []any{"CANCELED", "COMPLETED", "COMPLETED"}},
		"restarted": map[string]any{"status": "COMPLETED", "tasks": 2.0},
		"executed":  map[string]any{"status": "COMPLETED", "output": map[string]any{"said": "HELLO EVE"}},
		"found":     3.0,
		"waiting":   0.0,
	}, got)
}
