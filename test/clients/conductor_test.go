package clients

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/test/fleet"
)

// TestConductorPython: workers and clients of conductor-python.
func TestConductorPython(t *testing.T) {
	f := start(t)
	out := command(t, conductorEnv(f), python(t, "conductor"), filepath.Join("conductor", "client.py"))
	require.Equal(t, map[string]any{
		"versions":  []any{1.0},
		"first":     map[string]any{"status": "COMPLETED", "output": map[string]any{"said": "HELLO ANN"}, "correlation": "c1", "tasks": []any{"greet", "shout"}},
		"second":    map[string]any{"status": "FAILED", "reason": "there is nobody to greet", "tasks": []any{"FAILED"}},
		"rerun":     map[string]any{"same": true, "output": map[string]any{"said": "HELLO BOB"}, "tasks": []any{"CANCELED", "COMPLETED", "COMPLETED"}},
		"restarted": map[string]any{"status": "COMPLETED", "tasks": 2.0},
		"executed":  map[string]any{"status": "COMPLETED", "output": map[string]any{"said": "HELLO EVE"}},
		"found":     3.0,
		"waiting":   0.0,
	}, seen(t, out))
}

// TestConductorPythonTasks: what its SDK builds of other tasks than simple ones.
func TestConductorPythonTasks(t *testing.T) {
	f := start(t)
	out := command(t, conductorEnv(f), python(t, "conductor"), filepath.Join("conductor", "tasks.py"))
	require.Equal(t, map[string]any{
		"py dynamic": []any{"COMPLETED", map[string]any{"n": 8.0}, []any{"any:COMPLETED"}},
		"py dynamic fork": []any{
			"COMPLETED", map[string]any{"all": map[string]any{"part0": map[string]any{"n": 0.0}, "part1": map[string]any{"n": 2.0}, "part2": map[string]any{"n": 4.0}}},
			[]any{"plan:COMPLETED", "fork:COMPLETED", "part0:COMPLETED", "part1:COMPLETED", "part2:COMPLETED", "join:COMPLETED"},
		},
		"py inline": []any{"COMPLETED", map[string]any{"n": 10.0}, []any{"sub:COMPLETED"}},
		"py loop":   []any{"COMPLETED", map[string]any{"last": 6.0, "times": 3.0}, []any{"loop:COMPLETED", "step__1:COMPLETED", "step__2:COMPLETED", "step__3:COMPLETED"}},
		"py many ends": []any{"COMPLETED", map[string]any{"last": 12.0, "left": 4.0}, []any{
			"script:COMPLETED", "query:COMPLETED", "set:COMPLETED", "pause:COMPLETED", "fork:COMPLETED", "left:COMPLETED", "right:COMPLETED",
			"fork_join:COMPLETED", "switch:COMPLETED", "last:COMPLETED",
		}},
		"py many": []any{"FAILED", map[string]any{}, []any{
			"script:COMPLETED", "query:COMPLETED", "set:COMPLETED", "pause:COMPLETED", "fork:COMPLETED", "left:COMPLETED", "right:COMPLETED",
			"fork_join:COMPLETED", "switch:COMPLETED", "stop:COMPLETED",
		}},
		"refused": 400.0,
	}, seen(t, out))
}

// TestConductorJavaScript: workers and clients of @io-orkes/conductor-javascript.
func TestConductorJavaScript(t *testing.T) {
	f := start(t)
	out := javascript(t, "conductor", "client.mjs", conductorEnv(f))
	require.Equal(t, map[string]any{
		"definitions": []any{"js_asking", "js_greeting"}, "task": 0.0,
		"executed":  []any{"COMPLETED", map[string]any{"said": "HELLO EVE"}},
		"failed":    []any{"FAILED", "there is nobody to greet", "c1", []any{"greet:FAILED"}},
		"log":       []any{"looked for somebody"},
		"retried":   []any{"greet:FAILED", "greet:FAILED"},
		"rerun":     []any{true, map[string]any{"said": "HELLO BOB"}, []any{"greet:FAILED", "greet:CANCELED", "greet:COMPLETED", "shout:COMPLETED"}},
		"back":      []any{"greet:FAILED", "greet:CANCELED", "greet:COMPLETED", "shout:CANCELED", "shout:COMPLETED"},
		"restarted": []any{"greet:COMPLETED", "shout:COMPLETED"},
		"paused":    "PAUSED", "answered": []any{"COMPLETED", map[string]any{"said": "YES"}, []any{"ask:COMPLETED", "again:SKIPPED", "shout:COMPLETED"}},
		"terminated": []any{"TERMINATED", "enough"}, "found": []any{[]any{true}, 1.0}, "sizes": map[string]any{"js_greet": 0.0, "js_shout": 0.0},
		"missing": "Failed to get workflow: No such workflow found by id: nope",
	}, seen(t, out))
}

func conductorEnv(f *fleet.Fleet) []string {
	return []string{"CONDUCTOR_SERVER_URL=" + f.URL + "/api", "CONDUCTOR_AUTH_KEY=any", "CONDUCTOR_AUTH_SECRET=" + f.Key, "CONDUCTOR_DISABLE_TELEMETRY=true"}
}

// seen reads the line that says what a client saw.
func seen(t *testing.T, out string) map[string]any {
	t.Helper()
	_, line, found := strings.Cut(out, "SEEN ")
	require.True(t, found, out)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &got))
	return got
}
