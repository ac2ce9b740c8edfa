package clients

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// TestCogniteClient lets Cognite's client run workflows whose functions are done by a remote worker.
func TestCogniteClient(t *testing.T) {
	f := start(t)
	file := filepath.Join(t.TempDir(), "there")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- f.API.WorkRemote(ctx, client.PollRequest{Types: []string{"step", "flaky", "async"}, Worker: "functions"}, func(_ context.Context, run client.RemoteRun) (any, error) {
			if run.Type == "flaky" {
				_, err := os.Stat(file)
				return map[string]any{"fine": true}, err
			}
			return run.Input, nil
		})
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	out := command(t, nil, python(t, "cognite"), "cognite/client.py", f.URL, f.Key, file)
	var said map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &said), out)
	for what, want := range map[string]any{
		"workflow": []any{"plant/a", "Of the plant", 5.0, true}, "version": []any{"v 1", 4.0, true}, "versions": []any{"v 1"},
		"retrieved": []any{"plant/a", nil, "v 1"}, "run": []any{"running", "v 1", map[string]any{"k": "v"}},
		"listed": []any{true}, "retried": []any{true, "running"}, "retried again": []any{409.0, true}, "unknown": []any{nil, 404.0},
		"completed": []any{
			map[string]any{"first": "completed", "optional": "completed_with_errors", "inner": "completed", "bad": "completed", "last": "completed"},
			map[string]any{"was": 12345678901234567.0},
		},
		"updated": []any{"job", "completed", "completed"}, "canceled": []any{"terminated", "why not", "why not"}, "retry of canceled": "running",
		"trigger": []any{"nightly", "v 1", map[string]any{"n": 1.0}, map[string]any{"k": "v"}, false}, "paused": []any{true}, "resumed": []any{false},
		"runs": 0.0, "triggers": 0.0, "versions left": 0.0, "gone": []any{404.0, []any{map[string]any{"externalId": "plant/a"}}}, "left": []any{"slow"},
	} {
		require.Equal(t, want, said[what], what)
	}
	require.Equal(t, map[string]any{"first": "completed", "optional": "completed_with_errors", "inner": "failed", "bad": "failed"}, said["failed"].([]any)[0])
}
