package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue/queuetest"
)

// TestRedisRestart kills Redis itself, which keeps an append-only file, while
// executions run: what was accepted ends.
func TestRedisRestart(t *testing.T) {
	parallel(t)
	args := []string{"--appendonly", "yes", "--appendfsync", "everysec"}
	own, err := queuetest.Start(args...)
	require.NoError(t, err)
	t.Cleanup(func() { own.Stop() })
	l := newLoad(t, "redis://"+own.Addr()+"/0", form(30, 100), 10*time.Second)
	began, restarts := time.Now(), 0
	l.run(form(5*time.Second, 30*time.Second), plague{form(2*time.Second, 5*time.Second), func(n int) {
		if len(l.ids) == l.planned && n > 0 {
			return
		}
		own.Kill()
		l.outages++                        // a long one costs both workers the leases of what they run
		time.Sleep(500 * time.Millisecond) // an outage, not a blink
		require.NoError(t, own.Restart(args...))
		restarts++
	}})
	took := time.Since(began)
	g := l.check()
	l.settle()
	l.vanish()
	t.Logf("SUMMARY %s in %s: %d kills of Redis; %s", t.Name(), round(took), restarts, g)
}
