package queue_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
)

// aheadFleet is an asynq server that takes jobs ahead, whatever its handlers do,
// and whose handlers wait to be let go.
type aheadFleet struct {
	*bench
	claims *queue.Claims
	hook   *queue.WakeHook
	look   *asynq.Inspector
	id     string
	begun  chan string   // job ids whose handler began
	let    chan struct{} // lets one handler end
	stop   func()
}

func newAheadFleet(t *testing.T, concurrency int, wait time.Duration) *aheadFleet {
	t.Helper()
	return newAheadFleetAt(t, queuetest.URL(t), concurrency, wait)
}

func newAheadFleetAt(t *testing.T, url string, concurrency int, wait time.Duration) *aheadFleet {
	t.Helper()
	f := &aheadFleet{bench: newBench(t, url, func(o *queue.Options) { o.Embedded = strings.HasSuffix(t.Name(), "/embedded") }), begun: make(chan string, 100), let: make(chan struct{}, 100)}
	f.look = asynq.NewInspectorFromRedisClient(f.Client())
	require.NoError(t, f.KeepQueues(t.Context(), []string{"default"}))
	f.claims = f.Claims("w", lease)
	f.claims.TakeAhead(func() int { return 8 }, f.release)
	f.claims.SetPace(time.Hour, wait)
	for range 16 {
		f.claims.Ended()
	}
	waker := queue.NewWaker(f.Client(), nil)
	require.NoError(t, waker.Start(t.Context()))
	f.UseWaker(waker)
	client := f.NewClient()
	f.hook = waker.Hook([]string{"default"})
	f.hook.Claim(f.claims)
	client.AddHook(f.hook)
	server := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: concurrency, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel})
	require.NoError(t, server.Start(asynq.HandlerFunc(f.handle)))
	f.stop = func() {
		f.hook.Stop()
		server.Shutdown()
		f.claims.Close()
		require.NoError(t, waker.Stop(context.Background()))
		require.NoError(t, client.Close())
	}
	return f
}

func (f *aheadFleet) handle(ctx context.Context, task *asynq.Task) error {
	id, _ := asynq.GetTaskID(ctx)
	f.begun <- id
	<-f.let
	fence, err := queue.ReadJob(task)
	if err != nil {
		return err
	}
	if _, err := f.Claim(ctx, fence, "w", lease, 0, nil); err != nil {
		return err
	}
	_, err = f.Complete(ctx, resultOf(fence))
	return err
}

func (f *aheadFleet) release(x engine.Fence) {
	next, relay, err := f.Redispatch(context.Background(), x, engine.WhyRelease, time.Minute)
	if err != nil || !relay {
		f.t.Errorf("releasing %s: %v, relay %t", x.JobID(), err, relay)
		return
	}
	if _, err := f.Relay(context.Background(), jobsOf([]engine.Fence{next})); err != nil {
		f.t.Error(err)
	}
}

// send sends out the jobs of n tasks t0, t1 ... of one execution, and others behind them.
func (f *aheadFleet) send(n int, others ...func()) {
	f.t.Helper()
	var refs []engine.NewTask
	var roots []engine.Successor
	var fences []engine.Fence
	id, err := uuid.NewV7()
	require.NoError(f.t, err)
	f.id = id.String()
	for i := range n {
		ref := fmt.Sprintf("t%d", i)
		refs, roots = append(refs, engine.NewTask{Ref: ref}), append(roots, engine.Successor{Ref: ref})
		fences = append(fences, fenceOf(f.id, ref))
	}
	_, created, err := f.Create(f.t.Context(), engine.NewExecution{
		Execution: engine.Execution{ID: f.id, Project: "default", Workflow: "w", Version: 1, DefinitionHash: "h", Input: []byte(`{}`), Root: f.id},
		Tasks:     refs, Roots: roots,
	})
	require.NoError(f.t, err)
	require.True(f.t, created)
	f.hook.Hold() // until all is there
	f.eventually("the server waits", f.hook.Waits)
	_, err = f.Relay(f.t.Context(), jobsOf(fences))
	require.NoError(f.t, err)
	for _, other := range others {
		other()
	}
	f.hook.Resume()
}

func (f *aheadFleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	require.Eventually(f.t, ok, 30*time.Second, 2*time.Millisecond, what)
}

// requireBack awaits that the tasks go out again under their next dispatch, and
// that nothing is left of their former jobs.
func (f *aheadFleet) requireBack(refs ...string) {
	f.t.Helper()
	f.eventually("jobs are back", func() bool {
		recs, err := f.Records(f.t.Context(), f.id, refs)
		return err == nil && !slices.ContainsFunc(refs, func(r string) bool {
			next := engine.Fence{Execution: f.id, Ref: r, Attempt: 1, Dispatch: 2}
			info, err := f.look.GetTaskInfo("default", next.JobID())
			_, former := f.look.GetTaskInfo("default", fenceOf(f.id, r).JobID())
			return recs[r].Status != "queued" || recs[r].Dispatch != 2 || err != nil || info.State != asynq.TaskStatePending || former == nil
		})
	})
}

func (f *aheadFleet) requireSucceeded(refs ...string) {
	f.t.Helper()
	f.eventually("all succeed", func() bool {
		recs, err := f.Records(f.t.Context(), f.id, refs)
		return err == nil && !slices.ContainsFunc(refs, func(r string) bool { return recs[r].Status != "succeeded" })
	})
	needs := map[string][]string{}
	for _, r := range refs {
		needs[r] = nil
	}
	problems, err := queuetest.Audit(f.t.Context(), f.Client(), f.id, needs)
	require.NoError(f.t, err)
	require.Empty(f.t, problems)
}

func (f *aheadFleet) letGo(n int) {
	for range n {
		f.let <- struct{}{}
	}
}

func TestOneDequeueTakesManyJobs(t *testing.T) {
	t.Parallel()
	for kind, url := range map[string]func(*testing.T) string{"standalone": func(t *testing.T) string { return queuetest.URL(t) }, "embedded": embedded} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newAheadFleetAt(t, url(t), 10, time.Minute)
			f.send(10)
			f.eventually("all run", func() bool { return len(f.begun) == 10 })
			require.Less(t, f.hook.Stats().Asked, int64(10), "one dequeue each would be ten")
			f.letGo(10)
			f.requireSucceeded("t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9")
			f.stop()
			require.Empty(t, f.claims.Left())
		})
	}
}

func TestSlowWorkIsTakenOneByOne(t *testing.T) {
	t.Parallel()
	f := newAheadFleet(t, 1, time.Minute)
	f.claims.SetPace(0, time.Minute)
	f.send(5)
	<-f.begun
	require.Zero(t, f.claims.Ahead())
	require.Len(t, f.pending(), 4, "they are there for other workers")
	f.letGo(5)
	f.requireSucceeded("t0", "t1", "t2", "t3", "t4")
	f.stop()
}

func (f *aheadFleet) pending() []string {
	f.t.Helper()
	tasks, err := f.look.ListPendingTasks("default")
	require.NoError(f.t, err)
	var ids []string
	for _, task := range tasks {
		ids = append(ids, task.ID)
	}
	return ids
}

// What a stopping worker took ahead goes to the others at once, and not when its handlers or leases end.
func TestJobsTakenAheadGoBackWhenTheServerStops(t *testing.T) {
	t.Parallel()
	f := newAheadFleet(t, 1, time.Minute)
	f.send(5)
	require.Equal(t, fenceOf(f.id, "t0").JobID(), <-f.begun)
	require.Equal(t, 4, f.claims.Ahead())
	f.hook.Stop()
	f.claims.PutBack()
	f.requireBack("t1", "t2", "t3", "t4")
	require.Len(t, f.pending(), 4)
	active, err := f.look.ListActiveTasks("default")
	require.NoError(t, err)
	require.Len(t, active, 1)
	f.letGo(1)
	f.stop()
	require.Empty(t, f.claims.Left())
	f.requireBack("t1", "t2", "t3", "t4")
}

// A worker whose handlers are all taken, against what it thought, keeps nothing back from others for long.
func TestJobsTakenAheadThatWaitGoBack(t *testing.T) {
	t.Parallel()
	f := newAheadFleet(t, 1, time.Millisecond)
	f.send(5)
	<-f.begun
	f.requireBack("t1", "t2", "t3", "t4")
	f.letGo(20)
	f.requireSucceeded("t0", "t1", "t2", "t3", "t4")
	f.stop()
}

func TestJobsTakenAheadGoBackWhenTheServerHolds(t *testing.T) {
	t.Parallel()
	f := newAheadFleet(t, 2, time.Minute)
	f.send(5)
	<-f.begun
	<-f.begun
	f.hook.Hold()
	f.letGo(1) // asynq asks for another one
	f.requireBack("t2", "t3", "t4")
	f.hook.Resume()
	f.letGo(20)
	f.requireSucceeded("t0", "t1", "t2", "t3", "t4")
	f.stop()
}

// A job that is not ours, or stale, goes back as it was.
func TestOtherJobsTakenAheadGoBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for what, id := range map[string]string{"foreign": "not ours", "stale": "01a206ad-f7a7-702c-9d3d-acdcbd03f477:a:1:1"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newAheadFleet(t, 1, time.Minute)
			enqueue := func(id string) {
				_, err := asynq.NewClientFromRedisClient(f.Client()).Enqueue(asynq.NewTask("other", []byte("x")), asynq.TaskID(id), asynq.MaxRetry(7))
				require.NoError(t, err)
			}
			f.send(2, func() { enqueue(id) }, func() { enqueue("behind") })
			<-f.begun
			require.Equal(t, 2, f.claims.Ahead(), "nothing is taken behind a job that was not granted")
			f.hook.Stop()
			f.claims.PutBack()
			f.requireBack("t1")
			info, err := f.look.GetTaskInfo("default", id)
			require.NoError(t, err)
			require.Equal(t, asynq.TaskStatePending, info.State)
			require.Equal(t, 7, info.MaxRetry)
			require.Zero(t, info.Retried)
			f.letGo(1)
			f.stop()
		})
	}
}

// lateAnswers holds up the answer of the next dequeue that finds something.
type lateAnswers struct{ arrived, open chan struct{} }

func (l *lateAnswers) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (l *lateAnswers) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); err == nil && len(args) > 3 && args[3] == "asynq:{default}:pending" {
			close(l.arrived)
			<-l.open
		}
		return err
	}
}

func (l *lateAnswers) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestJobsThatArriveAfterTheStopGoBack(t *testing.T) {
	t.Parallel()
	f := newAheadFleet(t, 1, time.Minute)
	late := &lateAnswers{make(chan struct{}), make(chan struct{})}
	f.Client().AddHook(late)
	f.send(3)
	<-late.arrived
	f.hook.Stop()
	f.claims.PutBack()
	require.Zero(t, f.claims.Ahead())
	close(late.open)
	f.requireBack("t1", "t2")
	f.letGo(1)
	f.stop()
}
