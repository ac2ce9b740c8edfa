package workflow

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the generated pages of docs/")

func TestEveryTaskTransition(t *testing.T) {
	for event, rows := range TaskTransitions {
		for _, from := range TaskStatuses {
			to, err := NextTask(from, event)
			if want, ok := rows[from]; ok {
				require.NoError(t, err)
				require.Equal(t, want, to)
				require.Contains(t, TaskStatuses, to)
				continue
			}
			var illegal *TransitionError
			require.ErrorAs(t, err, &illegal)
			require.Equal(t, TransitionError{Event: event, From: string(from)}, *illegal)
			require.Empty(t, to)
		}
	}
	for _, s := range TaskStatuses {
		require.False(t, s.Ended() && s.Active())
		for event, rows := range TaskTransitions {
			if _, leaves := rows[s]; leaves && s.Ended() {
				require.Contains(t, []Event{EventReset, EventPin, EventPass}, event, "only a redrive leaves %s", s)
			}
		}
	}
}

func TestEveryExecutionTransition(t *testing.T) {
	for event, rows := range ExecutionTransitions {
		for _, from := range ExecutionStatuses {
			to, err := NextExecution(from, event)
			if want, ok := rows[from]; ok {
				require.NoError(t, err)
				require.Equal(t, want, to)
				if from.Ended() {
					require.Contains(t, []Event{EventRedrive, EventQueueRedrive}, event, "only a redrive leaves %s", from)
				}
				continue
			}
			require.ErrorContains(t, err, string(from))
		}
	}
	_, err := NextExecution("nonsense", EventPause)
	require.Error(t, err)
}

// Every final status but skipped and canceled can be reached from pending, and from each other by way of a reset.
func TestEveryStatusCanBeReached(t *testing.T) {
	seen := map[TaskStatus]bool{TaskPending: true}
	for range TaskStatuses {
		for _, rows := range TaskTransitions {
			for from, to := range rows {
				if seen[from] {
					seen[to] = true
				}
			}
		}
	}
	for _, s := range TaskStatuses {
		if s != TaskWaiting { // of gates, which this version does not run
			require.True(t, seen[s], s)
		}
	}
}

func TestStatesPageIsCurrent(t *testing.T) {
	const file = "../docs/states.md"
	page := "# States\n\nThis page is written by `go test ./workflow -run StatesPage -update` from the tables in workflow/transition.go.\n" +
		states("A task", TaskStatuses, TaskTransitions) + states("An execution", ExecutionStatuses, ExecutionTransitions)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, page, string(got), "run: go test ./workflow -run StatesPage -update")
}

// states draws one state machine and lists its rows.
func states[S ~string](title string, order []S, table map[Event]map[S]S) string {
	var rows []string
	var diagram, list strings.Builder
	for event, row := range table {
		for from, to := range row {
			rows = append(rows, fmt.Sprintf("%02d %s %02d", slices.Index(order, from), event, slices.Index(order, to)))
		}
	}
	slices.Sort(rows)
	for _, row := range rows {
		var from, to int
		var event string
		_, _ = fmt.Sscanf(row, "%d %s %d", &from, &event, &to)
		fmt.Fprintf(&diagram, "    %s --> %s: %s\n", order[from], order[to], event)
		fmt.Fprintf(&list, "| `%s` | %s | `%s` |\n", order[from], event, order[to])
	}
	return fmt.Sprintf("\n## %s\n\n```mermaid\nstateDiagram-v2\n    [*] --> %s\n%s```\n\n| from | event | to |\n|---|---|---|\n%s",
		title, order[0], diagram.String(), list.String())
}
