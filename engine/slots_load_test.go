package engine_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// gauge counts handlers that run at once.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

// work is what a handler does that takes its time.
func (g *gauge) work() {
	if g == nil {
		return
	}
	g.add(1)
	defer g.add(-1)
	time.Sleep(20 * time.Millisecond)
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// TestNeverMoreRunThanMay lets 200 starts by three processes, which also work, meet a limit of 10, while the
// replies of one of them get lost. Every handler runs within its execution, so that never more than 10 do at once.
func TestNeverMoreRunThanMay(t *testing.T) {
	t.Parallel()
	url, running := queuetest.URL(t), &gauge{}
	procs := []*process{newImpatient(t, url), newImpatient(t, url), newImpatient(t, url)}
	for _, p := range procs {
		p.running.Store(running)
	}
	_, err := procs[0].Publish(t.Context(), "default", []byte("name: w\nconcurrency: { max_running: 10 }\ntasks: [{ name: b, type: noop }]\n"), false)
	require.NoError(t, err)
	procs[2].faults.Lose(0.05, 11)
	ids := make([]string, 200)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			p := procs[i%len(procs)]
			for key := fmt.Sprintf("%s %d", t.Name(), i); ids[i] == ""; {
				x, _, err := p.Start(t.Context(), "default", engine.StartRequest{Workflow: "w", IdempotencyKey: key})
				if err == nil {
					ids[i] = x.ID
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		awaitEnd(t, procs[0], id)
		x, err := procs[0].Execution(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, workflow.ExecutionSucceeded, x.Status)
	}
	procs[2].faults.Lose(0, 0)
	require.Positive(t, procs[2].faults.Lost())
	require.LessOrEqual(t, running.most, 10)
	require.Greater(t, running.most, 1, "some run side by side")
	t.Logf("%d replies got lost; at most %d ran at once", procs[2].faults.Lost(), running.most)
	require.Eventually(t, func() bool {
		problems, err := queuetest.AuditSlots(t.Context(), procs[0].store.Client(), "default")
		require.NoError(t, err)
		return len(problems) == 0
	}, time.Minute, 100*time.Millisecond, "everything that is due is looked at")
}
