package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue/queuetest"
)

// vandal does behind the engine's back what asynq's tools let anybody do.
type vandal struct {
	inspector *asynq.Inspector
	random    *rand.Rand
	deleted   int
	archived  int
	run       int
	queues    int
}

// strike picks waiting jobs at random; what it finds gone or active already it leaves.
func (v *vandal) strike(n int) {
	if n%20 == 10 && v.inspector.DeleteQueue("default", true) == nil {
		v.queues++
	}
	pending, err := v.inspector.ListPendingTasks("default", asynq.PageSize(50))
	if err != nil {
		return
	}
	for _, job := range pending {
		switch v.random.IntN(4) {
		case 0:
			if v.inspector.DeleteTask("default", job.ID) == nil {
				v.deleted++
			}
		case 1:
			if v.inspector.ArchiveTask("default", job.ID) == nil {
				v.archived++
			}
		}
	}
	archived, err := v.inspector.ListArchivedTasks("default", asynq.PageSize(50))
	if err != nil {
		return
	}
	for _, job := range archived {
		if v.random.IntN(3) == 0 && v.inspector.RunTask("default", job.ID) == nil {
			v.run++
		}
	}
}

// TestVandals deletes, archives and runs jobs in asynq while executions run: an
// asynq job is only a hint, so that this costs time and nothing else.
func TestVandals(t *testing.T) {
	parallel(t)
	l := newLoad(t, queuetest.URL(t), form(30, 100), 10*time.Second, "--concurrency", "2") // so that jobs wait
	v := &vandal{inspector: asynq.NewInspectorFromRedisClient(l.client), random: rand.New(rand.NewPCG(1, 1))}
	began := time.Now()
	stop := began.Add(form(6*time.Second, 30*time.Second))
	l.run(form(3*time.Second, 20*time.Second), plague{50 * time.Millisecond, func(n int) {
		if time.Now().Before(stop) || v.deleted == 0 || v.archived == 0 || v.run == 0 { // a slow machine has little to strike at
			v.strike(n)
		}
	}})
	took := time.Since(began)
	g := l.check()
	l.settle()
	l.vanish()
	require.NotZero(t, v.deleted)
	require.NotZero(t, v.archived)
	require.NotZero(t, v.run)
	t.Logf("SUMMARY %s in %s: %d jobs deleted, %d archived, %d run by hand, %d queues deleted; %s", t.Name(), round(took), v.deleted, v.archived, v.run, v.queues, g)
}
