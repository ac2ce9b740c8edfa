package engine_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// soak asks for the long forms: REDRIVE_SOAK=1.
var soak = os.Getenv("REDRIVE_SOAK") != ""

// cost is what one item of an execution costs. The times are measured and
// only shown, the rest is counted: it is the same on any machine, however busy.
type cost struct {
	took, slowest                  time.Duration // the longest single command of Redis, a script being one
	slowestIs                      string
	calls, sent, allocated, memory float64 // commands that Redis ran, bytes it sent, allocations of this process, bytes that Redis keeps
}

func (c cost) String() string {
	return fmt.Sprintf("%s, %.1f commands, %.0f bytes read, %.0f allocations, %.0f bytes kept per item; the slowest command took %s (%s)",
		c.took, c.calls, c.sent, c.allocated, c.memory, c.slowest, c.slowestIs)
}

// info reads a number of Redis' INFO.
func (s *stage) info(section, field string) float64 {
	s.t.Helper()
	all, err := s.store.Client().Info(s.ctx(), section).Result()
	require.NoError(s.t, err)
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			n, err := strconv.ParseFloat(value, 64)
			require.NoError(s.t, err)
			return n
		}
	}
	s.t.Fatalf("INFO %s has no %s", section, field)
	return 0
}

// kept is how many bytes the keys of all executions take.
func (s *stage) kept() (bytes float64) {
	s.t.Helper()
	keys, err := queuetest.Keys(s.ctx(), s.store.Client(), "redrive:{s:")
	require.NoError(s.t, err)
	for _, key := range keys {
		n, err := s.store.Client().MemoryUsage(s.ctx(), key, 0).Result()
		require.NoError(s.t, err)
		bytes += float64(n)
	}
	return bytes
}

// drain runs the jobs of one shard until there are none.
func (s *stage) drain(id string) {
	s.t.Helper()
	for {
		jobs, err := s.store.Client().ZRange(s.ctx(), queuetest.ShardKey(id, "jobs"), 0, 499).Result()
		require.NoError(s.t, err)
		if len(jobs) == 0 {
			return
		}
		for _, job := range jobs {
			f, err := engine.ParseJobID(job)
			require.NoError(s.t, err)
			s.deliver(f)
		}
	}
}

// measure runs an execution over n items on a Redis of its own.
func measure(t *testing.T, definition string, n int) cost {
	t.Helper()
	server, err := queuetest.Start()
	require.NoError(t, err)
	defer server.Stop()
	s := newStageOn(t, "redis://"+server.Addr()+"/0")
	c := s.store.Client()
	s.publish(child)
	warm := s.start(strings.ReplaceAll(definition, "WIDTH", "10"), `{"n": 10}`) // loads the scripts
	s.drain(warm.ID)
	s.ends(warm, workflow.ExecutionSucceeded)
	require.NoError(t, c.ConfigSet(t.Context(), "slowlog-log-slower-than", "1000").Err())
	require.NoError(t, c.ConfigSet(t.Context(), "slowlog-max-len", "100000").Err())
	require.NoError(t, c.Do(t.Context(), "SLOWLOG", "RESET").Err())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	memory := s.kept()
	calls, sent := s.info("stats", "total_commands_processed"), s.info("stats", "total_net_output_bytes")
	began := time.Now()
	x := s.start(strings.ReplaceAll(definition, "WIDTH", strconv.Itoa(n)), `{"n": `+strconv.Itoa(n)+`}`)
	s.drain(x.ID)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	per := func(v float64) float64 { return v / float64(n) }
	result := cost{
		took: took / time.Duration(n), allocated: per(float64(after.Mallocs - before.Mallocs)),
		calls: per(s.info("stats", "total_commands_processed") - calls), sent: per(s.info("stats", "total_net_output_bytes") - sent),
		memory: per(s.kept() - memory),
	}
	result.slowest, result.slowestIs = s.slowest(c)
	s.ends(x, workflow.ExecutionSucceeded)
	return result
}

func (s *stage) slowest(c redis.UniversalClient) (longest time.Duration, what string) {
	s.t.Helper()
	logs, err := c.(*redis.Client).SlowLogGet(s.ctx(), -1).Result()
	require.NoError(s.t, err)
	for _, l := range logs {
		if l.Duration > longest && !strings.EqualFold(l.Args[0], "info") {
			longest, what = l.Duration, strings.Join(l.Args[:min(len(l.Args), 3)], " ")
		}
	}
	return longest, what
}

// TestWidth holds what an item costs to what it costs in a smaller execution.
func TestWidth(t *testing.T) {
	for what, form := range map[string]struct {
		definition string
		share      int // of the sizes
	}{
		"items": {`
name: w
tasks: [{ name: each, type: noop, for_each: { items: "${lists.range(workflow.input.n)}" }, with: { n: "${item}" } }]
`, 1},
		"items at once": {`
name: w
tasks: [{ name: each, type: noop, for_each: { items: "${lists.range(workflow.input.n)}", max_parallel: WIDTH }, with: { n: "${item}" } }]
`, 1},
		"groups": {`
name: w
tasks:
  - name: each
    type: group
    for_each: { items: "${lists.range(workflow.input.n)}" }
    tasks: [{name: a, type: noop, with: "${item}"}, {name: b, type: noop, needs: [a], with: "${tasks.a.output}"}, {name: c, type: noop, needs: [a]}]
`, 5},
		"sub-workflows": {`
name: w
tasks: [{ name: each, type: workflow, for_each: { items: "${lists.range(workflow.input.n)}" }, with: { name: child, input: { n: "${item}" } } }]
`, 20},
	} {
		t.Run(what, func(t *testing.T) {
			sizes := []int{500, 2000}
			if soak {
				sizes = []int{1000, 5000, 10000}
			}
			var first cost
			for i, size := range sizes {
				c := measure(t, form.definition, size/form.share)
				t.Logf("%d: %s", size/form.share, c)
				if i == 0 {
					first = c
					continue
				}
				const most = 1.3 // what is quadratic has the ratio of the sizes
				require.Less(t, c.calls, most*first.calls, "commands per item")
				require.Less(t, c.sent, most*first.sent, "bytes read per item")
				require.Less(t, c.allocated, most*first.allocated, "allocations per item")
				require.Less(t, c.memory, most*first.memory, "bytes kept per item")
			}
		})
	}
}
