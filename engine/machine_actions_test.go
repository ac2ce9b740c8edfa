package engine_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (m *machine) refs(keep func(t *oracleTask) bool) []string {
	var refs []string
	for ref, t := range m.tasks {
		if keep(t) {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

// fence draws a delivery: mostly the present one of a task that is in one of
// the statuses, now and then one of the past or of the future.
func (m *machine) fence(statuses ...workflow.TaskStatus) engine.Fence {
	refs := m.refs(func(t *oracleTask) bool { return slices.Contains(statuses, t.status) })
	if len(refs) == 0 || chance(m.t, "any task", 10) {
		refs = m.refs(func(*oracleTask) bool { return true })
	}
	ref := rapid.SampledFrom(refs).Draw(m.t, "task")
	t := m.tasks[ref]
	f := engine.Fence{Execution: m.id, Ref: ref, Attempt: t.attempt, Dispatch: t.dispatch}
	if chance(m.t, "odd", 10) {
		f.Attempt = max(0, f.Attempt+rapid.IntRange(-1, 1).Draw(m.t, "attempt"))
		f.Dispatch = max(0, f.Dispatch+rapid.IntRange(-1, 1).Draw(m.t, "dispatch"))
	}
	return f
}

// withRun draws a claim of the past, mostly one that still holds.
func (m *machine) withRun(do func(*engine.Run)) {
	if len(m.runs) == 0 {
		return
	}
	holds := slices.IndexFunc(m.runs, func(r *engine.Run) bool { return m.at(r.Fence, workflow.TaskRunning) != nil })
	if holds >= 0 && !chance(m.t, "late", 3) {
		do(m.runs[holds])
		return
	}
	do(rapid.SampledFrom(m.runs).Draw(m.t, "run"))
}

const steps = 40

// live does random operations one after the other, the usual ones more often.
func (m *machine) live() {
	actions := m.actions()
	// The first ones are drawn more often.
	names := []string{"claim", "claim", "claim", "complete", "fail", "claim", "complete", "fail", "retry timer", "jump", "sweep", "redrive"}
	names = append(names, slices.Sorted(maps.Keys(actions))...)
	for range steps {
		op := rapid.SampledFrom(names).Draw(m.t, "action")
		actions[op]()
		m.compare()
	}
}

func (m *machine) actions() map[string]func() {
	actions := map[string]func(){
		"claim":       func() { m.doClaim(m.fence(workflow.TaskQueued)) },
		"complete":    func() { m.withRun(m.doComplete) },
		"fail":        func() { m.withRun(m.doFail) },
		"release":     func() { m.withRun(m.doRelease) },
		"retry timer": m.doRetryTimer,
		"heartbeat":   m.doHeartbeat,
		"decline":     m.doDecline,
		"vanish":      func() { m.doRedispatch(m.fence(workflow.TaskQueued), engine.WhyVanish) },
		"expire": func() {
			if chance(m.t, "late", 2) {
				m.advanceClock(2 * machineJump)
			}
			m.doRedispatch(m.fence(workflow.TaskRunning), engine.WhyExpire)
		},
		"redrive":     m.doRedrive,
		"sweep":       m.doSweep,
		"archive":     m.doArchive,
		"look":        m.doLook,
		"early purge": m.doEarlyPurge,
		"jump": func() {
			m.advanceClock(machineJump)
			m.count.add("jump", nil)
		},
		"forget": func() {
			m.any().Forget()
			m.count.add("forget", nil)
		},
		"advance": func() {
			m.do("advance", func(*oracle) error { return nil }, func(p *process) error { return p.Advance(m.ctx(), m.id) })
		},
		"pause":  func() { m.doControl("pause", workflow.EventPause, (*engine.Engine).Pause) },
		"resume": func() { m.doControl("resume", workflow.EventResume, (*engine.Engine).Resume) },
		"cancel": func() {
			if chance(m.t, "really", 5) { // an execution should live a little
				m.doControl("cancel", workflow.EventAskCancel, (*engine.Engine).Cancel)
			}
		},
	}
	return actions
}

type control func(*engine.Engine, context.Context, string, engine.Request) (*engine.Execution, error)

func (m *machine) doControl(op string, event workflow.Event, ask control) {
	m.do(op, func(o *oracle) error { return o.control(event) }, func(p *process) error {
		_, err := ask(p.Engine, m.ctx(), m.id, engine.Request{Reason: "a\treason", By: "me"})
		return err
	})
}

func (m *machine) doClaim(f engine.Fence) {
	m.do("claim", func(o *oracle) error { return o.claim(f) }, func(p *process) error {
		r, err := p.Claim(m.ctx(), f, "w")
		if err == nil {
			m.runs = append(m.runs, r)
		}
		_ = p.store.DeleteJob(m.ctx(), m.job(f)) // asynq's worker took it
		return err
	})
}

func (m *machine) doComplete(r *engine.Run) {
	output := json.RawMessage(rapid.SampledFrom([]string{`{"v":1}`, `{"v":0}`, `{"v":"x"}`, `[]`, `{"v":9007199254740993}`}).Draw(m.t, "output"))
	m.do("complete", func(o *oracle) error { return o.complete(r.Fence, output) },
		func(p *process) error { return p.Complete(m.ctx(), r, output) })
}

func (m *machine) doFail(r *engine.Run) {
	failure := &workflow.Error{Code: "boom", Message: "it broke", Retryable: !chance(m.t, "final", 3)}
	timedOut := rapid.Bool().Draw(m.t, "timed out")
	n := m.p.Node(r.Ref)
	m.do("fail", func(o *oracle) error { return o.fail(r.Fence, failure, timedOut) }, func(p *process) error {
		final, err := p.Fail(m.ctx(), r, failure, timedOut)
		if _, again := n.Retry.Next(r.Try, failure, 0); err == nil && final == again {
			m.t.Fatalf("Fail says final=%v on try %d", final, r.Try)
		}
		return err
	})
}

func (m *machine) doRetryTimer() {
	f := m.fence(workflow.TaskRetrying)
	m.do("retry timer", func(o *oracle) error { return o.retry(f) }, func(p *process) error {
		_, _, err := p.store.Retry(m.ctx(), f)
		return err
	})
}

func (m *machine) doHeartbeat() {
	if len(m.runs) == 0 {
		return
	}
	p := m.any()
	for i, err := range p.Heartbeat(m.ctx(), m.runs) {
		t := m.at(m.runs[i].Fence, workflow.TaskRunning)
		if (err == nil) != (t != nil) {
			m.t.Fatalf("the heartbeat of %s answered %v", m.runs[i].JobID(), err)
		}
		m.count.add("heartbeat", err)
		if t != nil {
			t.leased = m.now + machineLease
		}
	}
}

func (m *machine) doRelease(r *engine.Run) {
	m.do("release", func(o *oracle) error { return o.redispatch(r.Fence, engine.WhyRelease) },
		func(p *process) error { return p.Release(m.ctx(), r) })
}

func (m *machine) doDecline() {
	f := m.fence(workflow.TaskQueued)
	refused := m.oracle.clone().redispatch(f, engine.WhyDecline)
	m.do("decline", func(o *oracle) error { return o.redispatch(f, engine.WhyDecline) }, func(p *process) error {
		if err := p.Decline(m.ctx(), f); err != nil {
			return err
		}
		return refused // Decline does not say; the state does
	})
}

func (m *machine) doRedispatch(f engine.Fence, why engine.Why) {
	m.do(string(why), func(o *oracle) error { return o.redispatch(f, why) }, func(p *process) error {
		_, _, err := p.store.Redispatch(m.ctx(), f, why, time.Second)
		return err
	})
}

func (m *machine) doRedrive() {
	var from []string
	if rapid.Bool().Draw(m.t, "from") {
		from = []string{rapid.SampledFrom(m.refs(func(*oracleTask) bool { return true })).Draw(m.t, "task")}
	}
	m.do("redrive", func(o *oracle) error { return o.redrive(from) }, func(p *process) error {
		_, err := p.Redrive(m.ctx(), m.id, retrying(from...))
		return err
	})
}

// doSweep does all that is due, one by one, as the agenda says it.
func (m *machine) doSweep() {
	p := m.any()
	m.advanceClock(machineSweep)
	all, err := p.store.Due(m.ctx(), shardsOf(m), 0, 100)
	require.NoError(m.t, err)
	d := all[0]
	m.count.add("sweep", nil)
	for _, f := range d.Jobs {
		if f.Execution == m.id {
			m.lookAfter(p, d, f)
		}
	}
	require.NoError(m.t, p.Repair(m.ctx(), engine.Due{Now: d.Now, Decide: d.Decide, Index: d.Index}))
	for _, timer := range d.Timers {
		if timer.Execution != m.id || timer.In > 0 {
			continue
		}
		if err := m.retry(timer.Fence); err == errNotDue { //nolint:errorlint // the oracle's own
			m.t.Fatalf("the timer of %s is due", timer.JobID())
		}
		p.FireRetry(m.ctx(), timer.Fence)
	}
}

func (m *machine) lookAfter(p *process, d engine.Due, f engine.Fence) {
	if t := m.at(f, workflow.TaskRunning); t != nil {
		if t.leased > m.now {
			m.t.Fatalf("the lease of %s is due", f.JobID())
		}
		m.expire(f)
		require.NoError(m.t, p.Repair(m.ctx(), engine.Due{Now: d.Now, Jobs: []engine.Fence{f}}))
		return
	}
	archived := m.sure[f.JobID()]
	state, err := p.store.JobState(m.ctx(), m.job(f))
	require.NoError(m.t, err)
	require.NoError(m.t, p.Repair(m.ctx(), engine.Due{Now: d.Now, Jobs: []engine.Fence{f}}))
	recs, err := p.store.Records(m.ctx(), f.Execution, []string{f.Ref})
	require.NoError(m.t, err)
	switch again := recs[f.Ref].Dispatch == f.Dispatch+1; {
	case again && archived:
		require.NoError(m.t, m.redispatch(f, engine.WhyVanish))
	case again:
		m.t.Fatalf("%s was %s in asynq and was sent again", f.JobID(), state)
	}
}

func (m *machine) doArchive() {
	f := m.fence(workflow.TaskQueued)
	if m.at(f, workflow.TaskQueued) == nil || !m.archive(m.procs[0], f) {
		return
	}
	m.sure[f.JobID()] = true
	m.count.add("archive", nil)
}

// doLook is the end of a look at a waiting job that began before the job was taken.
func (m *machine) doLook() {
	f := m.fence(workflow.TaskQueued, workflow.TaskRunning)
	reason := rapid.SampledFrom([]string{"", engine.ReasonNoWorker}).Draw(m.t, "reason")
	m.do("look", func(*oracle) error { return nil }, func(p *process) error {
		return p.store.Look(m.ctx(), f, time.Second, reason)
	})
}

// doEarlyPurge asks for a purge that is not due, which must leave everything as it is, the lists too.
func (m *machine) doEarlyPurge() {
	p := m.any()
	err := p.store.Purge(m.ctx(), m.id, false)
	m.count.add("early purge", err)
	require.ErrorIs(m.t, err, engine.ErrStale)
	id, err := p.store.FindNumber(m.ctx(), m.number)
	require.NoError(m.t, err)
	require.Equal(m.t, m.id, id, "the number of an execution whose purge was refused")
	_, err = p.store.Index(m.ctx(), []string{m.id})
	require.NoError(m.t, err)
	m.listed(m.status)
}

func (m *machine) listed(status workflow.ExecutionStatus) {
	for _, s := range workflow.ExecutionStatuses {
		list, _, err := m.procs[0].Executions(m.ctx(), "default", engine.ExecutionFilter{Status: []workflow.ExecutionStatus{s}}, engine.Page{Limit: 10})
		require.NoError(m.t, err)
		has := slices.ContainsFunc(list, func(x engine.Execution) bool { return x.ID == m.id })
		require.Equal(m.t, s == status, has, "in the list of %s, being %s", s, status)
	}
}

// drain lets the execution come to its end: everything that is queued is run.
func (m *machine) drain() {
	p := m.procs[0]
	for range 200 {
		if m.status.Ended() {
			break
		}
		if m.status == workflow.ExecutionPaused {
			_, err := p.Resume(m.ctx(), m.id, engine.Request{})
			require.NoError(m.t, err)
			require.NoError(m.t, m.control(workflow.EventResume))
		}
		for _, ref := range m.refs(func(t *oracleTask) bool { return t.status == workflow.TaskQueued }) {
			t := m.tasks[ref]
			f := engine.Fence{Execution: m.id, Ref: ref, Attempt: t.attempt, Dispatch: t.dispatch}
			require.NoError(m.t, m.claim(f))
			r, err := p.Claim(m.ctx(), f, "w")
			require.NoError(m.t, err)
			require.NoError(m.t, p.Complete(m.ctx(), r, json.RawMessage(`{"v":1}`)))
			require.NoError(m.t, m.complete(f, json.RawMessage(`{"v":1}`)))
			if m.status.Ended() {
				break
			}
		}
		m.compare()
		m.advanceClock(machineJump)
		m.doSweep()
		m.compare()
	}
	require.True(m.t, m.status.Ended(), "it is still %s", m.status)
	m.attempts()
	_, err := p.store.Index(m.ctx(), []string{m.id})
	require.NoError(m.t, err)
	m.listed(m.status)
}

// attempts holds the history of every task to what happened.
func (m *machine) attempts() {
	for ref, t := range m.tasks {
		all, _, err := m.procs[0].Attempts(m.ctx(), m.id, ref, engine.Page{})
		require.NoError(m.t, err)
		require.Len(m.t, all, t.attempt, "attempts of %s", ref)
		for i, a := range all {
			require.Equal(m.t, i+1, a.Attempt)
			require.Equal(m.t, t.outcomes[a.Attempt], a.Status, "attempt %d of %s, now %s", a.Attempt, ref, t.status)
		}
	}
}

// purge ends the retention; nothing of the execution may be left.
func (m *machine) purge() {
	p := m.procs[1]
	m.advanceClock(machineKeep)
	all, err := p.store.Due(m.ctx(), shardsOf(m), 0, 100)
	require.NoError(m.t, err)
	require.Contains(m.t, all[0].Expire, m.id)
	require.NoError(m.t, p.Repair(m.ctx(), engine.Due{Now: all[0].Now, Expire: all[0].Expire}))
	m.count.add("purge", nil)
	keys, err := queuetest.Keys(m.ctx(), p.store.Client(), "redrive:") // what asynq still has, its workers will take
	require.NoError(m.t, err)
	for _, key := range keys {
		require.NotContains(m.t, key, m.id)
	}
	m.listed("")
	id, err := p.store.FindNumber(m.ctx(), m.number)
	require.NoError(m.t, err)
	require.Empty(m.t, id)
	_, err = p.store.Execution(m.ctx(), m.id, false)
	require.ErrorIs(m.t, err, engine.ErrGone)
}
