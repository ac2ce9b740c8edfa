package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// newServer is a process without handlers, as a server is one.
func newServer(t *testing.T, url string, c *clock, change ...func(*engine.Options)) *process {
	t.Helper()
	o := queue.DefaultOptions()
	o.URL, o.Logger, o.Retention = url, quiet(), machineKeep
	o.ClockOffset = func() time.Duration { return c.offset }
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	p := &process{store: store, faults: &queuetest.Faults{}}
	store.Client().AddHook(p.faults)
	eo := engine.DefaultOptions()
	eo.Store, eo.Logger = store, quiet()
	for _, f := range change {
		f(&eo)
	}
	p.Engine, err = engine.New(eo)
	require.NoError(t, err)
	return p
}

func pumped(t *testing.T, p *process) *process {
	t.Helper()
	pump := engine.NewPump(p.Engine)
	require.NoError(t, pump.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pump.Stop(context.Background())) })
	return p
}

// sweepAll does what is due in every shard, retries too.
func sweepAll(ctx context.Context, t require.TestingT, p *process, c *clock, later time.Duration) {
	list := make([]int, 256)
	for i := range list {
		list[i] = i
	}
	sweepShards(ctx, t, p, c, later, list)
}

func sweepShards(ctx context.Context, t require.TestingT, p *process, c *clock, later time.Duration, list []int) {
	c.offset += later
	all, err := p.store.Due(ctx, list, 0, 100)
	require.NoError(t, err)
	for _, d := range all {
		require.NoError(t, p.Repair(ctx, engine.Due{Now: d.Now, Jobs: d.Jobs, Decide: d.Decide, Index: d.Index, Expire: d.Expire}))
	}
	all, err = p.store.Due(ctx, list, 0, 100) // what timed out a moment ago may be tried again at once
	require.NoError(t, err)
	for _, d := range all {
		for _, timer := range d.Timers {
			if timer.In <= 0 {
				p.FireRetry(ctx, timer.Fence)
			}
		}
	}
}

const renders = `
name: w
tasks:
  - { name: a, type: render, timeout: 100s, with: { n: "${workflow.input.n}" } }
`

func startOn(t *testing.T, p *process, project, source string) *engine.Execution {
	t.Helper()
	_, err := p.Publish(t.Context(), project, []byte(source), false)
	require.NoError(t, err)
	x, _, err := p.Start(t.Context(), project, engine.StartRequest{Workflow: "w", Input: json.RawMessage(`{"n":1}`)})
	require.NoError(t, err)
	return x
}

func poll(t *testing.T, p *process, q engine.Poll) []engine.RemoteRun {
	t.Helper()
	if q.Worker == "" {
		q.Worker = "py"
	}
	if q.Types == nil {
		q.Types = []string{"render"}
	}
	runs, err := p.Poll(t.Context(), q)
	require.NoError(t, err)
	return runs
}

// TestWhatNobodyServedWaitsForNoSweep: the first poll of a type gets what was ready before it.
func TestWhatNobodyServedWaitsForNoSweep(t *testing.T) {
	t.Parallel()
	url := queuetest.URL(t)
	p := newServer(t, url, &clock{})
	x := startOn(t, p, "default", renders)
	require.Empty(t, poll(t, p, engine.Poll{Types: []string{"other"}}))
	runs := poll(t, p, engine.Poll{})
	require.Len(t, runs, 1)
	require.Equal(t, x.ID, runs[0].Execution)
	_, err := p.RemoteComplete(t.Context(), x.ID, "a", runs[0].Token, json.RawMessage(`{}`))
	require.NoError(t, err)

	// One that was canceled before anybody came is handed to nobody.
	p = newServer(t, url, &clock{}) // one that knows of no worker
	later := startOn(t, p, "default", `{name: w, tasks: [{ name: a, type: print }]}`)
	_, err = p.Cancel(t.Context(), later.ID, engine.Request{})
	require.NoError(t, err)
	require.Empty(t, poll(t, p, engine.Poll{Types: []string{"print"}}))
}

func one(t *testing.T, p *process) engine.RemoteRun {
	t.Helper()
	runs := poll(t, p, engine.Poll{})
	require.Len(t, runs, 1)
	return runs[0]
}

func task(t *testing.T, p *process, x *engine.Execution, ref string) *engine.Task {
	t.Helper()
	found, err := p.Task(t.Context(), x.ID, ref)
	require.NoError(t, err)
	return found
}

func requireStale(t require.TestingT, err error) {
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, engine.KindConflict, refused.Kind)
	require.Equal(t, "stale", refused.Code)
}

func TestARemoteWorkerRunsATask(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p, other := newServer(t, url, c), newServer(t, url, c)
	x := startOn(t, p, "default", renders)
	require.Equal(t, engine.ReasonNoWorker, task(t, p, x, "a").Reason)
	r := one(t, p)
	require.JSONEq(t, `{"n":1}`, string(r.Input))
	require.Equal(t, 30*time.Second, r.Lease)
	now := task(t, p, x, "a")
	require.Equal(t, workflow.TaskRunning, now.Status)
	require.Equal(t, "py", now.Worker)
	require.JSONEq(t, `{"n":1}`, string(now.Input), "the input of a run that goes on is shown")
	require.Equal(t, now.StartedAt.Add(100*time.Second), r.Deadline)
	workers, err := p.Workers(t.Context())
	require.NoError(t, err)
	require.Len(t, workers, 1)
	require.True(t, workers[0].Remote)
	require.Equal(t, "py", workers[0].ID)

	beat, err := other.RemoteHeartbeat(t.Context(), x.ID, "a", r.Token)
	require.NoError(t, err)
	require.Equal(t, engine.Beat{Lease: 30 * time.Second}, beat)
	done, err := other.RemoteComplete(t.Context(), x.ID, "a", r.Token, json.RawMessage(`{"v":1}`))
	require.NoError(t, err)
	require.Equal(t, engine.RemoteResult{Status: workflow.TaskSucceeded}, done)
	_, err = p.RemoteComplete(t.Context(), x.ID, "a", r.Token, json.RawMessage(`{"v":2}`))
	require.NoError(t, err, "a report whose answer got lost is answered again")
	now = task(t, p, x, "a")
	require.JSONEq(t, `{"v":1}`, string(now.Output))
	require.JSONEq(t, `{"n":1}`, string(now.Input))
	_, err = p.RemoteHeartbeat(t.Context(), x.ID, "a", r.Token)
	requireStale(t, err)
	_, err = p.RemoteFail(t.Context(), x.ID, "a", r.Token, workflow.Error{Code: "x", Message: "x"})
	requireStale(t, err)
	end, err := p.Execution(t.Context(), x.ID)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionSucceeded, end.Status)
}

func TestSilenceCostsALeaseAndNoTry(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	first := one(t, p)
	require.Empty(t, poll(t, p, engine.Poll{Worker: "py2"}))
	sweepAll(t.Context(), t, p, c, 29*time.Second)
	require.Equal(t, 1, task(t, p, x, "a").Dispatch, "the lease holds")
	sweepAll(t.Context(), t, p, c, 2*time.Second)
	second := one(t, p)
	require.Equal(t, 1, second.Attempt)
	require.Equal(t, 2, second.Dispatch)
	require.Equal(t, 1, second.Try)
	_, err := p.RemoteHeartbeat(t.Context(), x.ID, "a", first.Token)
	requireStale(t, err)
	_, err = p.RemoteComplete(t.Context(), x.ID, "a", first.Token, json.RawMessage(`1`))
	requireStale(t, err)
	_, err = p.RemoteComplete(t.Context(), x.ID, "a", second.Token, json.RawMessage(`2`))
	require.NoError(t, err)
	require.Equal(t, `2`, string(task(t, p, x, "a").Output))
}

func TestTheTimeoutOfARemoteRunIsKept(t *testing.T) {
	t.Parallel()
	for _, beats := range []bool{false, true} {
		t.Run(fmt.Sprintf("heartbeats %v", beats), func(t *testing.T) {
			t.Parallel()
			url, c := queuetest.URL(t), &clock{}
			p := newServer(t, url, c)
			poll(t, p, engine.Poll{})
			x := startOn(t, p, "default", renders)
			r := poll(t, p, engine.Poll{Lease: 90 * time.Second})[0]
			survivor := newServer(t, url, c) // the server that handed it out is of no use from here on
			if beats {
				c.offset += 80 * time.Second
				beat, err := survivor.RemoteHeartbeat(t.Context(), x.ID, "a", r.Token)
				require.NoError(t, err)
				require.LessOrEqual(t, beat.Lease, 20*time.Second, "the lease ends with the attempt's time")
				sweepAll(t.Context(), t, survivor, c, 15*time.Second)
				require.Equal(t, workflow.TaskRunning, task(t, p, x, "a").Status)
				c.offset += 10 * time.Second
				_, err = survivor.RemoteHeartbeat(t.Context(), x.ID, "a", r.Token)
				requireStale(t, err)
			} else {
				c.offset += 85 * time.Second // no sweep comes between the end of the lease and that of the time
				sweepAll(t.Context(), t, survivor, c, 20*time.Second)
			}
			now := task(t, p, x, "a")
			require.Equal(t, workflow.TaskTimedOut, now.Status)
			require.Equal(t, "timed_out", now.Error.Code)
			require.JSONEq(t, `{"n":1}`, string(now.Input))
			_, err := p.RemoteComplete(t.Context(), x.ID, "a", r.Token, json.RawMessage(`1`))
			requireStale(t, err)
		})
	}
}

// TestATimeoutShorterThanTheLease: the lease must not outlast the attempt's time.
func TestATimeoutShorterThanTheLease(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	one := poll(t, p, engine.Poll{Lease: 10 * time.Minute})
	require.Len(t, one, 1)
	sweepAll(t.Context(), t, p, c, 101*time.Second)
	require.Equal(t, workflow.TaskTimedOut, task(t, p, x, "a").Status)
}

// TestADeadlineGoesWithItsDelivery: the worker process that takes a silent
// remote worker's task over keeps the timeout itself.
func TestADeadlineGoesWithItsDelivery(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	one(t, p)
	sweepAll(t.Context(), t, p, c, 31*time.Second)
	require.NoError(t, p.Announce(t.Context(), engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"render"}}))
	_, err := p.Claim(t.Context(), engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1, Dispatch: 2}, "w")
	require.NoError(t, err)
	sweepAll(t.Context(), t, p, c, 90*time.Second)
	now := task(t, p, x, "a")
	require.Equal(t, workflow.TaskQueued, now.Status, "its lease ended, and no more: %v", now.Error)
	require.Equal(t, 3, now.Dispatch)
}

func TestCancelReachesARemoteRun(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	r := one(t, p)
	_, err := p.Cancel(t.Context(), x.ID, engine.Request{Reason: "enough"})
	require.NoError(t, err)
	beat, err := p.RemoteHeartbeat(t.Context(), x.ID, "a", r.Token)
	require.NoError(t, err)
	require.True(t, beat.Canceled)
	_, err = p.RemoteComplete(t.Context(), x.ID, "a", r.Token, nil)
	requireStale(t, err)
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	r := one(t, p)
	forged := []byte(r.Token)
	forged[len(forged)/2] ^= 1
	stranger := newServer(t, queuetest.URL(t), &clock{})
	poll(t, stranger, engine.Poll{})
	startOn(t, stranger, "default", renders)
	for what, c := range map[string]struct{ id, ref, token string }{
		"changed":             {x.ID, "a", string(forged)},
		"of no form":          {x.ID, "a", "***"},
		"empty":               {x.ID, "a", ""},
		"of another run":      {x.ID, "b", r.Token},
		"of another database": {x.ID, "a", one(t, stranger).Token},
	} {
		_, err := p.RemoteComplete(t.Context(), c.id, c.ref, c.token, nil)
		var refused *engine.Error
		require.ErrorAs(t, err, &refused, what)
		require.Equal(t, engine.KindInvalid, refused.Kind, what)
		require.Equal(t, "token", refused.Problems[0].Field, what)
	}
	require.Equal(t, workflow.TaskRunning, task(t, p, x, "a").Status)
}

func TestUrgentLanesComeFirst(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	poll(t, p, engine.Poll{Types: []string{"render", "cut"}})
	startOn(t, p, "default", `
name: w
tasks:
  - { name: low, type: render, priority: 1 }
  - { name: mid, type: cut }
  - { name: high, type: render, priority: 9 }
`)
	for _, ref := range []string{"high", "mid", "low"} {
		runs := poll(t, p, engine.Poll{Types: []string{"render", "cut"}})
		require.Len(t, runs, 1)
		require.Equal(t, ref, runs[0].Ref)
	}
}

func TestALimitedKeyGetsItsProjectsOnly(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	for _, name := range []string{"mine", "yours"} {
		_, _, err := p.PutProject(t.Context(), engine.Project{Name: name})
		require.NoError(t, err)
	}
	limited := engine.Poll{Max: 10, Projects: []string{"mine"}, Key: "key_1"}
	poll(t, p, limited)
	yours := startOn(t, p, "yours", renders)
	mine := startOn(t, p, "mine", renders)
	require.Equal(t, engine.ReasonNoWorker, task(t, p, yours, "a").Reason, "no worker may take it")
	runs := poll(t, p, limited)
	require.Len(t, runs, 1)
	require.Equal(t, mine.ID, runs[0].Execution)
	require.Empty(t, poll(t, p, limited))
	runs = poll(t, p, engine.Poll{Worker: "all"})
	require.Len(t, runs, 1)
	require.Equal(t, yours.ID, runs[0].Execution)
}

// TestALostOfferIsRepaired: a server that dies between taking an offer and the
// claim, or before it offered, delays the task.
func TestALostOfferIsRepaired(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	fences, left, err := p.store.Take(t.Context(), engine.Shelf{Lane: "default", Type: "render"}, nil, 10)
	require.NoError(t, err)
	require.Len(t, fences, 1)
	require.Zero(t, left)
	require.Empty(t, poll(t, p, engine.Poll{}))
	sweepAll(t.Context(), t, p, c, 2*time.Second)
	waiting, err := p.store.OnOffer(t.Context(), []engine.Shelf{{Lane: "default", Type: "render"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []int{1}, waiting)
	sweepAll(t.Context(), t, p, c, 31*time.Second)
	waiting, err = p.store.OnOffer(t.Context(), []engine.Shelf{{Lane: "default", Type: "render"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []int{1}, waiting, "one that waits is left alone")
	require.Equal(t, 1, one(t, p).Dispatch)
	require.Equal(t, workflow.TaskRunning, task(t, p, x, "a").Status)
}

func TestCrashesOfAPollLoseNothing(t *testing.T) {
	t.Parallel()
	for trips := range 12 {
		for _, after := range []bool{false, true} {
			t.Run(strconv.Itoa(trips)+" "+strconv.FormatBool(after), func(t *testing.T) {
				t.Parallel()
				url, c := queuetest.URL(t), &clock{}
				p, other := newServer(t, url, c), newServer(t, url, c)
				poll(t, other, engine.Poll{Worker: "py2"})
				x := startOn(t, other, "default", renders)
				p.faults.Arm(trips, after)
				_, _ = p.Poll(t.Context(), engine.Poll{Worker: "py", Types: []string{"render"}})
				p.faults.Disarm()
				sweepAll(t.Context(), t, other, c, 2*time.Second)  // an offer that got lost
				sweepAll(t.Context(), t, other, c, 31*time.Second) // a lease that ends
				r := one(t, other)
				require.Equal(t, 1, r.Attempt)
				require.Equal(t, 1, r.Try)
				_, err := other.RemoteComplete(t.Context(), x.ID, "a", r.Token, nil)
				require.NoError(t, err)
			})
		}
	}
}

func TestGivenBackRunsWaitAgainAtOnce(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	poll(t, p, engine.Poll{})
	startOn(t, p, "default", renders)
	first := one(t, p)
	p.GiveBack(t.Context(), []engine.RemoteRun{first})
	second := one(t, p)
	require.Equal(t, 1, second.Attempt)
	require.Equal(t, 2, second.Dispatch)
}

func TestAPausedQueueGivesNothing(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	poll(t, p, engine.Poll{})
	startOn(t, p, "default", renders)
	_, err := p.PauseQueue(t.Context(), "default")
	require.NoError(t, err)
	require.Empty(t, poll(t, p, engine.Poll{}))
	_, err = p.ResumeQueue(t.Context(), "default")
	require.NoError(t, err)
	one(t, p)
}

func TestAGoWorkerIsPreferred(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	poll(t, p, engine.Poll{})
	require.NoError(t, p.Announce(t.Context(), engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"render"}}))
	x := startOn(t, p, "default", renders)
	require.Empty(t, poll(t, p, engine.Poll{}))
	f := engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1, Dispatch: 1}
	state, err := p.store.JobState(t.Context(), engine.Job{Fence: f, Queue: "default"})
	require.NoError(t, err)
	require.Equal(t, engine.JobWaiting, state)
	require.NoError(t, p.Retire(t.Context(), "w")) // only the remote one is left
	sweepAll(t.Context(), t, p, c, 2*time.Second)
	require.Equal(t, 1, one(t, p).Dispatch)
}

// TestAPollWakesForAnOffer: pollers at both servers wait, and each task wakes one
// that takes it; nobody looks without being woken.
func TestAPollWakesForAnOffer(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	procs := []*process{pumped(t, newServer(t, url, c)), pumped(t, newServer(t, url, c))}
	const tasks = 20
	for _, p := range procs {
		p.WakeOnly()
	}
	got := make(chan engine.RemoteRun, tasks)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for i := range tasks {
		wg.Go(func() {
			p := procs[i%2]
			runs, err := p.Poll(ctx, engine.Poll{Worker: "py" + strconv.Itoa(i), Types: []string{"render"}, Wait: time.Minute})
			if ctx.Err() == nil && (err != nil || len(runs) == 0) {
				t.Error("a poller was not woken", err)
			}
			for _, r := range runs {
				got <- r
			}
		})
	}
	began := time.Now()
	for _, p := range procs { // until every process knows that somebody polls
		require.Eventually(t, func() bool {
			workers, err := p.Workers(t.Context())
			return err == nil && len(workers) == tasks
		}, 20*time.Second, time.Millisecond)
	}
	for range tasks {
		startOn(t, procs[0], "default", renders)
	}
	seen := map[string]bool{}
	for range tasks {
		var r engine.RemoteRun
		select {
		case r = <-got:
		case <-time.After(time.Minute):
			require.FailNow(t, "a wake-up was lost")
		}
		require.False(t, seen[r.Execution], "two claims of one delivery")
		seen[r.Execution] = true
	}
	t.Logf("%d tasks reached %d pollers within %v", tasks, tasks, time.Since(began))
}

func TestASecretStaysOutOfAFailure(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c, func(o *engine.Options) {
		o.Secrets = func(name string) (string, error) {
			if name == "api" {
				return "hunter22", nil
			}
			return "", errors.New("there is no such secret")
		}
	})
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", `
name: w
tasks:
  - { name: a, type: render, with: { key: "${secrets.api}" } }
`)
	r := one(t, p)
	require.JSONEq(t, `{"key":"hunter22"}`, string(r.Input))
	require.JSONEq(t, `{"key":"${secrets.api}"}`, string(task(t, p, x, "a").Input))
	require.NoError(t, p.RemoteLog(t.Context(), x.ID, "a", r.Token, []engine.LogLine{{Level: engine.LogInfo, Message: "with hunter22"}}))
	lines, err := p.store.Log(t.Context(), x.ID, 0, 10)
	require.NoError(t, err)
	require.Equal(t, "with [secret]", lines[0].Message)
	again := startOn(t, p, "default", `
name: w
tasks:
  - { name: a, type: render, with: { key: "${secrets.api}" } }
`)
	said := one(t, p)
	_, err = p.RemoteComplete(t.Context(), again.ID, "a", said.Token, json.RawMessage(`{"said":"hunter22!"}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"said":"[secret]!"}`, string(task(t, p, again, "a").Output))
	_, err = p.RemoteFail(t.Context(), x.ID, "a", r.Token, workflow.Error{Code: "denied", Message: "hunter22 was refused"})
	require.NoError(t, err)
	require.Equal(t, "[secret] was refused", task(t, p, x, "a").Error.Message)
	blind := newServer(t, queuetest.URL(t), c)
	poll(t, blind, engine.Poll{})
	x = startOn(t, blind, "default", `
name: w
tasks:
  - { name: a, type: render, with: { key: "${secrets.api}" } }
`)
	require.Empty(t, poll(t, blind, engine.Poll{}), "a server without the secret fails the task itself")
	require.Equal(t, workflow.TaskFailed, task(t, blind, x, "a").Status)
}

func TestPurgeLeavesNoOffer(t *testing.T) {
	t.Parallel()
	url, c := queuetest.URL(t), &clock{}
	p := newServer(t, url, c)
	poll(t, p, engine.Poll{})
	x := startOn(t, p, "default", renders)
	_, err := p.Cancel(t.Context(), x.ID, engine.Request{})
	require.NoError(t, err)
	_, err = p.store.Offer(t.Context(), []engine.Job{{ // as a sweep that was slow does
		Fence: engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1, Dispatch: 1}, Type: "render", Queue: "default", Project: "default",
	}})
	require.NoError(t, err)
	sweepAll(t.Context(), t, p, c, machineKeep+time.Minute)
	keys, err := queuetest.Keys(t.Context(), p.store.Client(), "redrive:{r:")
	require.NoError(t, err)
	require.Empty(t, keys)
}
