package engine_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// duel lets two processes do something to an execution at once, one of the things being a redrive.
type duel struct {
	source string
	fails  []string      // tasks that fail at first
	ahead  time.Duration // of the clock of two
	first  []string      // refs that one claims before, when everything else has run
	calls  func(one, two *stage, x *engine.Execution, runs []*engine.Run) []func() error
	after  func(d *outcome)
}

// outcome is what came of a duel.
type outcome struct {
	t        *testing.T
	one, two *stage
	x        *engine.Execution
	errs     []error
}

func (d *outcome) won(call int) bool { return d.errs[call] == nil }

// redrivers counts the calls that took effect.
func (d *outcome) wins(calls ...int) (n int) {
	for _, call := range calls {
		if d.won(call) {
			n++
		}
	}
	return n
}

// redriven expects an execution to have been redriven so often: by what it says of itself, its history and its redrives.
func (d *outcome) redriven(x *engine.Execution, times int) {
	d.t.Helper()
	require.Equal(d.t, times, d.one.at(x).Redrives)
	said := 0
	for event, err := range historyOf(d.one, x) {
		require.NoError(d.t, err)
		if event.Type == "execution.redriven" {
			said++
		}
	}
	require.Equal(d.t, times, said)
	all, _, err := d.one.Redrives(d.one.ctx(), x.ID, engine.Page{Limit: 1000})
	require.NoError(d.t, err)
	require.Len(d.t, all, times)
}

// runs ends what the duel left, and expects it to have ended well.
func (d *outcome) runs() {
	d.t.Helper()
	d.one.settleAll(d.x)
	require.Equal(d.t, workflow.ExecutionSucceeded, d.one.at(d.x).Status, "%v", d.one.tasks(d.x))
}

func (r duel) run(t *testing.T) {
	rounds := 50
	if soak {
		rounds = 1000
	}
	url := queuetest.URL(t)
	one, two := newStageOn(t, url), newStageOn(t, url)
	one.publish(child, leafOf3, midOf3)
	for round := range rounds {
		one.offset, two.offset, one.starts = 0, 0, map[string]int{}
		one.run = failing(r.fails...)
		x := one.start(r.source, fmt.Sprintf(`{"n": %d}`, round))
		runs := one.except(x, r.first)
		one.run, two.offset = nil, r.ahead
		calls := r.calls(one, two, x, runs)
		d := &outcome{t: t, one: one, two: two, x: x, errs: make([]error, len(calls))}
		together(len(calls), func(i int) { d.errs[i] = calls[i]() })
		for i, err := range d.errs {
			require.True(t, lost(err), "call %d: %v", i, err)
		}
		if _, err := one.Execution(t.Context(), x.ID); err == nil {
			one.audit(x)
			one.sweep(x)
			one.orderly(x)
		}
		r.after(d)
		if _, err := one.Execution(t.Context(), x.ID); err == nil {
			require.True(t, one.at(x).Status.Ended(), "%v", one.tasks(x))
			one.orderly(x)
		}
	}
}

// waiting are the deliveries of an execution and its sub-executions that wait.
func (s *stage) waiting(x *engine.Execution) (queued []engine.Fence) {
	s.t.Helper()
	jobs, err := s.store.Client().ZRange(s.ctx(), queuetest.ShardKey(x.ID, "jobs"), 0, -1).Result()
	require.NoError(s.t, err)
	var all []engine.Fence
	for _, job := range jobs {
		f, err := engine.ParseJobID(job)
		require.NoError(s.t, err)
		all = append(all, f)
	}
	recs, err := s.store.States(s.ctx(), all)
	require.NoError(s.t, err)
	for i, f := range all {
		if recs[i].Status == workflow.TaskQueued {
			queued = append(queued, f)
		}
	}
	return queued
}

// settleAll runs what can run of an execution and its sub-executions without time passing.
func (s *stage) settleAll(x *engine.Execution) {
	s.t.Helper()
	for list := s.waiting(x); len(list) > 0; list = s.waiting(x) {
		for _, f := range list {
			s.deliver(f)
		}
	}
}

func (s *stage) shardOf(x *engine.Execution) int {
	s.t.Helper()
	shard, err := strconv.ParseInt(x.ID[len(x.ID)-2:], 16, 0)
	require.NoError(s.t, err)
	return int(shard)
}

// sweep does what is to be done in the shard of an execution a while from now.
func (s *stage) sweep(x *engine.Execution) {
	s.t.Helper()
	s.offset += 10 * time.Second
	all, err := s.store.Due(s.ctx(), []int{s.shardOf(x)}, 0, 1000)
	require.NoError(s.t, err)
	for _, due := range all {
		require.NoError(s.t, s.Repair(s.ctx(), engine.Due{Now: due.Now, Decide: due.Decide, Index: due.Index}))
	}
}

// except runs everything but these tasks, which are claimed only.
func (s *stage) except(x *engine.Execution, refs []string) (runs []*engine.Run) {
	s.t.Helper()
	claimed := map[string]bool{}
	for moved := true; moved; {
		moved = false
		for _, f := range s.waiting(x) {
			moved = true
			mine := false
			for _, ref := range refs {
				mine = mine || f.Ref == ref && !claimed[ref]
			}
			if !mine {
				s.deliver(f)
				continue
			}
			run, err := s.Claim(s.ctx(), f, "w")
			require.NoError(s.t, err)
			s.starts[f.Ref]++
			claimed[f.Ref] = true
			runs = append(runs, run)
		}
	}
	require.Len(s.t, runs, len(refs), "%v", s.tasks(x))
	return runs
}

// orderly holds an execution and its sub-executions to the rules that hold
// whatever happened: no attempt started twice or ended twice, none is missing.
func (s *stage) orderly(x *engine.Execution) {
	s.t.Helper()
	began, ended := map[string]int{}, map[string]int{}
	for event, err := range historyOf(s, x) {
		require.NoError(s.t, err)
		place := fmt.Sprintf("%s#%d", event.Ref, event.Attempt)
		switch {
		case event.Attempt == 0:
		case event.Type == "task.running":
			began[place]++
			require.Equal(s.t, 1, began[place], "%s began once", place)
		case workflow.TaskStatus(event.Status).Ended() && (event.Status != string(workflow.TaskCanceled) || event.Reason == "superseded"): // else it may have been pending
			ended[place]++
			require.Equal(s.t, 1, ended[place], "%s ended once", place)
		}
	}
	s.audit(x)
	seen := map[string]bool{}
	for ref := range s.tasks(x) {
		v := s.see(x.ID, ref)
		for i, a := range v.attempts {
			require.Equal(s.t, i+1, a.Attempt, ref)
		}
		if v.task.Child != "" && !seen[v.task.Child] {
			seen[v.task.Child] = true
			if _, err := s.Execution(s.ctx(), v.task.Child); err == nil {
				s.orderly(&engine.Execution{ID: v.task.Child})
			}
		}
	}
}

// TestRedriveRaces: of a redrive and something else at once, one comes first, and the
// other is done on top of it or refused; each takes effect once, and what lies in Redis is in order.
func TestRedriveRaces(t *testing.T) {
	t.Parallel()
	for what, r := range duels {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r.run(t)
		})
	}
}
