package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// line is what the rules say of the executions of one workflow: the oracle of TestLineMachine.
type line struct {
	limit int // 0 = none
	full  workflow.WhenFull
	all   []*member
	now   time.Duration
	seq   int
}

// member is one execution. It waits from since on; seq tells those of one moment apart.
type member struct {
	id     string
	status workflow.ExecutionStatus
	waits  bool
	since  time.Duration
	seq    int
	epoch  int
}

func (l *line) clone() *line {
	c := *l
	c.all = nil
	for _, m := range l.all {
		n := *m
		c.all = append(c.all, &n)
	}
	return &c
}

func (l *line) running() (n int) {
	for _, m := range l.all {
		if !m.waits && !m.status.Ended() {
			n++
		}
	}
	return n
}

// waiting are those whose time has come, in their order.
func (l *line) waiting() []*member {
	var list []*member
	for _, m := range l.all {
		if m.waits && m.since <= l.now {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *member) int {
		if a.since != b.since {
			return int(a.since - b.since)
		}
		return a.seq - b.seq
	})
	return list
}

func (l *line) fill() {
	for _, m := range l.waiting() {
		if l.limit > 0 && l.running() >= l.limit {
			return
		}
		m.waits = false
		if m.status == workflow.ExecutionQueued {
			m.status = workflow.ExecutionRunning
		}
	}
}

// enter says whether an execution may run, must wait, or is refused.
func (l *line) enter(m *member, full workflow.WhenFull, in time.Duration) error {
	if full == "" {
		full = l.full
	}
	free := (l.limit == 0 || l.running() < l.limit) && len(l.waiting()) == 0
	l.seq++
	m.seq, m.since, m.waits, m.status = l.seq, l.now+in, true, workflow.ExecutionQueued
	if in == 0 && free {
		m.waits, m.status = false, workflow.ExecutionRunning
		return nil
	}
	if in == 0 && l.limit > 0 && full == workflow.WhenFullReject {
		return errConflict
	}
	return nil
}

// lineMachine is the system under test beside its oracle.
type lineMachine struct {
	*line
	t       *rapid.T
	context context.Context
	procs   []*process
	clock   *clock
	count   *tally
}

// TestLineMachine drives the executions of one workflow with random operations, crashes
// among them, and holds their statuses, slots and places in the line to the oracle.
func TestLineMachine(t *testing.T) {
	url, c := queuetest.URL(t), &clock{}
	procs := []*process{newProcess(t, url, c), newProcess(t, url, c)}
	count := &tally{taken: map[string]int{}, refused: map[string]int{}}
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		procs[0].faults.Disarm()
		require.NoError(t, procs[0].store.Client().FlushDB(ctx).Err())
		for _, p := range procs {
			p.Forget()
			require.NoError(t, p.Announce(ctx, engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop"}}))
		}
		m := &lineMachine{line: &line{}, t: t, context: ctx, procs: procs, clock: c, count: count}
		m.publish(procs[0], 2, workflow.WhenFullQueue)
		m.compare()
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			m.step()
		}
	})
	for _, op := range []string{"start", "later", "end", "fail", "cancel", "pause", "resume", "redrive", "publish", "jump", "crash"} {
		t.Logf("%-8s taken %6d  refused %6d", op, count.taken[op], count.refused[op])
		require.NotZero(t, count.taken[op], "%s never succeeded", op)
	}
	require.NotZero(t, count.refused["start"])
}

func (m *lineMachine) publish(p *process, limit int, full workflow.WhenFull) error {
	source := unlimited
	if limit > 0 {
		source = limited(limit, full)
	}
	_, err := p.Publish(m.context, "default", []byte(source), false)
	if err == nil {
		m.limit, m.full = limit, full
	}
	return err
}

// pick draws one of the members that the operation is possible for.
func (m *lineMachine) pick(possible func(*member) bool) *member {
	var list []*member
	for _, x := range m.all {
		if possible(x) {
			list = append(list, x)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return rapid.SampledFrom(list).Draw(m.t, "member")
}

func runs(x *member) bool { return x.status == workflow.ExecutionRunning }

func (m *lineMachine) step() {
	switch op := rapid.SampledFrom([]string{"start", "start", "start", "later", "end", "end", "fail", "fail", "cancel", "pause", "resume", "redrive", "redrive", "publish", "jump"}).Draw(m.t, "op"); op {
	case "start":
		full := rapid.SampledFrom([]workflow.WhenFull{"", "", workflow.WhenFullQueue, workflow.WhenFullReject}).Draw(m.t, "when_full")
		m.start(op, full, 0)
	case "later":
		m.start(op, "", 50*time.Second)
	case "jump":
		m.count.add(op, nil)
		m.settle()
		m.compare()
	case "publish":
		limit, full := rapid.IntRange(0, 3).Draw(m.t, "limit"), rapid.SampledFrom([]workflow.WhenFull{workflow.WhenFullQueue, workflow.WhenFullReject}).Draw(m.t, "full")
		m.do(op, func(l *line) error {
			changed := l.limit != limit || l.full != full && limit > 0
			if l.limit, l.full = limit, full; changed {
				l.fill()
			}
			return nil
		}, func(p *process) error {
			was := *m.line
			err := m.publish(p, limit, full)
			m.limit, m.full = was.limit, was.full
			return err
		})
	default:
		m.steer(op)
	}
}

func (m *lineMachine) start(op string, full workflow.WhenFull, in time.Duration) {
	made := ""
	m.do(op, func(l *line) error {
		x := &member{}
		if err := l.enter(x, full, in); err != nil {
			return err
		}
		l.all = append(l.all, x)
		return nil
	}, func(p *process) error {
		r := engine.StartRequest{Workflow: "w", WhenFull: full}
		if in > 0 {
			now, err := m.procs[1].store.Time(m.context)
			require.NoError(m.t, err)
			r.StartAt = now.Add(in)
		}
		x, _, err := p.Start(m.context, "default", r)
		if err == nil {
			made = x.ID
		}
		return err
	})
	if last := len(m.all) - 1; last >= 0 && m.all[last].id == "" {
		if made == "" {
			made = m.read()[0].ID // the process crashed after it was made
		}
		m.all[last].id = made
	}
}

func (m *lineMachine) steer(op string) {
	possible := map[string]func(*member) bool{
		"end": runs, "fail": runs,
		"cancel":  func(x *member) bool { return !x.status.Ended() },
		"pause":   func(x *member) bool { return runs(x) || x.status == workflow.ExecutionQueued },
		"resume":  func(x *member) bool { return x.status == workflow.ExecutionPaused },
		"redrive": func(x *member) bool { return x.status == workflow.ExecutionFailed },
	}[op]
	x := m.pick(possible)
	if x == nil {
		return
	}
	id := x.id
	var run *engine.Run
	if op == "end" || op == "fail" {
		run = m.take(id)
	}
	m.do(op, func(l *line) error {
		i := slices.IndexFunc(l.all, func(y *member) bool { return y.id == id })
		return l.steer(op, l.all[i])
	}, func(p *process) (err error) {
		switch op {
		case "end":
			err = p.Complete(m.context, run, json.RawMessage(`1`))
		case "fail":
			_, err = p.Fail(m.context, run, &workflow.Error{Code: "boom", Message: "x"}, false)
		case "cancel":
			_, err = p.Cancel(m.context, id, engine.Request{})
		case "pause":
			_, err = p.Pause(m.context, id, engine.Request{})
		case "resume":
			_, err = p.Resume(m.context, id, engine.Request{})
		case "redrive":
			_, err = p.Redrive(m.context, id, retrying())
		}
		return err
	})
}

func (l *line) steer(op string, x *member) error {
	switch op {
	case "end":
		x.status = workflow.ExecutionSucceeded
	case "fail":
		x.status = workflow.ExecutionFailed
	case "cancel":
		x.status, x.waits = workflow.ExecutionCanceled, false
	case "pause":
		x.status = workflow.ExecutionPaused
		return nil
	case "resume":
		x.status = workflow.ExecutionRunning
		if x.waits {
			x.status = workflow.ExecutionQueued
		}
		return nil
	case "redrive":
		was := *x
		if err := l.enter(x, "", 0); err != nil {
			*x = was
			return err
		}
		x.epoch++
		return nil
	}
	if slices.ContainsFunc(l.all, func(y *member) bool { return y.waits }) {
		l.fill()
	}
	return nil
}

// take claims the last open task of an execution, so that what follows ends it.
func (m *lineMachine) take(id string) *engine.Run {
	p := m.procs[1]
	for {
		recs, err := p.store.Records(m.context, id, nil)
		require.NoError(m.t, err)
		ref := "a"
		if recs["a"].Status == workflow.TaskSucceeded {
			ref = "b"
		}
		r, err := p.Claim(m.context, engine.Fence{Execution: id, Ref: ref, Attempt: recs[ref].Attempt, Dispatch: recs[ref].Dispatch}, "w")
		if recs[ref].Status == workflow.TaskRunning { // claimed by an operation that crashed
			f := engine.Fence{Execution: id, Ref: ref, Attempt: recs[ref].Attempt, Dispatch: recs[ref].Dispatch}
			_, _, err = p.store.Redispatch(m.context, f, engine.WhyRelease, 0)
			require.NoError(m.t, err)
			continue
		}
		require.NoError(m.t, err)
		if ref == "b" {
			return r
		}
		require.NoError(m.t, p.Complete(m.context, r, json.RawMessage(`1`)))
	}
}

// do applies an operation to the oracle and to the engine. Where the process crashed
// at it, the other one sweeps up, and the state must be that of before or of after.
func (m *lineMachine) do(op string, apply func(l *line) error, call func(p *process) error) {
	before := m.clone()
	after := m.clone()
	want := apply(after)
	p := m.procs[0]
	crash := chance(m.t, "crash", 5)
	if crash {
		p.faults.Arm(rapid.IntRange(0, 12).Draw(m.t, "trips"), rapid.Bool().Draw(m.t, "after"))
	}
	got := call(p)
	if crash && p.faults.Disarm() {
		m.count.add("crash", nil)
		p.Forget()
		m.recover(op, before, after, want)
		return
	}
	m.count.add(op, want)
	var refused *engine.Error
	if errors.Is(want, errConflict) != (errors.As(got, &refused) && refused.Code == "concurrency_limit") || want == nil && got != nil {
		m.t.Fatalf("%s answered %v; by the rules it is %v\n%s", op, got, want, before)
	}
	if want == nil {
		m.line = after
	}
	if made := len(m.all) > len(before.all); !made {
		m.compare()
	}
}

func (m *lineMachine) recover(op string, before, after *line, want error) {
	m.line = before
	m.settle()
	after.now = before.now
	after.fill()
	actual := m.statuses()
	switch took := want == nil && slices.Equal(after.statuses(), actual); {
	case took:
		m.line = after
	case !slices.Equal(before.statuses(), actual):
		m.t.Fatalf("after a crash in %s they are %v; they were %v and would be %v", op, actual, before.statuses(), after.statuses())
	}
	m.limit, m.full = m.published() // statuses do not always tell
}

func (m *lineMachine) published() (int, workflow.WhenFull) {
	w, err := m.procs[1].Workflow(m.context, "default", "w", 0)
	require.NoError(m.t, err)
	var d workflow.Definition
	require.NoError(m.t, json.Unmarshal(w.Definition, &d))
	if d.Concurrency == nil {
		return 0, workflow.WhenFullQueue
	}
	return d.Concurrency.MaxRunning, d.Concurrency.WhenFull
}

// settle lets time pass and looks at everything that is due.
func (m *lineMachine) settle() {
	for range 2 {
		m.clock.offset += 20 * time.Second
		m.now += 20 * time.Second
		all, err := m.procs[1].store.Due(m.context, everyShard(), 0, 100)
		require.NoError(m.t, err)
		for _, d := range all {
			require.NoError(m.t, m.procs[1].Repair(m.context, engine.Due{Now: d.Now, Decide: d.Decide, Index: d.Index}))
		}
		require.NoError(m.t, m.procs[1].LookAtLines(m.context, "default"))
		m.fill()
	}
	problems, err := queuetest.AuditSlots(m.context, m.procs[1].store.Client(), "default")
	require.NoError(m.t, err)
	if len(problems) > 0 {
		m.t.Fatalf("the slots contradict each other:\n%s", strings.Join(problems, "\n"))
	}
}

func (m *lineMachine) read() []engine.Execution {
	list, _, err := m.procs[1].Executions(m.context, "default", engine.ExecutionFilter{}, engine.Page{})
	require.NoError(m.t, err)
	return list
}

func describe(status workflow.ExecutionStatus, waits bool, epoch int) string {
	return fmt.Sprintf("%s %v %d", status, waits && !status.Ended(), epoch)
}

func (l *line) statuses() []string {
	var list []string
	for _, x := range l.all {
		list = append(list, describe(x.status, x.waits, x.epoch))
	}
	return list
}

func (l *line) String() string {
	return fmt.Sprintf("limit %d %s, now %s: %v", l.limit, l.full, l.now, l.statuses())
}

// statuses are what Redis says, the oldest first.
func (m *lineMachine) statuses() []string {
	var list []string
	for _, x := range slices.Backward(m.read()) {
		list = append(list, describe(x.Status, x.Waits, x.Redrives))
	}
	return list
}

func (m *lineMachine) compare() {
	if want, got := m.line.statuses(), m.statuses(); !slices.Equal(want, got) {
		m.t.Fatalf("they are %v; by the rules %s", got, m.line)
	}
}
