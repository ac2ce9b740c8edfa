package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// The times are chosen so that no sum of jumps and sweeps ends a lease or an
// attempt to the second: a test that takes a while must not change what is due.
const (
	remoteMachineLease   = 600 * time.Second
	remoteMachineTimeout = 1000 * time.Second
	remoteMachineJump    = 410 * time.Second
	remoteMachineSweep   = 13 * time.Second
)

const remoteMachineSource = `
name: m
tasks:
  - { name: a, type: render, timeout: 1000s, retry: { max_attempts: 900, delay: 0s, jitter: 0 } }
  - { name: b, type: render, timeout: 1000s, retry: { max_attempts: 900, delay: 0s, jitter: 0 } }
  - { name: c, type: render, timeout: 1000s, priority: 9, retry: { max_attempts: 900, delay: 0s, jitter: 0 } }
`

// remoteTask is what the rules say of a task.
type remoteTask struct {
	Status            workflow.TaskStatus
	Attempt, Dispatch int
	Try               int

	lease, deadline time.Duration
	accepted        map[int]int // attempt -> results that counted
}

type remoteMachine struct {
	t     *rapid.T
	ctx   context.Context
	procs []*process
	clock *clock
	id    string
	tasks map[string]*remoteTask
	runs  []engine.RemoteRun // every one there ever was
}

// TestRemoteMachine lets two pollers at two servers work, fall silent and report
// late at random, and holds the state to the rules after each step: a result is
// accepted once per attempt, silence costs a lease and never a try.
func TestRemoteMachine(t *testing.T) {
	url, c := queuetest.URL(t), &clock{}
	patient := func(o *engine.Options) { o.CrashLimit = 1_000_000 }
	procs := []*process{newServer(t, url, c, patient), newServer(t, url, c, patient)}
	_, err := procs[0].Publish(t.Context(), "default", []byte(remoteMachineSource), false)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		m := &remoteMachine{t: t, ctx: ctx, procs: procs, clock: c, tasks: map[string]*remoteTask{}}
		m.poll(1) // announces
		x, _, err := procs[0].Start(ctx, "default", engine.StartRequest{Workflow: "m"})
		require.NoError(t, err)
		m.id = x.ID
		for _, ref := range []string{"a", "b", "c"} {
			m.tasks[ref] = &remoteTask{Status: workflow.TaskQueued, Attempt: 1, Dispatch: 1, Try: 1, accepted: map[int]int{}}
		}
		for range 40 {
			m.step()
			m.compare()
		}
		m.drain()
	})
}

func (m *remoteMachine) any() *process { return rapid.SampledFrom(m.procs).Draw(m.t, "server") }

func (m *remoteMachine) step() {
	switch rapid.SampledFrom([]string{"poll", "poll", "complete", "fail", "beat", "jump", "sweep", "give back"}).Draw(m.t, "step") {
	case "poll":
		m.poll(rapid.IntRange(1, 3).Draw(m.t, "max"))
	case "complete":
		m.withRun(m.complete)
	case "fail":
		m.withRun(m.fail)
	case "beat":
		m.withRun(m.beat)
	case "give back":
		m.withRun(m.giveBack)
	case "jump":
		m.clock.offset += remoteMachineJump
	case "sweep":
		m.sweep()
	}
}

// withRun draws any run there ever was: late results are as usual as those in time.
func (m *remoteMachine) withRun(do func(engine.RemoteRun, *remoteTask, bool)) {
	if len(m.runs) == 0 {
		return
	}
	r := rapid.SampledFrom(m.runs).Draw(m.t, "run")
	task := m.tasks[r.Ref]
	do(r, task, task.Status == workflow.TaskRunning && task.Attempt == r.Attempt && task.Dispatch == r.Dispatch)
}

func (m *remoteMachine) poll(most int) {
	runs, err := m.any().Poll(m.ctx, engine.Poll{
		Worker: rapid.SampledFrom([]string{"p1", "p2"}).Draw(m.t, "worker"), Types: []string{"render"}, Max: most, Lease: remoteMachineLease,
	})
	require.NoError(m.t, err)
	waiting := 0
	for _, task := range m.tasks {
		if task.Status == workflow.TaskQueued {
			waiting++
		}
	}
	require.Len(m.t, runs, min(most, waiting), "what waits is handed out")
	for _, r := range runs {
		task := m.tasks[r.Ref]
		require.Equal(m.t, remoteTask{Status: workflow.TaskQueued, Attempt: r.Attempt, Dispatch: r.Dispatch, Try: r.Try},
			remoteTask{Status: task.Status, Attempt: task.Attempt, Dispatch: task.Dispatch, Try: task.Try}, "what was handed out did not wait")
		task.Status = workflow.TaskRunning
		task.lease, task.deadline = m.clock.offset+remoteMachineLease, m.clock.offset+remoteMachineTimeout
		m.runs = append(m.runs, r)
	}
}

func (m *remoteMachine) complete(r engine.RemoteRun, task *remoteTask, holds bool) {
	_, err := m.any().RemoteComplete(m.ctx, m.id, r.Ref, r.Token, json.RawMessage(`{"v":1}`))
	switch again := task.Status == workflow.TaskSucceeded && task.Attempt == r.Attempt && task.Dispatch == r.Dispatch; {
	case holds:
		require.NoError(m.t, err)
		task.Status = workflow.TaskSucceeded
		task.accepted[task.Attempt]++
	case again:
		require.NoError(m.t, err)
	default:
		requireStale(m.t, err)
	}
}

func (m *remoteMachine) fail(r engine.RemoteRun, task *remoteTask, holds bool) {
	_, err := m.any().RemoteFail(m.ctx, m.id, r.Ref, r.Token, workflow.Error{Code: "boom", Message: "it broke", Retryable: true})
	if !holds {
		requireStale(m.t, err)
		return
	}
	require.NoError(m.t, err)
	task.Status = workflow.TaskRetrying
	task.accepted[task.Attempt]++
}

func (m *remoteMachine) beat(r engine.RemoteRun, task *remoteTask, holds bool) {
	_, err := m.any().RemoteHeartbeat(m.ctx, m.id, r.Ref, r.Token)
	switch {
	case !holds:
		requireStale(m.t, err)
	case m.clock.offset >= task.deadline:
		requireStale(m.t, err)
		task.Status = workflow.TaskRetrying
	default:
		require.NoError(m.t, err)
		task.lease = min(m.clock.offset+remoteMachineLease, task.deadline)
	}
}

func (m *remoteMachine) giveBack(r engine.RemoteRun, task *remoteTask, holds bool) {
	m.any().GiveBack(m.ctx, []engine.RemoteRun{r})
	if holds {
		task.Status = workflow.TaskQueued
		task.Dispatch++
	}
}

func (m *remoteMachine) sweep() {
	shard, err := strconv.ParseUint(m.id[len(m.id)-2:], 16, 8)
	require.NoError(m.t, err)
	sweepShards(m.ctx, m.t, m.any(), m.clock, remoteMachineSweep, []int{int(shard)})
	for _, task := range m.tasks {
		switch {
		case task.Status == workflow.TaskRunning && m.clock.offset >= task.deadline:
			task.Status = workflow.TaskRetrying
		case task.Status == workflow.TaskRunning && m.clock.offset >= task.lease:
			task.Status = workflow.TaskQueued
			task.Dispatch++
		}
		if task.Status == workflow.TaskRetrying {
			task.Status = workflow.TaskQueued
			task.Attempt++
			task.Try++
			task.Dispatch = 1
		}
	}
}

func (m *remoteMachine) compare() {
	recs, err := m.procs[0].store.Records(m.ctx, m.id, nil)
	require.NoError(m.t, err)
	want, got := map[string]string{}, map[string]string{}
	for ref, task := range m.tasks {
		want[ref] = fmt.Sprintf("%s attempt %d dispatch %d try %d", task.Status, task.Attempt, task.Dispatch, task.Try)
		rec := recs[ref]
		got[ref] = fmt.Sprintf("%s attempt %d dispatch %d try %d", rec.Status, rec.Attempt, rec.Dispatch, rec.Try)
	}
	require.Empty(m.t, cmp.Diff(want, got), "(-rules +redis)")
	problems, err := queuetest.Audit(m.ctx, m.procs[0].store.Client(), m.id, map[string][]string{"a": nil, "b": nil, "c": nil})
	require.NoError(m.t, err)
	require.Empty(m.t, problems)
}

// drain works on without silence, and counts what was accepted.
func (m *remoteMachine) drain() {
	ended := func(task *remoteTask) bool { return task.Status == workflow.TaskSucceeded }
	for !ended(m.tasks["a"]) || !ended(m.tasks["b"]) || !ended(m.tasks["c"]) {
		m.clock.offset += remoteMachineTimeout
		m.sweep()
		from := len(m.runs)
		m.poll(3)
		for _, r := range m.runs[from:] {
			m.complete(r, m.tasks[r.Ref], true)
		}
		m.compare()
	}
	events, _, err := m.procs[1].History(m.ctx, m.id, engine.Page{Limit: 1000})
	require.NoError(m.t, err)
	for ref, task := range m.tasks {
		require.True(m.t, ended(task), "%s is %s", ref, task.Status)
		for attempt, n := range task.accepted {
			require.Equal(m.t, 1, n, "results of attempt %d of %s", attempt, ref)
		}
		successes := slices.DeleteFunc(slices.Clone(events), func(e engine.Event) bool { return e.Ref != ref || e.Type != "task.succeeded" })
		require.Len(m.t, successes, 1)
	}
	x, err := m.procs[1].Execution(m.ctx, m.id)
	require.NoError(m.t, err)
	require.Equal(m.t, workflow.ExecutionSucceeded, x.Status)
}
