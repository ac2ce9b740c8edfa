package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
)

// sick is a store that says other things of the installation than are so.
type sick struct {
	*queue.Redis
	nodes   []engine.RedisNode
	workers []engine.Worker
	queues  []engine.Queue
	ahead   time.Duration
}

func (s *sick) Nodes(context.Context) ([]engine.RedisNode, error) { return s.nodes, nil }
func (s *sick) Workers(context.Context) ([]engine.Worker, error)  { return s.workers, nil }
func (s *sick) Queues(context.Context) ([]engine.Queue, error)    { return s.queues, nil }
func (s *sick) Time(ctx context.Context) (time.Time, error) {
	now, err := s.Redis.Time(ctx)
	return now.Add(-s.ahead), err
}

func (s *stage) diagnosed() map[string]engine.Finding {
	s.t.Helper()
	d, err := s.Diagnose(s.ctx(), "v2")
	require.NoError(s.t, err)
	require.Equal(s.t, "v2", d.Version)
	found := map[string]engine.Finding{}
	for _, f := range d.Findings {
		require.Equal(s.t, f.Status == engine.FindingOK, f.Next == "", "%s says what to do", f.Check)
		require.NotContains(s.t, found, f.Check)
		found[f.Check] = f
	}
	return found
}

func TestDiagnose(t *testing.T) {
	t.Parallel()
	good := engine.RedisNode{Address: "h:1", Version: "7.2.4", Policy: "noeviction", Persistent: true, Used: 1 << 30, Most: 4 << 30}
	worker := engine.Worker{ID: "w1", Version: "v2", Queues: map[string]int{"default": 1}}
	lane := engine.Queue{Name: "default", Pending: 3, Latency: time.Second}
	for name, c := range map[string]struct {
		change func(*sick)
		check  string
		status engine.FindingStatus
		says   string
	}{
		"all is well":         {func(*sick) {}, "queues", engine.FindingOK, "no queue"},
		"it evicts":           {func(s *sick) { s.nodes[0].Policy = "allkeys-lru" }, "redis_eviction", engine.FindingError, "h:1 has maxmemory-policy allkeys-lru"},
		"it says no policy":   {func(s *sick) { s.nodes[0].Policy = "" }, "redis_eviction", engine.FindingWarning, "does not tell"},
		"it forgets":          {func(s *sick) { s.nodes[0].Persistent = false }, "redis_persistence", engine.FindingWarning, "append-only"},
		"it has room":         {func(*sick) {}, "redis_memory", engine.FindingOK, "1024 of 4096 MiB"},
		"it is full":          {func(s *sick) { s.nodes[0].Used = 3900 << 20 }, "redis_memory", engine.FindingError, "3900 of 4096 MiB"},
		"the clock is off":    {func(s *sick) { s.ahead = time.Minute }, "clock", engine.FindingWarning, "1m0s ahead of"},
		"no worker":           {func(s *sick) { s.workers, s.queues = nil, nil }, "workers", engine.FindingError, "nothing runs"},
		"another version":     {func(s *sick) { s.workers[0].Version = "v1" }, "versions", engine.FindingWarning, "w1 v1"},
		"a worker's clock":    {func(s *sick) { s.workers[0].SkewMillis = -90_000 }, "worker_clocks", engine.FindingWarning, "w1 is 1m30s behind"},
		"a paused queue":      {func(s *sick) { s.queues[0].Paused = true }, "queues", engine.FindingWarning, "default is paused, and 3 jobs"},
		"a queue nobody has":  {func(s *sick) { s.queues[0].Name = "gpu" }, "queues", engine.FindingError, "queue gpu, which no worker serves"},
		"a queue that lags":   {func(s *sick) { s.queues[0].Latency = time.Hour }, "queues", engine.FindingWarning, "waits for 1h0m0s"},
		"an idle paused one":  {func(s *sick) { s.queues[0].Paused, s.queues[0].Pending = true, 0 }, "queues", engine.FindingOK, "no queue"},
		"remote workers only": {func(s *sick) { s.workers[0].Remote, s.queues = true, nil }, "workers", engine.FindingOK, "1 of them remote"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var store *sick
			s := newStage(t, func(o *engine.Options) {
				store = &sick{
					Redis: o.Store.(*queue.Redis), nodes: []engine.RedisNode{good}, workers: []engine.Worker{worker}, queues: []engine.Queue{lane},
				}
				c.change(store)
				o.Store = store
			})
			f := s.diagnosed()[c.check]
			require.Equal(t, c.status, f.Status, f.Message)
			require.Contains(t, f.Message, c.says)
		})
	}
}

// TestDiagnoseARealOne: what the real Redis says of itself is understood.
func TestDiagnoseARealOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.NoError(t, s.Announce(s.ctx(), engine.Worker{ID: "late", Version: "v2", SeenAt: time.Now().Add(-time.Hour)}))
	found := s.diagnosed()
	require.Regexp(t, `^Redis at \S+ is version \d+\.\d+`, found["redis"].Message)
	require.Equal(t, engine.FindingOK, found["redis_eviction"].Status)
	require.Regexp(t, `uses \d+ MiB`, found["redis_memory"].Message)
	require.Contains(t, found["worker_clocks"].Message, "late is 1h0m")
}
