package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// work is what something costs, counted; only the time is not, and is shown alone.
type work struct {
	took                                time.Duration
	calls, sent, allocations, allocated float64 // commands that Redis ran, bytes it sent, allocations of this process and their bytes
}

func (w work) String() string {
	return fmt.Sprintf("%s, %.0f commands, %.0f bytes read, %.0f allocations of %.0f bytes", w.took.Round(time.Millisecond), w.calls, w.sent, w.allocations, w.allocated)
}

// atMost holds work to a multiple of other work.
func (w work) atMost(t *testing.T, times float64, other work) {
	t.Helper()
	if times > 2 {
		t.Logf("it took %.1f times as long, for at most %.0f times as much work", float64(w.took)/float64(other.took), times)
	}
	require.LessOrEqual(t, w.calls, times*other.calls, "commands")
	require.LessOrEqual(t, w.sent, times*other.sent, "bytes read")
	require.LessOrEqual(t, w.allocations, times*other.allocations, "allocations")
	const room = 1.2 // slices and maps that grow have some to spare, which depends on their length
	require.LessOrEqual(t, w.allocated, room*times*other.allocated, "bytes allocated")
}

func (s *stage) worked(do func()) work {
	s.t.Helper()
	var before, after runtime.MemStats
	calls, sent := s.info("stats", "total_commands_processed"), s.info("stats", "total_net_output_bytes")
	runtime.ReadMemStats(&before)
	began := time.Now()
	do()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return work{
		took: took, allocations: float64(after.Mallocs - before.Mallocs), allocated: float64(after.TotalAlloc - before.TotalAlloc),
		sent: s.info("stats", "total_net_output_bytes") - sent, calls: s.info("stats", "total_commands_processed") - calls,
	}
}

// ownStage is a stage on a Redis that nothing else uses, so that what it does can be counted.
func ownStage(t *testing.T, change ...func(*engine.Options)) *stage {
	t.Helper()
	server, err := queuetest.Start()
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	return newStageOn(t, "redis://"+server.Addr()+"/0", change...)
}

const wide = `
name: wide
tasks: [{ name: each, type: noop, for_each: { items: "${lists.range(workflow.input.n)}" }, with: "${item}" }]
`

// canceled is an execution of so many items, none of which ran.
func (s *stage) canceled(items int) *engine.Execution {
	s.t.Helper()
	x := s.start(wide, fmt.Sprintf(`{"n": %d}`, items))
	_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
	require.NoError(s.t, err)
	s.ends(x, workflow.ExecutionCanceled)
	return x
}

// TestWidthOfPlans: a plan of ten times as many tasks is at most ten times the work.
func TestWidthOfPlans(t *testing.T) {
	s := ownStage(t)
	_, err := s.Plan(t.Context(), s.canceled(10).ID, asked(workflow.OperationRetry, nil)) // loads what is loaded once
	require.NoError(t, err)
	few, many := s.canceled(1000), s.canceled(10_000)
	for what, c := range map[string]struct {
		r       engine.RedriveRequest
		runs    int // in thousandths, and the for_each
		undoing int
	}{
		"all of them run again": {r: asked(workflow.OperationRetry, nil), runs: 1000},
		"one of them does":      {r: asked(workflow.OperationRerun, []ask{from("each[7]")}), undoing: 1},
	} {
		t.Run(what, func(t *testing.T) {
			s.t = t
			plan := func(x *engine.Execution, items int) work {
				var p *workflow.Plan
				w := s.worked(func() {
					var err error
					p, err = s.Plan(t.Context(), x.ID, c.r)
					require.NoError(t, err)
				})
				require.Len(t, p.Tasks, 1+items)
				runs := 0
				for _, row := range p.Tasks {
					if row.Action == workflow.PlanRun {
						runs++
					}
				}
				require.Equal(t, 1+c.runs*items/1000+c.undoing, runs)
				t.Logf("%d items: %s", items, w)
				return w
			}
			one := plan(few, 1000)
			plan(many, 10_000).atMost(t, 10, one)
		})
	}
}

// portions counts what each call costs that applies steps.
type portions struct {
	*queue.Redis
	s     *stage
	parts []work
	steps []int
	needs []int // nil = they are not counted: to read them is work, too
}

// dependencies are those of the steps that are left, step by step.
func (p *portions) dependencies(ctx context.Context, id string) (all []int) {
	cursor, err := p.Client().HGet(ctx, queuetest.ShardKey(id, "x:"+id), "applying").Result()
	require.NoError(p.s.t, err)
	var from int64
	_, err = fmt.Sscanf(cursor, "%d", &from)
	require.NoError(p.s.t, err)
	rows, err := p.Client().LRange(ctx, queuetest.ShardKey(id, "q:"+id), from, -1).Result()
	require.NoError(p.s.t, err)
	for _, row := range rows {
		var s workflow.Step
		require.NoError(p.s.t, json.Unmarshal([]byte(row), &s))
		all = append(all, len(s.Needs)+len(s.Others))
	}
	return all
}

func (p *portions) left(ctx context.Context, id string) int {
	n, err := p.Client().LLen(ctx, queuetest.ShardKey(id, "q:"+id)).Result()
	require.NoError(p.s.t, err)
	cursor, err := p.Client().HGet(ctx, queuetest.ShardKey(id, "x:"+id), "applying").Result()
	if n == 0 {
		return 0
	}
	require.NoError(p.s.t, err)
	var applied, total int
	_, err = fmt.Sscanf(cursor, "%d %d", &applied, &total)
	require.NoError(p.s.t, err)
	return total - applied
}

// Apply counts the steps that it applies.
func (p *portions) Apply(ctx context.Context, id string, epoch int) (a engine.Applied, more bool, err error) {
	before := p.left(ctx, id)
	var needs []int
	if p.needs != nil {
		needs = p.dependencies(ctx, id)
	}
	p.parts = append(p.parts, p.s.worked(func() { a, more, err = p.Redis.Apply(ctx, id, epoch) }))
	applied := before - p.left(ctx, id)
	p.steps = append(p.steps, applied)
	if p.needs != nil {
		sum := 0
		for _, n := range needs[:applied] {
			sum += n
		}
		p.needs = append(p.needs, sum)
	}
	return a, more, err
}

// TestWidthOfRedrives: however many steps there are, one call applies at most 500 of them, and costs no more than another.
func TestWidthOfRedrives(t *testing.T) {
	p := &portions{}
	s := ownStage(t, func(o *engine.Options) {
		p.Redis = o.Store.(*queue.Redis)
		o.Store = p
	})
	p.s = s
	largest := &sizes{}
	redrive := func(items int) (all work, parts []work) {
		x := s.canceled(items)
		p.parts, p.steps = nil, nil
		largest.reset()
		all = s.worked(func() {
			_, err := s.Redrive(t.Context(), x.ID, asked(workflow.OperationRetry, nil))
			require.NoError(t, err)
		})
		if items <= engine.StepSize {
			return all, nil // they are committed at once
		}
		sum := 0
		for _, n := range p.steps {
			require.LessOrEqual(t, n, engine.StepSize)
			sum += n
		}
		require.Equal(t, 1+items, sum, "the for_each, and its items")
		require.Len(t, p.steps, (1+items+engine.StepSize-1)/engine.StepSize)
		require.Equal(t, 100, s.at(x).TasksSummary[workflow.TaskQueued])
		t.Logf("%d items: %s; in %d parts of %v steps; the most arguments of one command: %d, bytes: %d", items, all, len(p.parts), p.steps, largest.args, largest.bytes)
		require.Less(t, largest.args, 4*engine.StepSize, "arguments of one command")
		s.audit(x)
		return all, p.parts
	}
	redrive(10) // loads what is loaded once
	s.store.Client().AddHook(largest)
	one, parts := redrive(1000)
	many, more := redrive(10_000)
	many.atMost(t, 10, one)
	for _, part := range more {
		part.atMost(t, 1.1, parts[0])
	}
}

// TestWidthOfNeeds: few tasks that need many others each are applied in parts, too, and none of them writes more than 5,000 of their needs.
func TestWidthOfNeeds(t *testing.T) {
	p := &portions{}
	s := ownStage(t, func(o *engine.Options) {
		p.Redis = o.Store.(*queue.Redis)
		o.Store = p
	})
	p.s = s
	const layer = 120
	source := "name: meshed\ntasks:\n"
	var first, second []string
	for i := range layer {
		source += fmt.Sprintf("  - { name: a%d, type: noop }\n", i)
		first = append(first, fmt.Sprintf("a%d", i))
	}
	for i := range layer {
		source += fmt.Sprintf("  - { name: b%d, type: noop, needs: [%s] }\n", i, strings.Join(first, ", "))
		second = append(second, fmt.Sprintf("b%d", i))
	}
	source += fmt.Sprintf("  - { name: last, type: noop, needs: [%s] }\n", strings.Join(second, ", "))
	for what, c := range map[string]struct {
		from   string
		starts int // of what runs again
	}{
		"what they need runs again, too": {"a7", 1 + layer + 1},
		"what they need is there":        {"b7", 1 + 1},
	} {
		t.Run(what, func(t *testing.T) {
			s.t = t
			x := s.start(source, `{}`)
			s.drain(x.ID)
			s.ends(x, workflow.ExecutionSucceeded)
			p.steps, p.needs, s.starts = nil, []int{}, map[string]int{}
			_, err := s.Redrive(t.Context(), x.ID, asked(workflow.OperationRerun, []ask{from(c.from)}))
			require.NoError(t, err)
			for _, n := range p.needs {
				require.LessOrEqual(t, n, engine.StepNeeds)
			}
			t.Logf("parts of %v steps with %v needs", p.steps, p.needs)
			if c.from == "a7" {
				require.Greater(t, len(p.needs), 1)
			} else {
				require.Empty(t, p.needs, "it is committed at once")
			}
			s.audit(x)
			s.drain(x.ID)
			s.audit(x)
			sum := 0
			for _, n := range s.starts {
				sum += n
			}
			require.Equal(t, c.starts, sum)
		})
	}
}

// TestWidthOfWhatChanged: what changed in a long list is found and run in work that grows as the list does.
func TestWidthOfWhatChanged(t *testing.T) {
	s := ownStage(t)
	redrive := func(items int) work {
		list := make([]string, items)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id": "i%d", "v": %d}`, i, i)
		}
		data := func() string { return `{"list": [` + strings.Join(list, ",") + `]}` }
		x := s.start(`
name: changed
tasks:
  - { name: each, type: noop, for_each: { items: "${workflow.input.list}", key: "${item.id}" }, with: "${item.v}" }
  - { name: count, type: noop, needs: [each], with: "${tasks.each.output.size()}" }
`, data())
		s.drain(x.ID)
		s.ends(x, workflow.ExecutionSucceeded)
		list[items/2] = fmt.Sprintf(`{"id": "i%d", "v": -1}`, items/2)
		s.starts = map[string]int{}
		w := s.worked(func() {
			_, err := s.Redrive(t.Context(), x.ID, asked(workflow.OperationRerun, []ask{changed, input(data())}))
			require.NoError(t, err)
			s.drain(x.ID)
		})
		s.ends(x, workflow.ExecutionSucceeded)
		require.Equal(t, once(fmt.Sprintf("each[i%d]", items/2)), s.starts, "what counts them sees the same")
		s.audit(x)
		t.Logf("%d items: %s", items, w)
		return w
	}
	redrive(10)
	one := redrive(500)
	redrive(2000).atMost(t, 5, one)
}

// sizes are those of the largest commands.
type sizes struct {
	mu          sync.Mutex
	args, bytes int
}

func (l *sizes) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.args, l.bytes = 0, 0
}

func (l *sizes) see(cmds ...redis.Cmder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, cmd := range cmds {
		bytes := 0
		for _, arg := range cmd.Args() {
			if text, ok := arg.(string); ok {
				bytes += len(text)
			}
		}
		l.args, l.bytes = max(l.args, len(cmd.Args())), max(l.bytes, bytes)
	}
}

// DialHook leaves connecting alone.
func (l *sizes) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook sees single commands.
func (l *sizes) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l.see(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook sees those that are sent together.
func (l *sizes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		l.see(cmds...)
		return next(ctx, cmds)
	}
}
