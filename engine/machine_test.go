package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// What the oracle answers where the engine answers an error of a type.
var (
	errConflict = errors.New("conflict")
	errInvalid  = errors.New("invalid")
	errNotDue   = errors.New("not due")
)

const (
	machineLease = 1000 * time.Second
	machineJump  = 600 * time.Second // two of them end a lease, one ends a back-off
	machineSweep = 5 * time.Second   // longer than any grace that a writer has
	machineKeep  = 100_000 * time.Second
)

// process is one of the two that share the Redis: an engine with a pool of its own.
type process struct {
	*engine.Engine
	store  *queue.Redis
	faults *queuetest.Faults

	running atomic.Pointer[gauge] // of handlers
}

// machine is the system under test, and what the oracle says of it.
type machine struct {
	*oracle
	t       *rapid.T
	context context.Context
	procs   []*process
	clock   *clock
	needs   map[string][]string
	runs    []*engine.Run // every claim there ever was
	count   *tally
	sure    map[string]bool // jobs that were archived in asynq behind the engine's back
}

type clock struct{ offset time.Duration }

// tally counts how often each operation was taken and refused.
type tally struct{ taken, refused map[string]int }

func (c *tally) add(op string, err error) {
	if err == nil {
		c.taken[op]++
		return
	}
	c.refused[op]++
}

// TestMachine drives random workflows with random operations, crashes among
// them, and holds every answer and the whole state to the oracle after each.
// A longer run: go test ./engine -run TestMachine -rapid.checks 20000
func TestMachine(t *testing.T) {
	url, c := queuetest.URL(t), &clock{}
	procs := []*process{newProcess(t, url, c), newProcess(t, url, c)}
	count := &tally{taken: map[string]int{}, refused: map[string]int{}}
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		m := &machine{t: t, context: ctx, procs: procs, clock: c, count: count, sure: map[string]bool{}}
		m.start()
		m.live()
		m.drain()
		m.purge()
	})
	ops := append(slices.Collect(maps.Keys(count.taken)), slices.Collect(maps.Keys(count.refused))...)
	slices.Sort(ops)
	ops = slices.Compact(ops)
	for _, op := range ops {
		t.Logf("%-12s taken %6d  refused %6d", op, count.taken[op], count.refused[op])
	}
	always := []string{"advance", "jump", "sweep", "forget", "crash", "archive", "heartbeat", "start", "purge", "look"}
	never := []string{"early purge"}
	for _, op := range ops {
		if !slices.Contains(never, op) {
			require.NotZero(t, count.taken[op], "%s never succeeded", op)
		}
		if !slices.Contains(always, op) {
			require.NotZero(t, count.refused[op], "%s was never refused", op)
		}
	}
}

func newProcess(t *testing.T, url string, c *clock) *process {
	o := queue.DefaultOptions()
	o.URL, o.Retention = url, machineKeep
	o.Logger = quiet()
	o.ClockOffset = func() time.Duration { return c.offset }
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	p := &process{store: store, faults: &queuetest.Faults{}}
	store.Client().AddHook(p.faults)
	eo := engine.DefaultOptions()
	eo.Store, eo.Lease, eo.Logger = store, machineLease, quiet()
	eo.Catalog = workflow.Catalog{"noop": nil}
	p.Engine, err = engine.New(eo)
	require.NoError(t, err)
	p.equip(t.Context(), t)
	return p
}

// equip makes a worker known and the queues that it serves.
func (p *process) equip(ctx context.Context, t require.TestingT) {
	require.NoError(t, p.Announce(ctx, engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop"}}))
	require.NoError(t, p.store.KeepQueues(ctx, engine.Lanes("default")))
}

// chance is true once in about so many draws; shrinking makes it false.
func chance(t *rapid.T, what string, in int) bool { return rapid.SampledFrom(oneIn[in]).Draw(t, what) }

var oneIn = map[int][]bool{
	2: {false, true}, 3: {false, false, true}, 5: {false, false, false, false, true}, 10: {9: true},
}

// definition draws a small graph with everything a definition can say about its course.
func definition(t *rapid.T) *workflow.Definition {
	d := &workflow.Definition{Name: "m", FailFast: chance(t, "fail_fast", 3)}
	for i := range rapid.IntRange(1, 6).Draw(t, "tasks") {
		task := workflow.Task{Name: fmt.Sprintf("t%d", i), Type: "noop"}
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "need") == 0 {
				task.Needs = append(task.Needs, d.Tasks[j].Name)
			}
		}
		delay, jitter := workflow.Duration(0), 0.0
		if rapid.Bool().Draw(t, "delay") {
			delay = workflow.Duration(400 * time.Second)
		}
		task.Retry = &workflow.Retry{
			MaxAttempts: rapid.IntRange(1, 3).Draw(t, "max_attempts"), Delay: &delay, MaxDelay: delay + 1e9,
			Backoff: workflow.BackoffFixed, Jitter: &jitter,
		}
		if chance(t, "continue", 3) {
			task.OnFailure = workflow.OnFailureContinue
		}
		switch rapid.SampledFrom([]int{3, 4, 5, 6, 0, 1, 2}).Draw(t, "if") {
		case 0:
			task.If = "${workflow.input.n > 0}"
		case 1, 2:
			if len(task.Needs) > 0 {
				task.If = "${tasks." + task.Needs[0] + ".output.v > 0}"
			}
		}
		d.Tasks = append(d.Tasks, task)
	}
	switch last := d.Tasks[len(d.Tasks)-1].Name; rapid.IntRange(0, 3).Draw(t, "output") {
	case 0:
		d.Output = json.RawMessage(`{"r": "${tasks.` + last + `.output}"}`)
	case 1:
		d.Output = json.RawMessage(`{"r": "${tasks.` + last + `.output.v + 1}"}`) // fails where it is no number
	}
	return d
}

// patience is how long one execution may take: an engine that goes round in circles is a failure, not a hang.
const patience = time.Minute

func (m *machine) ctx() context.Context { return m.context }

func (m *machine) any() *process { return rapid.SampledFrom(m.procs).Draw(m.t, "process") }

// start begins an execution; where the process crashes at it, another one begins it again under the same key.
func (m *machine) start() {
	d := definition(m.t)
	source := d.Canonical()
	for _, p := range m.procs {
		_, err := p.Publish(m.ctx(), "default", source, false)
		require.NoError(m.t, err)
	}
	request := engine.StartRequest{
		Workflow: "m", IdempotencyKey: uuid.NewString(), Labels: map[string]string{"k": "v"}, CorrelationID: "c",
		Input: json.RawMessage(fmt.Sprintf(`{"n": %d}`, rapid.IntRange(0, 1).Draw(m.t, "n"))),
	}
	crashed := m.arm(m.procs[0])
	x, _, err := m.procs[0].Start(m.ctx(), "default", request)
	if crashed && m.procs[0].faults.Disarm() {
		m.count.add("crash", nil)
		x, _, err = m.procs[1].Start(m.ctx(), "default", request)
		require.NoError(m.t, err)
		m.sweepOnce(m.procs[1])
		x, err = m.procs[1].Execution(m.ctx(), x.ID)
	}
	require.NoError(m.t, err)
	m.count.add("start", nil)
	program, err := workflow.Open(source, workflow.DefaultLimits())
	require.NoError(m.t, err)
	m.oracle = newOracle(program, x)
	m.lease = machineLease
	m.needs = map[string][]string{}
	for _, n := range program.Nodes {
		m.needs[n.Path] = n.Needs
	}
	m.compare()
}

func (m *machine) arm(p *process) bool {
	if !chance(m.t, "crash", 5) {
		return false
	}
	p.faults.Arm(rapid.IntRange(0, 7).Draw(m.t, "trips"), rapid.Bool().Draw(m.t, "after"))
	return true
}

// do applies an operation to the oracle and to the engine and compares the
// answers; where the process crashed at it, only a sweep by the other one
// follows, after which the state must be that of before or of after.
func (m *machine) do(op string, apply func(o *oracle) error, call func(p *process) error) {
	p := m.any()
	before := m.clone()
	want := apply(m.oracle)
	crashed := m.arm(p)
	got := call(p)
	if crashed && p.faults.Disarm() {
		m.count.add("crash", nil)
		p.Forget()
		m.recover(op, before, want == nil || errors.Is(want, engine.ErrPaused))
		return
	}
	m.count.add(op, want)
	m.agree(op, got, want)
}

func (m *machine) agree(op string, got, want error) {
	var refused *engine.Error
	var early *engine.NotDue
	ok := errors.Is(got, want)
	switch {
	case errors.Is(want, errConflict):
		ok = errors.As(got, &refused) && refused.Kind == engine.KindConflict
	case errors.Is(want, errInvalid):
		ok = errors.As(got, &refused) && refused.Kind == engine.KindInvalid
	case errors.Is(want, errNotDue):
		ok = errors.As(got, &early)
	case want == nil:
		ok = got == nil
	}
	if !ok {
		m.t.Fatalf("%s answered %v; by the rules it is %v", op, got, want)
	}
}

// recover lets a sweep finish what a crash left, and finds out whether the operation took place.
func (m *machine) recover(op string, before *oracle, possible bool) {
	m.sweepOnce(m.procs[0])
	before.now = m.now
	actual := m.read()
	candidates := []*oracle{before}
	if possible {
		candidates = append(candidates, m.oracle)
	}
	var diffs []string
	for _, o := range candidates {
		diff := cmp.Diff(o.view(), actual)
		if diff == "" {
			m.oracle = o
			return
		}
		diffs = append(diffs, diff)
	}
	if m.p.Definition.FailFast && actual.Status != "" {
		m.adopt(before, actual)
		return
	}
	m.t.Fatalf("after a crash in %s the state is neither as before nor as after:\n%s", op, strings.Join(diffs, "\nor\n"))
}

// adopt takes over what a fail_fast cut off in the middle: which tasks it still
// found to cancel depends on when the crash was. What had ended stays ended.
func (m *machine) adopt(before *oracle, actual view) {
	if actual.Epoch == before.epoch && m.epoch != before.epoch {
		m.oracle = before // the redrive did not take place
	}
	for ref, t := range before.tasks {
		if now := actual.Tasks[ref]; actual.Epoch == before.epoch && t.status.Ended() && (now.Status != t.status || now.Attempt != t.attempt) {
			m.t.Fatalf("after a crash with fail_fast task %s is %s, and it was %s", ref, now.Status, t.status)
		}
	}
	m.status = actual.Status
	clear(m.open)
	for ref, now := range actual.Tasks {
		t := m.tasks[ref]
		t.status, t.attempt, t.dispatch, t.try = now.Status, now.Attempt, now.Dispatch, now.Try
		t.continued, t.held, t.lost = now.Continued, now.Held, now.Lost
		if now.Attempt > before.tasks[ref].attempt || t.status == workflow.TaskFailed && !before.tasks[ref].status.Ended() {
			t.redrive = m.epoch
		}
		if t.attempt > 0 && t.status.Ended() && t.outcomes[t.attempt] == "" {
			t.outcomes[t.attempt] = t.status
		}
		if t.status == workflow.TaskCanceled && t.outcomes[t.attempt].Ended() && before.tasks[ref].attempt < t.attempt {
			t.outcomes[t.attempt] = t.status
		}
	}
}

// view is what is compared of a state.
type view struct {
	Status workflow.ExecutionStatus
	Epoch  int
	Tasks  map[string]taskView
}

type taskView struct {
	Status                       workflow.TaskStatus
	Attempt, Dispatch, Try, Lost int
	Continued, Held              bool
}

func (o *oracle) view() view {
	v := view{Status: o.status, Epoch: o.epoch, Tasks: map[string]taskView{}}
	for ref, t := range o.tasks {
		v.Tasks[ref] = taskView{t.status, t.attempt, t.dispatch, t.try, t.lost, t.continued, t.held}
	}
	return v
}

func (m *machine) read() view {
	store := m.procs[1].store
	x, err := store.Execution(m.ctx(), m.id, false)
	require.NoError(m.t, err)
	recs, err := store.Records(m.ctx(), m.id, nil)
	require.NoError(m.t, err)
	held, err := store.Client().SMembers(m.ctx(), queuetest.ShardKey(m.id, "h:"+m.id)).Result()
	require.NoError(m.t, err)
	v := view{Status: x.Status, Epoch: x.Redrives, Tasks: map[string]taskView{}}
	for ref, r := range recs {
		v.Tasks[ref] = taskView{r.Status, r.Attempt, r.Dispatch, r.Try, r.Lost, r.Continued, slices.Contains(held, ref)}
	}
	return v
}

// compare holds the whole state to the oracle.
func (m *machine) compare() {
	if diff := cmp.Diff(m.view(), m.read()); diff != "" {
		m.t.Fatalf("the state is not what the rules say (-rules +redis):\n%s", diff)
	}
	problems, err := queuetest.Audit(m.ctx(), m.procs[0].store.Client(), m.id, m.needs)
	require.NoError(m.t, err)
	if len(problems) > 0 {
		m.t.Fatalf("the keys contradict each other:\n%s", strings.Join(problems, "\n"))
	}
	for ref, t := range m.tasks {
		if t.attempt > 0 && t.status.Active() {
			for _, need := range m.needs[ref] {
				if !m.endedWell(need) {
					m.t.Fatalf("task %s was started before %s, which it needs, ended well", ref, need)
				}
			}
		}
	}
}

// sweepOnce does what is due a moment later, decisions and lists only.
func (m *machine) sweepOnce(p *process) {
	m.advanceClock(machineSweep)
	all, err := p.store.Due(m.ctx(), shardsOf(m), 0, 100)
	require.NoError(m.t, err)
	for _, d := range all {
		require.NoError(m.t, p.Repair(m.ctx(), engine.Due{Now: d.Now, Decide: d.Decide, Index: d.Index}))
	}
}

func (m *machine) advanceClock(d time.Duration) {
	m.clock.offset += d
	if m.oracle != nil {
		m.now += d
	}
}

// shardsOf answers the execution's shard; all of them before it is known.
func shardsOf(m *machine) []int {
	if m.oracle != nil {
		var n int
		_, _ = fmt.Sscanf(m.id[len(m.id)-2:], "%02x", &n)
		return []int{n}
	}
	list := make([]int, 256)
	for i := range list {
		list[i] = i
	}
	return list
}

func (m *machine) job(f engine.Fence) engine.Job { return engine.Job{Fence: f, Queue: "default"} }

// archive archives the job of a waiting delivery in asynq, as a person may at any time.
func (m *machine) archive(p *process, f engine.Fence) bool {
	i := asynq.NewInspectorFromRedisClient(p.store.Client())
	return i.ArchiveTask("default", f.JobID()) == nil
}
