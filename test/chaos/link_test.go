package chaos

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

// TestLinkCut cuts the connection between worker and Redis for 3 s just when
// handlers end: their results are reported later, and nothing failed or ran twice.
func TestLinkCut(t *testing.T) {
	parallel(t)
	redisURL := queuetest.URL(t)
	u, err := url.Parse(redisURL)
	require.NoError(t, err)
	link, err := NewLink(u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, link.Close()) })

	journal := t.TempDir() + "/journal"
	l := &load{t: t, f: fleet.New(t, redisURL), journal: journal}
	l.server = l.f.Server()
	binary, err := fleet.Build(fleet.Journal)
	require.NoError(t, err)
	u.Host = link.Addr()
	worker := fleet.Launch(t, "worker", binary, []string{"JOURNAL=" + journal}, "--redis", u.String())
	fleet.Await(t, patience, "the worker is there", func() bool {
		workers, err := l.f.API.Workers(t.Context())
		require.NoError(t, err)
		return len(workers) == 1 && workers[0].Pid == worker.PID()
	})
	l.f.Publish("name: short\ntasks:\n  - { name: work, type: journal, with: { ms: 400 } }\n  - { name: after, type: journal, needs: [work], with: { ms: 1 } }\n")
	for n := range form(2, 12) {
		silent := n%2 == 1
		var ids []string
		for range 5 {
			ids = append(ids, l.f.Start("short", nil))
		}
		fleet.Await(t, patience, "the handlers run", func() bool {
			for _, id := range ids {
				if len(l.startsOf(id)) == 0 {
					return false
				}
			}
			return true
		})
		link.Cut(silent)
		<-time.After(3 * time.Second)
		link.Mend()
		mended := time.Now()
		for _, id := range ids {
			fleet.Await(t, patience, "the execution succeeds", func() bool {
				x, err := l.f.API.Execution(t.Context(), id)
				require.NoError(t, err)
				require.NotEqualValues(t, "failed", x.Status, "a false failure: %+v", x.Error)
				return x.Status == "succeeded"
			})
			task, err := l.f.API.Task(t.Context(), id, "work")
			require.NoError(t, err)
			require.Equal(t, []int{1, 1}, []int{task.Attempt, task.Try})
			require.Len(t, l.startsOf(id), 2, "each handler ran once")
		}
		t.Logf("cut %d (silent: %v): all had succeeded %s after it was mended", n+1, silent, round(time.Since(mended)))
	}
}
