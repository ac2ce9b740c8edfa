package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

func writeFile(path string) error { return os.WriteFile(path, nil, 0o600) }

// A command with a child in its process group: both note their ids and sleep.
const sleeper = `
name: sleeper
tasks:
  - name: sleep
    type: exec
    with: { command: [sh, -c, 'sleep 300 & echo $$ $! > "$0.new"; mv "$0.new" "$0"; wait', "${workflow.input.file}"] }
  - name: plain
    type: exec
    with: { command: [sleep, "300"] }
  - { name: after, type: noop, needs: [sleep] }
`

// The bound is generous; the issue is that cancellation arrives by itself and soon.
const cancelBound = 3 * time.Second

func TestCancelReachesTheProcessGroup(t *testing.T) {
	f := start(t, "--allow-exec", "sh", "--allow-exec", "sleep")
	f.Publish(sleeper)
	for range 3 {
		note := t.TempDir() + "/pids"
		id := f.Start("sleeper", map[string]string{"file": note})
		var pids []int
		fleet.Await(t, patience, "the command runs", func() bool {
			text, err := os.ReadFile(note)
			for s := range strings.FieldsSeq(string(text)) {
				pid, convErr := strconv.Atoi(s)
				require.NoError(t, convErr)
				pids = append(pids, pid)
			}
			return err == nil
		})
		awaitTask(t, f, id, "plain", client.TaskStatusRunning)
		require.Len(t, pids, 2)
		require.True(t, fleet.Alive(pids[0]) && fleet.Alive(pids[1]))

		_, err := f.API.Cancel(t.Context(), id, "enough")
		require.NoError(t, err)
		answered := time.Now()
		fleet.Await(t, patience, "both processes are gone", func() bool { return !fleet.Alive(pids[0]) && !fleet.Alive(pids[1]) })
		took := time.Since(answered)
		t.Logf("canceled; the process group was gone %s after the answer", took.Round(time.Millisecond))
		require.Less(t, took, cancelBound)

		x := await(t, f, id)
		require.EqualValues(t, "canceled", x.Status)
		require.Equal(t, "enough", x.Reason)
		require.Equal(t, map[string]int{"canceled": 3}, present(x.TasksSummary))
		fleet.Await(t, patience, "no worker runs anything", func() bool {
			workers, err := f.API.Workers(t.Context())
			require.NoError(t, err)
			return workers[0].Running+workers[1].Running == 0
		})
	}
	_, _, code := f.CLI("cancel", "1")
	require.Equal(t, 4, code, "an ended execution")
}
