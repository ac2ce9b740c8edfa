package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// globe is a world beside the real thing.
type globe struct {
	*world
	t     *rapid.T
	ctx   context.Context
	procs []*process
	clock *clock
	runs  []*engine.Run
	count *tally
	seen  ledger
}

// TestWorld drives random definitions of every construct, sub-workflows among
// them, with random operations and crashes, and holds the whole state of all
// executions to the rules after each.
// A longer run: go test ./engine -run TestWorld -rapid.checks 20000
func TestWorld(t *testing.T) {
	url, c := queuetest.URL(t), &clock{}
	procs := []*process{newProcess(t, url, c), newProcess(t, url, c)}
	count := &tally{taken: map[string]int{}, refused: map[string]int{}}
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		g := &globe{t: t, ctx: ctx, procs: procs, clock: c, count: count, seen: ledger{}}
		g.begin()
		g.live()
		g.drain()
		if rapid.Bool().Draw(t, "another life") {
			g.live()
			g.drain()
		}
		g.remember()
		g.purge()
	})
	for _, op := range slices.Sorted(maps.Keys(count.taken)) {
		t.Logf("%-12s taken %6d  refused %6d", op, count.taken[op], count.refused[op])
	}
	if count.taken["start"] < 500 {
		return // too few to say that something never happens
	}
	for _, op := range []string{
		"claim", "complete", "fail", "wake", "limit", "retry", "answer", "complete by hand", "skip by hand", "fail by hand",
		"pause", "resume", "cancel", "retry again", "rerun again", "complete again", "skip again", "expire", "crash", "child", "item", "iteration", "handler",
	} {
		require.NotZero(t, count.taken[op], "%s never happened", op)
	}
}

// scribe draws definitions.
type scribe struct {
	t    *rapid.T
	subs []string // workflows that may be called
}

func (s *scribe) pick(what string, weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := rapid.IntRange(0, total-1).Draw(s.t, what)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	return 0
}

func (s *scribe) definition(name string) *workflow.Definition {
	d := &workflow.Definition{Name: name, Tasks: s.body(3, 0, false)}
	if chance(s.t, "timeout", 5) {
		d.Timeout = workflow.Duration(900 * time.Second)
	}
	if chance(s.t, "handlers", 3) {
		d.OnFailure = []workflow.Task{{Name: "h0", Type: "noop"}, {Name: "h1", Type: "noop", Needs: []string{"h0"}, With: json.RawMessage(`{"h":"${tasks.h0.output}"}`)}}
	}
	if chance(s.t, "output", 2) {
		d.Output = json.RawMessage(fmt.Sprintf(`{"r":"${tasks.%s.output}"}`, d.Tasks[len(d.Tasks)-1].Name))
	}
	return d
}

func (s *scribe) body(most, depth int, loop bool) []workflow.Task {
	var tasks []workflow.Task
	for i := range rapid.IntRange(1, most).Draw(s.t, "tasks") {
		t := workflow.Task{Name: fmt.Sprintf("t%d", i)}
		for j := range i {
			if rapid.Bool().Draw(s.t, "need") {
				t.Needs = append(t.Needs, tasks[j].Name)
			}
		}
		s.kind(&t, depth, loop)
		tasks = append(tasks, t)
	}
	return tasks
}

func (s *scribe) kind(t *workflow.Task, depth int, loop bool) {
	weights := []int{9, 0, 0, 2, 2, 0}
	if depth < 2 {
		weights[1], weights[2] = 3, 3
	}
	if len(s.subs) > 0 {
		weights[5] = 3
	}
	kind := s.pick("kind", weights...)
	if depth < 2 && chance(s.t, "for_each", 3) {
		t.ForEach = &workflow.ForEach{Items: s.items(t), MaxParallel: rapid.IntRange(1, 3).Draw(s.t, "parallel")}
		if chance(s.t, "stop", 3) {
			t.ForEach.OnItemFailure = workflow.OnItemFailureStop
		}
	}
	switch kind {
	case 0:
		t.Type = "noop"
		t.With = s.with(t, loop)
	case 1:
		t.Type, t.Tasks = workflow.TypeGroup, s.body(3, depth+1, loop)
	case 2:
		t.Type, t.Tasks = workflow.TypeLoop, s.body(2, depth+1, true)
		t.MaxIterations = rapid.IntRange(1, 3).Draw(s.t, "iterations")
		if rapid.Bool().Draw(s.t, "until") {
			t.Until = fmt.Sprintf("${tasks.%s.status == 'succeeded' && iteration.number >= %d}", t.Tasks[0].Name, rapid.IntRange(1, 3).Draw(s.t, "at"))
		}
	case 3:
		t.Type, t.With = workflow.TypeWait, json.RawMessage(rapid.SampledFrom([]string{`{"duration":"400s"}`, `{"external":true,"timeout":"500s"}`}).Draw(s.t, "wait"))
	case 4:
		t.Type, t.With = workflow.TypeApproval, json.RawMessage(`{"input_schema":{"type":"object"}}`)
	case 5:
		t.Type = workflow.TypeWorkflow
		t.With = json.RawMessage(fmt.Sprintf(`{"name":%q,"input":{"n":"${workflow.input.n}","list":"${workflow.input.list}"}}`, rapid.SampledFrom(s.subs).Draw(s.t, "sub")))
	}
	s.course(t, kind)
}

// items draws the list of a for_each: written down, given to the workflow, or what another task gives.
func (s *scribe) items(t *workflow.Task) json.RawMessage {
	items, _ := json.Marshal([]string{"a", "b", "c"}[:rapid.IntRange(0, 3).Draw(s.t, "items")])
	switch from := s.pick("list", 6, 3, 1); {
	case from == 1:
		return json.RawMessage(`"${workflow.input.list}"`)
	case from == 2 && len(t.Needs) > 0:
		return json.RawMessage(fmt.Sprintf(`"${tasks.%s.output}"`, t.Needs[0]))
	}
	return items
}

// course draws when the task runs and what follows its failure.
func (s *scribe) course(t *workflow.Task, kind int) {
	if chance(s.t, "continue", 3) {
		t.OnFailure = workflow.OnFailureContinue
	}
	if chance(s.t, "if", 5) {
		t.If = "${workflow.input.n > 0}"
		if len(t.Needs) > 0 && rapid.Bool().Draw(s.t, "on need") {
			t.If = fmt.Sprintf("${tasks.%s.status == 'succeeded'}", t.Needs[0])
		}
	}
	if chance(s.t, "retry", 3) {
		delay, jitter := workflow.Duration(0), 0.0
		if rapid.Bool().Draw(s.t, "delay") {
			delay = workflow.Duration(400 * time.Second)
		}
		t.Retry = &workflow.Retry{MaxAttempts: 2, Delay: &delay, MaxDelay: delay + 1e9, Backoff: workflow.BackoffFixed, Jitter: &jitter}
	}
	if (kind == 1 || kind == 2 || kind == 5) && chance(s.t, "limit", 3) {
		t.Timeout = workflow.Duration(500 * time.Second)
	}
}

func (s *scribe) with(t *workflow.Task, loop bool) json.RawMessage {
	parts := []string{}
	if len(t.Needs) > 0 && rapid.Bool().Draw(s.t, "reads") {
		parts = append(parts, fmt.Sprintf(`"in":"${tasks.%s.output}"`, t.Needs[0]))
	}
	if t.ForEach != nil {
		parts = append(parts, `"item":["${item}","${key}","${index}"]`)
	}
	if loop {
		parts = append(parts, `"i":"${iteration.number}","p":"${iteration.previous}"`)
	}
	return json.RawMessage("{" + strings.Join(parts, ",") + "}")
}

func (g *globe) begin() {
	g.procs[0].faults.Disarm()
	require.NoError(g.t, g.procs[0].store.Client().FlushDB(g.ctx).Err()) // whatever a failed check left
	for _, p := range g.procs {
		p.faults.Disarm()
		p.equip(g.ctx, g.t)
	}
	s := &scribe{t: g.t}
	g.world = &world{programs: map[string]*workflow.Program{}, lease: machineLease, now: time.Hour}
	for _, name := range []string{"low", "sub", "top"} {
		source := s.definition(name).Canonical()
		g.t.Logf("%s", source)
		for _, p := range g.procs {
			_, err := p.Publish(g.ctx, "default", source, false)
			require.NoError(g.t, err, string(source))
		}
		p, err := workflow.Open(source, workflow.DefaultLimits())
		require.NoError(g.t, err)
		g.programs[name] = p
		if name != "low" || chance(g.t, "callable", 2) {
			s.subs = append(s.subs, name)
		}
	}
	input := json.RawMessage(fmt.Sprintf(`{"n":%d,"list":["a","b"]}`, rapid.IntRange(0, 1).Draw(g.t, "n")))
	request := engine.StartRequest{Workflow: "top", IdempotencyKey: uuid.NewString(), Input: input}
	crashed := g.arm(g.procs[0])
	x, _, err := g.procs[0].Start(g.ctx, "default", request)
	if crashed && g.procs[0].faults.Disarm() {
		g.count.add("crash", nil)
		x, _, err = g.procs[1].Start(g.ctx, "default", request)
		require.NoError(g.t, err)
		g.sweep(x.ID)
	}
	require.NoError(g.t, err)
	g.root = newCourse(g.world, g.programs["top"], input)
	g.root.id = x.ID
	g.root.settle()
	g.count.add("start", nil)
	g.compare("start")
}

func (g *globe) arm(p *process) bool {
	if !chance(g.t, "crash", 5) {
		return false
	}
	p.faults.Arm(rapid.IntRange(0, 15).Draw(g.t, "trips"), rapid.Bool().Draw(g.t, "after"))
	return true
}

// sweep does what is to be decided a moment later, until nothing is.
func (g *globe) sweep(id string) {
	p := g.procs[1]
	var shard int
	_, _ = fmt.Sscanf(id[len(id)-2:], "%02x", &shard)
	for range 20 {
		g.clock.offset += machineSweep
		g.now += machineSweep
		all, err := p.store.Due(g.ctx, []int{shard}, 0, 1000)
		require.NoError(g.t, err)
		if len(all[0].Decide) == 0 {
			return
		}
		require.NoError(g.t, p.Repair(g.ctx, engine.Due{Now: all[0].Now, Decide: all[0].Decide, Index: all[0].Index}))
	}
	a, err := p.store.Agenda(g.ctx, id)
	g.t.Fatalf("executions still wait for a decision after 20 sweeps: %+v %v", a, err)
}

// do applies an operation to both sides, and says whether it came true. Where the process crashed
// at it, only sweeps of another one follow, after which all must be as before it, or as after.
func (g *globe) do(op string, apply func(w *world) error, call func(p *process) error) (done bool) {
	p := rapid.SampledFrom(g.procs).Draw(g.t, "process")
	before := g.clone()
	want := apply(g.world)
	armed := g.arm(p)
	got := call(p)
	if armed && p.faults.Disarm() {
		g.count.add("crash", nil)
		p.Forget()
		return g.recover(op, before)
	}
	g.count.add(op, want)
	if (got == nil) != (want == nil) {
		g.t.Fatalf("%s answered %v; by the rules it is %v", op, got, want)
	}
	g.compare(op)
	return want == nil
}

func (g *globe) recover(op string, before *world) (done bool) {
	g.sweep(g.root.id)
	before.now = g.now
	after := g.world
	var diffs []string
	for _, w := range []*world{before, after} {
		g.world = w
		if diff := g.diff(); diff != "" {
			diffs = append(diffs, diff)
			continue
		}
		g.audit(op + " and a crash")
		return w == after
	}
	g.t.Fatalf("after a crash in %s all is neither as before nor as after:\n%s", op, strings.Join(diffs, "\nor\n"))
	return false
}

func (g *globe) compare(op string) {
	if diff := g.diff(); diff != "" {
		g.t.Fatalf("after %s the state is not what the rules say (-rules +redis):\n%s", op, diff)
	}
	g.audit(op)
}

func (g *globe) audit(op string) {
	for _, c := range g.root.all() {
		problems, err := queuetest.Audit(g.ctx, g.procs[0].store.Client(), c.id, nil)
		require.NoError(g.t, err)
		if len(problems) > 0 {
			g.t.Fatalf("after %s the keys of %s contradict each other:\n%s", op, c.p.Definition.Name, strings.Join(problems, "\n"))
		}
	}
}

// diff holds every execution to the rules. It learns the ids of new sub-executions.
func (g *globe) diff() string {
	store := g.procs[1].store
	for open := []*course{g.root}; len(open) > 0; open = open[1:] {
		c := open[0]
		x, err := store.Execution(g.ctx, c.id, false)
		if err != nil {
			return fmt.Sprintf("%s: %v", c.id, err)
		}
		recs, err := store.Records(g.ctx, c.id, nil)
		require.NoError(g.t, err)
		held, err := store.Client().SMembers(g.ctx, queuetest.ShardKey(c.id, "h:"+c.id)).Result()
		require.NoError(g.t, err)
		actual := view{Status: x.Status, Epoch: x.Redrives, Tasks: map[string]taskView{}}
		for ref, r := range recs {
			actual.Tasks[ref] = taskView{r.Status, r.Attempt, r.Dispatch, r.Try, 0, r.Continued, slices.Contains(held, ref)}
			if t := c.tasks[ref]; t != nil && t.child != nil && t.child.id == "" {
				t.child.id = r.Child
			}
		}
		agenda, err := store.Agenda(g.ctx, c.id)
		require.NoError(g.t, err)
		actual.Tasks["its end"] = taskView{Status: workflow.TaskStatus(agenda.Ending)}
		if diff := cmp.Diff(c.view2(), actual); diff != "" {
			return c.p.Definition.Name + " " + c.id + ":\n" + diff
		}
		open = append(open, c.children...)
	}
	return ""
}

func (c *course) view2() view {
	v := view{Status: c.status, Epoch: c.epoch, Tasks: map[string]taskView{}}
	for ref, t := range c.tasks {
		v.Tasks[ref] = taskView{t.status, t.attempt, t.dispatch, t.try, 0, t.continued, t.held}
	}
	v.Tasks["its end"] = taskView{Status: workflow.TaskStatus(c.ending)}
	return v
}

func (w *world) clone() *world {
	n := *w
	n.root = w.root.clone(&n, nil)
	return &n
}

func (c *course) clone(w *world, parent *course) *course {
	n := *c
	n.w, n.parent = w, parent
	n.tasks, n.open, n.children = map[string]*act{}, maps.Clone(c.open), nil
	twins := map[*course]*course{}
	for _, child := range c.children {
		twins[child] = child.clone(w, &n)
		n.children = append(n.children, twins[child])
	}
	for ref, t := range c.tasks {
		copied := *t
		copied.keys = slices.Clone(t.keys)
		copied.child = twins[t.child]
		n.tasks[ref] = &copied
	}
	return &n
}

// find answers the twin of a course in another world, by its id.
func (w *world) find(id string) *course {
	for _, c := range w.root.all() {
		if c.id == id {
			return c
		}
	}
	panic("no execution " + id)
}

var errNo = errors.New("no")
