package chaos

import (
	"context"
	"encoding/csv"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

const (
	bulkGroups = 3
	bulkKills  = 5
)

// brokenIn is a workflow of five tasks, of which the third fails until there is a file.
func brokenIn(group int) string {
	return fmt.Sprintf(`
name: broken-%[1]d
tasks:
  - { name: a, type: noop }
  - { name: b, needs: [a], type: noop }
  - { name: third-%[1]d, needs: [b], type: journal, with: { ms: 1, until: "${workflow.input.until}" } }
  - { name: d, needs: [third-%[1]d], type: noop }
  - { name: e, needs: [d], type: noop }
`, group)
}

// driver answers the process that looks after the bulk operations of the project.
func driver(t *testing.T, f *fleet.Fleet) (pid int) {
	t.Helper()
	h := fnv.New32a()
	_, err := h.Write([]byte("default"))
	require.NoError(t, err)
	owner, err := f.Client().Get(t.Context(), fmt.Sprintf("redrive:{lead:%d}", h.Sum32()%8)).Result()
	if err != nil {
		return 0 // nobody does just now
	}
	parts := strings.Split(owner, ":")
	pid, err = strconv.Atoi(parts[len(parts)-2])
	require.NoError(t, err)
	return pid
}

// peak is the most memory that a process ever held, in MiB.
func peak(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10
		}
	}
	return 0
}

// TestABulkRetrySurvivesItsDrivers fails many executions in three groups, and retries one group, with a canary and a pace, while
// the process that drives is killed again and again. The long form has 100,000 executions.
func TestABulkRetrySurvivesItsDrivers(t *testing.T) {
	parallel(t)
	many := form(300, 100_000)
	binary, err := fleet.Build(fleet.Journal)
	require.NoError(t, err)
	f := fleet.New(t, queuetest.URL(t), "--retention", "48h", "--log-level", "info")
	env := []string{"JOURNAL=" + t.TempDir() + "/journal"}
	processes := map[int]func() *fleet.Process{}
	running := map[int]*fleet.Process{}
	launch := func(start func() *fleet.Process) {
		p := start()
		running[p.PID()], processes[p.PID()] = p, start
	}
	launch(func() *fleet.Process { return f.Server() })
	for range 2 {
		launch(func() *fleet.Process { return f.LaunchWorker(binary, env, "--concurrency", "20") })
	}
	for group := range bulkGroups {
		f.Publish(brokenIn(group))
	}
	mended := t.TempDir() + "/mended"
	began := time.Now()
	ids := fail(t, f, many, mended)
	t.Logf("%d executions of 5 tasks failed in %s", many, time.Since(began).Round(time.Second))
	require.NoError(t, os.WriteFile(mended, nil, 0o600))

	x, err := f.API.Execution(t.Context(), ids[1][0])
	require.NoError(t, err)
	group, rate := len(ids[1]), form(60.0, 1000.0)
	tolerated := 0.05
	b, err := f.API.StartBulk(t.Context(), "default", client.BulkRequest{
		Operation: client.BulkRetry, Filter: client.BulkFilter{Workflow: "broken-1", Fingerprint: x.Error.Fingerprint},
		Rate: rate, MaxInFlight: form(20, 500), Canary: 10, MaxErrorRate: &tolerated, Reason: "mended",
	})
	require.NoError(t, err)
	began = time.Now()
	kills, most := 0, 0
	fleet.Await(t, form(patience, time.Hour), "the bulk operation is over", func() bool {
		look, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		now, err := f.API.Bulk(look, "default", b.ID)
		if err != nil {
			return false // the server was killed
		}
		b = now
		done := b.Succeeded + b.Failed + b.Skipped
		require.Equal(t, b.Total, done+b.Pending+b.InFlight, "the counts add up")
		require.NotEqual(t, client.BulkHeld, b.State, b.Why)
		pid := driver(t, f)
		most = max(most, peak(pid))
		if p := running[pid]; p != nil && b.EndedAt == nil && kills < bulkKills && done >= (kills+1)*group/(bulkKills+2) {
			again := processes[pid]
			p.Kill()
			delete(running, pid)
			launch(again)
			kills++
		}
		return b.EndedAt != nil
	})
	took := time.Since(began)
	require.Equal(t, bulkKills, kills)
	t.Logf("%d executions were retried in %s, %.0f a second at a rate of %.0f, with %d kills; the driver held %d MiB at most",
		group, took.Round(time.Second), float64(group)/took.Seconds(), rate, kills, most)

	require.Equal(t, client.BulkCompleted, b.State)
	require.Equal(t, []int{group, group, 0, 0}, []int{b.Total, b.Succeeded, b.Failed, b.Skipped})
	report, err := f.API.BulkReport(t.Context(), "default", b.ID, "csv")
	require.NoError(t, err)
	rows, err := csv.NewReader(report).ReadAll()
	require.NoError(t, err)
	require.NoError(t, report.Close())
	require.Len(t, rows, group+1)
	reported := map[string]bool{}
	for _, row := range rows[1:] {
		require.Equal(t, []string{"succeeded", "failed", "succeeded"}, row[2:5], "%v", row)
		reported[row[1]] = true
	}
	require.Len(t, reported, group, "each once")
	for n, list := range ids {
		seen := 0
		name := fmt.Sprintf("broken-%d", n)
		for x, err := range f.API.Executions(t.Context(), "default", client.ListExecutionsParams{Workflow: &name}) {
			require.NoError(t, err)
			seen++
			if n == 1 {
				require.True(t, reported[x.ID])
				require.Equal(t, []any{client.ExecutionStatusSucceeded, 1}, []any{x.Status, x.Redrives}, "%s was retried once", x.ID)
				continue
			}
			require.Equal(t, []any{client.ExecutionStatusFailed, 0}, []any{x.Status, x.Redrives}, "%s is of another group", x.ID)
		}
		require.Equal(t, len(list), seen)
	}
}

// fail starts executions of all groups and waits until they have failed; it answers their ids by group.
func fail(t *testing.T, f *fleet.Fleet, many int, until string) [bulkGroups][]string {
	t.Helper()
	var ids [bulkGroups][]string
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range 16 {
		wg.Go(func() {
			for n := range next {
				group := n % bulkGroups
				x, _, err := f.API.Start(t.Context(), "default", client.StartRequest{
					Workflow: fmt.Sprintf("broken-%d", group), Input: client.JSON(fmt.Sprintf(`{"until": %q}`, until)),
				})
				if err != nil {
					t.Errorf("start %d: %v", n, err)
					continue
				}
				mu.Lock()
				ids[group] = append(ids[group], x.ID)
				mu.Unlock()
			}
		})
	}
	for n := range many {
		next <- n
	}
	close(next)
	wg.Wait()
	require.False(t, t.Failed())
	failed := []client.ExecutionStatus{client.ExecutionStatusFailed}
	fleet.Await(t, form(patience, time.Hour), "all have failed", func() bool {
		p, err := f.API.PreviewBulk(t.Context(), "default", client.BulkRequest{Operation: client.BulkRetry, Filter: client.BulkFilter{Status: failed}})
		return err == nil && p.Count == many
	})
	return ids
}
