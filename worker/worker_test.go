package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

func succeed(context.Context, *tasks.Job) (json.RawMessage, error) {
	return json.RawMessage(`{"ok":true}`), nil
}

func TestSuccessIsReportedAndAcknowledged(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.start(f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		return json.Marshal(job.Ref + strconv.Itoa(job.Attempt))
	}))
	for _, q := range []string{"q", "q.high", "q.low"} {
		f.send(fence(q), "work", asynq.Queue(q))
		f.waker.Notify(q)
	}
	f.eventually("all lanes are served", func() bool { return get(f.engine, func() int { return f.engine.completes }) == 3 })
	f.gone(fence("q"))
	require.Equal(t, `"q.low1"`, f.engine.outputs["q.low"])
	f.eventually("nothing is left to give signs of life for", func() bool { return w.beats.count() == 0 && len(w.slots.free) == 0 })
}

func TestFailureIsShownInAsynqAndRunRetriesIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(f.options(func(context.Context, *tasks.Job) (json.RawMessage, error) {
		return nil, tasks.Fatal("boom", "it broke")
	}))
	x := fence("a")
	f.send(x, "work")
	require.Equal(t, "redrive: boom: it broke", f.archivedWith(x))
	require.NoError(t, f.look.RunTask("q", x.JobID()))
	f.eventually("run means retry", func() bool { return get(f.engine, func() int { return f.engine.retries }) == 1 })
	f.gone(x)
	require.Equal(t, 1, f.engine.claims)
}

func TestLostAcknowledgementOfAFailureIsArchivedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(f.options(succeed))
	x := fence("a")
	f.engine.failed[x] = &workflow.Error{Code: "boom", Message: "it broke"}
	f.send(x, "work")
	require.Equal(t, "redrive: boom: it broke", f.archivedWith(x))
	require.Zero(t, f.engine.retries)
}

func TestFailureWithARetryAheadIsAcknowledged(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(f.options(func(context.Context, *tasks.Job) (json.RawMessage, error) { return nil, errors.New("later") }))
	f.send(fence("a"), "work")
	f.gone(fence("a"))
	require.Equal(t, []failReport{{failure: workflow.Error{Code: "error", Message: "later", Retryable: true}}}, f.engine.fails)
}

func TestUnresolvedInputFailsTheRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.claim = func(r *engine.Run) error {
		r.Err = &workflow.Error{Code: "expression_failed", Message: "no such key"}
		return nil
	}
	f.start(f.options(func(context.Context, *tasks.Job) (json.RawMessage, error) { panic("must not run") }))
	f.send(fence("a"), "work")
	require.Equal(t, "redrive: expression_failed: no such key", f.archivedWith(fence("a")))
}

func TestDuplicateDeliveriesRunOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var runs atomic.Int32
	f.start(f.options(func(context.Context, *tasks.Job) (json.RawMessage, error) {
		runs.Add(1)
		return nil, nil
	}))
	for i := range 20 {
		f.send(fence("a"), "work", asynq.TaskID("copy"+strconv.Itoa(i)))
	}
	f.eventually("every copy is acknowledged", func() bool {
		info, err := f.look.GetQueueInfo("q")
		return err == nil && info.Size == 0
	})
	require.EqualValues(t, 1, runs.Load())
}

func TestRefusalsAreAcknowledged(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{engine.ErrPaused, engine.ErrGone, engine.ErrStale} {
		f := newFleet(t)
		f.engine.claim = func(*engine.Run) error { return refusal }
		f.start(f.options(succeed))
		f.send(fence("a"), "work")
		f.gone(fence("a"))
		require.Zero(t, f.engine.claims)
	}
}

func TestUnknownTypeIsHandedOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(f.options(succeed))
	f.send(fence("a"), "working") // asynq's own mux would match the prefix
	f.gone(fence("a"))
	require.Equal(t, 1, f.engine.declines)
	require.Zero(t, f.engine.claims)
}

func TestForeignJobIsArchived(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(f.options(succeed))
	_, err := f.jobs.Enqueue(asynq.NewTask("work", []byte("hello")), asynq.TaskID(fence("a").JobID()), asynq.Queue("q"))
	require.NoError(t, err)
	f.waker.Notify("q")
	require.Contains(t, f.archivedWith(fence("a")), "redrive: foreign_job: ")
}

func TestPanicFailsTheRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(f.options(func(context.Context, *tasks.Job) (json.RawMessage, error) { panic("oh") }))
	f.send(fence("a"), "work")
	f.gone(fence("a"))
	require.Len(t, f.engine.fails, 1)
	require.Equal(t, tasks.CodePanic, f.engine.fails[0].failure.Code)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.timeout = 50 * time.Millisecond
	causes := make(chan error, 1)
	f.start(f.options(func(ctx context.Context, _ *tasks.Job) (json.RawMessage, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	}))
	f.send(fence("a"), "work")
	require.ErrorIs(t, <-causes, tasks.ErrTimedOut)
	f.gone(fence("a"))
	require.Len(t, f.engine.fails, 1)
	require.True(t, f.engine.fails[0].timedOut)
	require.Equal(t, tasks.CodeTimedOut, f.engine.fails[0].failure.Code)
}

// TestZombieKeepsItsSlot runs a handler that ignores its context: the timeout is
// reported at once, and nothing else runs in its slot until it returns.
func TestZombieKeepsItsSlot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.timeout = 30 * time.Millisecond
	release := make(chan struct{})
	var running, most atomic.Int32
	o := f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		if job.Ref == "zombie" {
			<-release
		}
		return nil, nil
	})
	o.Concurrency = 1
	w := f.start(o)
	f.send(fence("zombie"), "work")
	f.eventually("the timeout is reported", func() bool { return get(f.engine, func() int { return len(f.engine.fails) }) == 1 })
	f.gone(fence("zombie"))
	for i := range 5 {
		f.send(fence("next"+strconv.Itoa(i)), "work")
	}
	f.eventually("the worker counts it", func() bool { return w.zombies.Load() == 1 })
	before := w.hook.Stats().Skipped
	require.Equal(t, 1, get(f.engine, func() int { return f.engine.claims }))
	close(release)
	f.eventually("the others run", func() bool { return get(f.engine, func() int { return f.engine.completes }) == 5 })
	require.EqualValues(t, 1, most.Load())
	require.GreaterOrEqual(t, w.hook.Stats().Skipped, before)
	f.eventually("the zombie is forgotten", func() bool { return w.zombies.Load() == 0 })
}

func TestZombiesKeepAsynqFromTakingJobs(t *testing.T) {
	var calls []string
	s := newSlots(2, func() { calls = append(calls, "hold") }, func() { calls = append(calls, "resume") }, func() {})
	require.True(t, s.acquire(t.Context()))
	require.True(t, s.acquire(t.Context()))
	require.Empty(t, calls, "without zombies asynq counts for itself")
	s.adjust(1)
	s.release()
	require.True(t, s.acquire(t.Context()))
	s.adjust(-1)
	require.Equal(t, []string{"hold", "resume", "hold", "resume"}, calls)
	full, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, s.acquire(full))
}

func TestDrainingWorkerGivesJobsBackUnclaimed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w, err := New(f.options(succeed))
	require.NoError(t, err)
	require.NoError(t, w.Stop(t.Context()))
	body, err := json.Marshal(payload{V: 1, Fence: fence("a")})
	require.NoError(t, err)
	require.ErrorIs(t, w.process(t.Context(), asynq.NewTask("work", body)), errNotNow)
	require.Zero(t, f.engine.claims)
}

func TestCancellationReachesTheHandler(t *testing.T) {
	t.Parallel()
	for name, beat := range map[string]time.Duration{"by the channel": time.Hour, "by the sign of life": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			started, causes := make(chan struct{}), make(chan error, 1)
			o := f.options(func(ctx context.Context, _ *tasks.Job) (json.RawMessage, error) {
				close(started)
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return nil, nil
			})
			o.Heartbeat, o.Lease = beat, 4*beat+time.Minute
			f.start(o)
			f.send(fence("a"), "work")
			<-started
			if beat == time.Hour {
				f.engine.cancelExecution("x")
			} else {
				f.engine.mu.Lock()
				f.engine.canceled["x"] = true
				f.engine.mu.Unlock()
			}
			require.ErrorIs(t, <-causes, tasks.ErrCanceled)
			f.gone(fence("a"))
			require.Zero(t, f.engine.completes)
		})
	}
}

func TestLostLeaseCancelsTheHandler(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.heartbeat = func() error { return io.EOF }
	causes := make(chan error, 1)
	o := f.options(func(ctx context.Context, _ *tasks.Job) (json.RawMessage, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	o.Heartbeat, o.Lease = 20*time.Millisecond, 200*time.Millisecond
	f.start(o)
	f.send(fence("a"), "work")
	require.ErrorIs(t, <-causes, tasks.ErrLost)
	f.gone(fence("a"))
	require.Empty(t, f.engine.fails, "the engine runs it again by itself")
}

func TestLeaseIsGivenUpBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 10 * time.Second
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		l := newLive(&engine.Run{}, cancel, start, lease)
		time.Sleep(7 * time.Second)
		l.extend(start.Add(6 * time.Second)) // sent a second before the answer came
		l.extend(start.Add(2 * time.Second)) // a late answer to an older one changes nothing
		require.Equal(t, 9*time.Second, l.left())
		<-ctx.Done()
		require.Equal(t, 14*time.Second, time.Since(start))
		require.ErrorIs(t, context.Cause(ctx), tasks.ErrLost)
		require.Equal(t, 2*time.Second, l.left())
	})
}

func TestReportIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	left := 3
	f.engine.complete = func() error {
		if left--; left > 0 {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	f.start(f.options(succeed))
	f.send(fence("a"), "work")
	f.gone(fence("a"))
	require.Equal(t, 1, f.engine.completes)
}

func TestReportIsGivenUpWithTheLease(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.complete = func() error { return io.ErrUnexpectedEOF }
	f.engine.heartbeat = func() error { return io.ErrUnexpectedEOF }
	o := f.options(succeed)
	o.Heartbeat, o.Lease = 20*time.Millisecond, 300*time.Millisecond
	f.start(o)
	f.send(fence("a"), "work")
	f.gone(fence("a"))
	require.Zero(t, f.engine.completes)
}

func TestOutputRefusedByTheEngineIsArchived(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.complete = func() error { return &workflow.Error{Code: "output_invalid", Message: "n is missing"} }
	f.start(f.options(succeed))
	f.send(fence("a"), "work")
	require.Equal(t, "redrive: output_invalid: n is missing", f.archivedWith(fence("a")))
}

func TestRedisTroubleAtClaimIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.claim = func(*engine.Run) error { return io.EOF }
	f.start(f.options(succeed))
	f.send(fence("a"), "work")
	f.eventually("asynq retries", func() bool {
		info, err := f.look.GetTaskInfo("q", fence("a").JobID())
		return err == nil && info.State == asynq.TaskStateRetry
	})
}

func TestDrainLetsHandlersFinish(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	started, finish := make(chan struct{}), make(chan struct{})
	w, err := New(f.options(func(context.Context, *tasks.Job) (json.RawMessage, error) {
		close(started)
		<-finish
		return nil, nil
	}))
	require.NoError(t, err)
	require.NoError(t, w.Start(t.Context()))
	f.send(fence("a"), "work")
	<-started
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(context.Background()) }()
	f.eventually("the fleet sees it drain", func() bool { return get(f.engine, func() bool { return f.engine.self.Draining }) })
	f.send(fence("b"), "work")
	close(finish)
	require.NoError(t, <-stopped)
	require.Equal(t, 1, f.engine.completes, "what runs ends, what is new waits for another worker")
	require.Equal(t, 1, f.engine.claims)
	require.True(t, f.engine.retired)
	f.gone(fence("a"))
}

func TestDrainHandsBackWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var started sync.WaitGroup
	started.Add(2)
	unblock := make(chan struct{})
	defer close(unblock)
	o := f.options(func(ctx context.Context, job *tasks.Job) (json.RawMessage, error) {
		started.Done()
		if job.Ref == "deaf" {
			<-unblock
			return nil, nil
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	o.Drain = 0
	w, err := New(o)
	require.NoError(t, err)
	require.NoError(t, w.Start(t.Context()))
	f.send(fence("polite"), "work")
	f.send(fence("deaf"), "work")
	started.Wait()
	require.NoError(t, w.Stop(context.Background()))
	require.Equal(t, 2, f.engine.releases)
	require.Empty(t, f.engine.fails)
	f.gone(fence("polite"))
	f.gone(fence("deaf"))
}

func TestStopIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	started := make(chan struct{})
	w, err := New(f.options(func(ctx context.Context, _ *tasks.Job) (json.RawMessage, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	require.NoError(t, err)
	require.NoError(t, w.Start(t.Context()))
	f.send(fence("a"), "work")
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Stop(ctx), context.Canceled)
	require.NoError(t, w.Stop(context.Background()), "the rest was handed back meanwhile")
	require.Equal(t, 1, f.engine.releases)
}

func TestStartRollsBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.announce = func() error { return io.EOF }
	w, err := New(f.options(succeed))
	require.NoError(t, err)
	require.ErrorIs(t, w.Start(t.Context()), io.EOF)
	require.NoError(t, w.Stop(t.Context()))
	require.Error(t, w.Start(t.Context()))
}

// TestStartAndStopInAnyOrder starts and stops workers from many goroutines.
func TestStartAndStopInAnyOrder(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for range 10 {
		w, err := New(f.options(succeed))
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _ = w.Start(context.Background()) })
			all.Go(func() { require.NoError(t, w.Stop(context.Background())) })
		}
		all.Wait()
		require.NoError(t, w.Stop(context.Background()))
		require.Error(t, w.Start(t.Context()), "a worker starts once")
	}
}

func TestWarnsOfOtherTypesOnTheSameQueue(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.workers = []engine.Worker{
		{ID: "same", Queues: map[string]int{"q": 1}, Types: []string{"work"}},
		{ID: "elsewhere", Queues: map[string]int{"p": 1}, Types: []string{"play"}},
		{ID: "other", Queues: map[string]int{"q": 1}, Types: []string{"play"}},
	}
	var log syncBuffer
	o := f.options(succeed)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	f.start(o)
	f.eventually("the warning", func() bool { return strings.Contains(log.String(), "other=other") })
	require.Equal(t, 1, strings.Count(log.String(), "other task types"))
	require.Contains(t, log.String(), "only_here=[work] only_there=[play]")
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestValidateNamesEveryField(t *testing.T) {
	err := Options{Queues: map[string]int{"a b": 0}, Drain: -1, Heartbeat: time.Second, Lease: time.Second}.Validate()
	for _, field := range []string{"ID", "Queues", "weight", "Concurrency", "Types", "Drain", "Lease", "Engine", "Client", "Waker"} {
		require.ErrorContains(t, err, field)
	}
	_, err = New(Options{})
	require.Error(t, err)
}
