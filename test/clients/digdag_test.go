package clients

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTreasureDataClient lets Treasure Data's client do all that it can.
func TestTreasureDataClient(t *testing.T) {
	f := start(t, "--allow-exec", "sh")
	folder, missing := t.TempDir(), filepath.Join(t.TempDir(), "rows.csv")
	for name, text := range map[string]string{
		"daily.dig":   "timezone: Asia/Tokyo\n+load:\n  sh>: cat " + missing + "\n+count:\n  echo>: ${rows * 2}\n",
		"nightly.dig": "schedule: {daily>: 02:00:00}\n+a: {echo>: 1}\n",
		"held.dig":    "+wait: {wait>: 1h}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(folder, "scripts"), 0o700))
	out := command(t, nil, python(t, "digdag"), "digdag/tour.py", strings.TrimPrefix(f.URL, "http://"), f.Key, folder, missing)
	var said map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &said), out)
	for what, want := range map[string]any{
		"project": []any{"default", "r1"}, "workflows": []any{"daily", "held", "nightly"}, "timezone": "Asia/Tokyo",
		"failed": []any{"error", true, false, 1.0}, "conflict": true,
		"tasks":   map[string]any{"+daily": "group_error", "+daily+load": "error", "+daily+count": "blocked"},
		"resumed": []any{"success", 2.0, "again"}, "log": "42", "retries": 2.0, "attempts": []any{1.0, 2.0},
		"session": []any{"2026-03-01T00:00:00+09:00", 2.0}, "project_sessions": 1.0, "revisions": []any{"r1"},
		"schedule": "nightly", "disabled": true, "enabled": true, "backfill": 1.0, "backfilled": []any{"success", "b"}, "killed": "killed",
	} {
		require.Equal(t, want, said[what], what)
	}
}
