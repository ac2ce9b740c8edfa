package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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

// The oracle of TestFailuresMachine: executions of two tasks, and what operators said of the groups of their failures.
type failedRun struct {
	id        string
	from      *failedRun
	status    workflow.ExecutionStatus
	causes    []string // of its last failure: the groups it counts in
	ever      map[string]bool
	failedAt  int
	succeeded int // of what was made of it, or of that in turn; 0 = none
}

type failuresMachine struct {
	t       *rapid.T
	ctx     context.Context
	procs   []*process
	clock   *clock
	all     []*failedRun
	counted map[string]int                 // failures of a group, each once
	groups  map[string]engine.FailureState // by "task message"
	prints  map[string]string              // group -> fingerprint
	fuzzy   map[string]bool                // groups of which a failure may have gone unseen: another came before the index was brought up to date
	crashed bool
	armed   bool
	now     int
	count   map[string]int
}

const failingSource = "name: f\ntasks: [{name: a, type: noop}, {name: b, type: noop}]"

// TestFailuresMachine drives executions with random failures, redrives, crashes between any two trips and repeated deliveries of
// the index step, and holds the groups of failures to what a plain reading of the rules says.
func TestFailuresMachine(t *testing.T) {
	url, c := queuetest.URL(t), &clock{}
	procs := []*process{newProcess(t, url, c), newProcess(t, url, c)}
	count := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		procs[0].faults.Disarm()
		require.NoError(t, procs[0].store.Client().FlushDB(ctx).Err())
		for _, p := range procs {
			p.Forget()
			p.equip(ctx, t)
		}
		m := &failuresMachine{t: t, ctx: ctx, procs: procs, clock: c, count: count, groups: map[string]engine.FailureState{}, counted: map[string]int{}, prints: map[string]string{}, fuzzy: map[string]bool{}}
		_, err := procs[1].Publish(ctx, "default", []byte(failingSource), false)
		require.NoError(t, err)
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			m.step()
		}
		m.sweep()
		m.compare()
		for _, x := range m.all {
			m.remove(x)
		}
		for _, key := range []string{"failures", "failing", "superseded"} {
			keys, err := queuetest.Keys(ctx, procs[1].store.Client(), "redrive:{p:default}:"+key)
			require.NoError(t, err)
			require.Empty(t, keys)
		}
	})
	for _, op := range []string{"start", "end", "retry", "anew", "again", "judge", "remove", "crash", "superseded"} {
		t.Logf("%-10s %d", op, count[op])
		require.NotZero(t, count[op], "%s never happened", op)
	}
}

func (m *failuresMachine) step() {
	m.now++ // each step is later than the one before, by Redis' clock, too
	m.clock.offset += 10 * time.Millisecond
	switch op := rapid.SampledFrom([]string{"start", "end", "end", "end", "end", "end", "end", "retry", "retry", "retry", "anew", "anew", "again", "judge", "judge", "remove", "sweep"}).Draw(m.t, "op"); op {
	case "start":
		x, _, err := m.procs[1].Start(m.ctx, "default", engine.StartRequest{Workflow: "f"})
		require.NoError(m.t, err)
		m.add(&failedRun{id: x.ID})
	case "end":
		if x := m.pick(workflow.ExecutionRunning); x != nil {
			m.end(x)
		}
	case "retry", "anew":
		if x := m.pick(workflow.ExecutionFailed); x != nil {
			m.redrive(op, x)
		}
	case "again": // a delivery twice, or too late
		if x := m.pick(""); x != nil {
			m.count[op]++
			_, err := m.procs[1].store.Index(m.ctx, []string{x.id})
			require.NoError(m.t, err)
		}
	case "judge":
		m.judge()
	case "remove":
		if x := m.pick(workflow.ExecutionSucceeded); x != nil {
			m.remove(x)
		}
	case "sweep":
		m.sweep()
		m.compare()
	}
	if !m.crashed {
		m.compare()
	}
}

func (m *failuresMachine) add(x *failedRun) {
	x.status, x.ever = workflow.ExecutionRunning, map[string]bool{}
	m.all = append(m.all, x)
	m.count["start"]++
}

func (m *failuresMachine) pick(s workflow.ExecutionStatus) *failedRun {
	list := slices.DeleteFunc(slices.Clone(m.all), func(x *failedRun) bool { return s != "" && x.status != s })
	if len(list) == 0 {
		return nil
	}
	return rapid.SampledFrom(list).Draw(m.t, "execution")
}

// end ends both tasks, each with success or in one of two ways without; the process may crash while it lists the execution.
func (m *failuresMachine) end(x *failedRun) {
	var causes []string
	recs, err := m.procs[1].store.Records(m.ctx, x.id, nil)
	require.NoError(m.t, err)
	for _, ref := range []string{"a", "b"} {
		if recs[ref].Status.Ended() {
			continue
		}
		run, err := m.procs[1].Claim(m.ctx, engine.Fence{Execution: x.id, Ref: ref, Attempt: recs[ref].Attempt, Dispatch: recs[ref].Dispatch}, "w")
		require.NoError(m.t, err)
		cause := rapid.SampledFrom([]string{"", "", "gone", "full"}).Draw(m.t, ref)
		if ref == "b" || recs["b"].Status.Ended() { // it ends the execution
			m.crash()
		}
		if cause == "" {
			err = m.procs[0].Complete(m.ctx, run, json.RawMessage(`1`))
		} else {
			failure := &workflow.Error{Code: cause, Message: fmt.Sprintf("attempt %d", m.now)}
			causes = append(causes, ref+" "+cause)
			m.prints[ref+" "+cause] = workflow.Fingerprint("noop", ref, failure)
			_, err = m.procs[0].Fail(m.ctx, run, failure, false)
		}
		m.disarm()
		require.NoError(m.t, err, "what lists it is no part of the call")
	}
	m.count["end"]++
	got, err := m.procs[1].Execution(m.ctx, x.id)
	require.NoError(m.t, err)
	if !got.Status.Ended() { // the process crashed before it decided: the sweep does
		require.NoError(m.t, m.procs[1].Advance(m.ctx, x.id))
	}
	if len(causes) == 0 {
		x.status = workflow.ExecutionSucceeded
		for up := x.from; up != nil; up = up.from {
			if up.failedAt > 0 {
				m.count["superseded"]++
			}
			up.succeeded = m.now
		}
		return
	}
	if m.crashed {
		for _, c := range x.causes { // of the failure before, which may not have been seen
			m.fuzzy[c] = true
		}
	}
	x.status, x.causes, x.failedAt = workflow.ExecutionFailed, causes, m.now
	for _, c := range causes {
		x.ever[c] = true
		m.counted[c]++
		switch m.groups[c] {
		case engine.FailureResolved:
			m.count["reopened"]++
			m.groups[c] = engine.FailureOpen
		case "":
			m.groups[c] = engine.FailureOpen
		}
	}
}

// crash lets the process die somewhere in what follows the end of a task.
func (m *failuresMachine) crash() {
	if chance(m.t, "crash", 2) {
		m.armed = true
		m.procs[0].faults.Arm(rapid.IntRange(1, 12).Draw(m.t, "trips"), rapid.Bool().Draw(m.t, "after"))
	}
}

func (m *failuresMachine) disarm() {
	if m.procs[0].faults.Disarm() && m.armed {
		m.crashed = true
		m.count["crash"]++
	}
	m.armed = false
}

func (m *failuresMachine) redrive(op string, x *failedRun) {
	r := retrying()
	if op == "anew" {
		r.Identity = workflow.NewExecution
	}
	got, err := m.procs[1].Redrive(m.ctx, x.id, r)
	require.NoError(m.t, err)
	m.count[op]++
	if op == "anew" {
		m.add(&failedRun{id: got.ID, from: x})
		return
	}
	x.status = workflow.ExecutionRunning
}

func (m *failuresMachine) judge() {
	if len(m.groups) == 0 || m.crashed {
		return
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.groups))).Draw(m.t, "group")
	to := rapid.SampledFrom(engine.FailureStates).Draw(m.t, "state")
	_, err := m.procs[1].JudgeFailures(m.ctx, "default", m.prints[name], to, "me", "")
	require.NoError(m.t, err)
	m.groups[name] = to
	m.count["judge"]++
}

func (m *failuresMachine) remove(x *failedRun) {
	if m.crashed {
		m.sweep()
	}
	if !x.status.Ended() {
		_, err := m.procs[1].Cancel(m.ctx, x.id, engine.Request{})
		require.NoError(m.t, err)
	}
	require.NoError(m.t, m.procs[1].Remove(m.ctx, x.id))
	m.all = slices.DeleteFunc(slices.Clone(m.all), func(y *failedRun) bool { return y == x })
	for _, y := range m.all {
		if y.from == x { // the chain of origins ends where one is gone
			y.from = nil
		}
	}
	for name := range m.groups {
		if !slices.ContainsFunc(m.all, func(y *failedRun) bool { return y.ever[name] }) {
			delete(m.groups, name)
			delete(m.counted, name)
		}
	}
	m.count["remove"]++
}

// sweep does what a crash left undone.
func (m *failuresMachine) sweep() {
	m.clock.offset += 2 * time.Second
	for _, due := range m.due() {
		if len(due.Decide) > 0 || len(due.Index) > 0 {
			require.NoError(m.t, m.procs[1].Repair(m.ctx, engine.Due{Now: due.Now, Decide: due.Decide, Index: due.Index}))
		}
	}
	m.crashed = false
}

func (m *failuresMachine) due() []engine.Due {
	shards := make([]int, 256)
	for i := range shards {
		shards[i] = i
	}
	all, err := m.procs[1].store.Due(m.ctx, shards, 0, 100)
	require.NoError(m.t, err)
	return all
}

// compare holds the groups to the oracle.
func (m *failuresMachine) compare() {
	found := map[string]*engine.FailureGroup{}
	groups, _, err := m.procs[1].FailureGroups(m.ctx, "default", engine.FailureFilter{}, engine.Page{})
	require.NoError(m.t, err)
	for _, g := range groups {
		found[g.Fingerprint] = &g
	}
	for name := range m.groups {
		var open []string
		ever, fp := 0, m.prints[name]
		for _, x := range m.all {
			if x.ever[name] {
				ever++
			}
			if x.status == workflow.ExecutionFailed && slices.Contains(x.causes, name) && x.failedAt > x.succeeded {
				open = append(open, x.id)
			}
		}
		slices.Sort(open)
		ids, _, err := m.procs[1].OpenFailures(m.ctx, "default", fp, engine.Page{Limit: 1000})
		require.NoError(m.t, err)
		require.Equal(m.t, strings.Join(open, "\n"), strings.Join(ids, "\n"), "open failures of %s", name)
		g := found[fp]
		if m.fuzzy[name] {
			continue
		}
		require.NotNil(m.t, g, "group %s", name)
		require.Equal(m.t, m.groups[name], g.State, "state of %s", name)
		require.Equal(m.t, ever, g.Executions, "executions of %s", name)
		require.Equal(m.t, len(open), g.Open)
		trend := 0
		for _, n := range g.Trend {
			trend += n
		}
		require.Equal(m.t, m.counted[name], trend, "each failure of %s counts once", name)
		delete(found, fp)
	}
	for fp, g := range found {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(m.fuzzy)), func(name string) bool { return m.prints[name] == fp }) {
			m.t.Fatalf("there is a group that nothing is in: %+v", g)
		}
	}
}
