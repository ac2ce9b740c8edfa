package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

const lossy = `
name: w
tasks:
  - { name: a, type: noop, retry: { max_attempts: 2, delay: 1ms, jitter: 0 } }
  - { name: b, type: noop, needs: [a] }
  - { name: c, type: noop, needs: [a], if: "${tasks.a.output.v > 0}" }
  - { name: skipped, type: noop, needs: [a], if: "${tasks.a.output.v > 1}" }
  - { name: d, type: noop, needs: [b, c, skipped] }
output: { d: "${tasks.d.output.v}" }
`

// TestLostRepliesLoseNothing runs whole workflows while Redis' answers to
// scripts get lost at random after the scripts ran, and with attempts that fail.
// Everything ends well, and nothing is accepted twice.
func TestLostRepliesLoseNothing(t *testing.T) {
	t.Parallel()
	url := queuetest.URL(t)
	calm := newProcess(t, url, &clock{})
	eager := newImpatient(t, url)
	_, err := calm.Publish(t.Context(), "default", []byte(lossy), false)
	require.NoError(t, err)
	eager.faults.Lose(0.1, 7)
	var ids []string
	for range 20 {
		ids = append(ids, startSomehow(t, eager))
	}
	for _, id := range ids {
		awaitEnd(t, calm, id)
	}
	eager.faults.Lose(0, 0)
	require.Positive(t, eager.faults.Lost())
	t.Logf("%d replies got lost", eager.faults.Lost())
	for _, id := range ids {
		x, err := calm.Execution(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, workflow.ExecutionSucceeded, x.Status, "%v", x.Error)
		require.JSONEq(t, `{"d":1}`, string(x.Output))
		require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 4, workflow.TaskSkipped: 1}, x.TasksSummary)
		events, _, err := calm.History(t.Context(), id, engine.Page{Limit: 1000})
		require.NoError(t, err)
		count := map[string]int{}
		for _, e := range events {
			count[e.Type+" "+e.Ref]++
		}
		for _, ref := range []string{"a", "b", "c", "d"} {
			require.Equal(t, 1, count["task.succeeded "+ref], "results of %s that were accepted", ref)
		}
		require.Equal(t, 1, count["task.retrying a"])
		require.Equal(t, 1, count["execution.succeeded "])
		problems, err := queuetest.Audit(t.Context(), calm.store.Client(), id, map[string][]string{
			"a": nil, "b": {"a"}, "c": {"a"}, "skipped": {"a"}, "d": {"b", "c", "skipped"},
		})
		require.NoError(t, err)
		require.Empty(t, problems)
	}
}

// newImpatient is a process that also works: it claims and completes what asynq
// delivers, and its leases and sweeps are short.
func newImpatient(t *testing.T, url string) *process {
	t.Helper()
	o := queue.DefaultOptions()
	o.URL, o.Logger = url, quiet()
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	p := &process{store: store, faults: &queuetest.Faults{}}
	store.Client().AddHook(p.faults)
	eo := engine.DefaultOptions()
	eo.Store, eo.Logger = store, quiet()
	eo.Lease, eo.Sweep, eo.CrashLimit = 300*time.Millisecond, 20*time.Millisecond, 1000
	p.Engine, err = engine.New(eo)
	require.NoError(t, err)
	require.NoError(t, p.Announce(t.Context(), engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop"}}))
	pump := engine.NewPump(p.Engine)
	require.NoError(t, pump.Start(t.Context()))
	asynqClient := store.NewClient()
	server := asynq.NewServerFromRedisClient(asynqClient, asynq.Config{
		Concurrency: 8, Queues: map[string]int{"default": 1}, Logger: silent{}, TaskCheckInterval: 5 * time.Millisecond,
		DelayedTaskCheckInterval: 20 * time.Millisecond, RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
	})
	require.NoError(t, server.Start(asynq.HandlerFunc(p.handle)))
	t.Cleanup(func() {
		server.Shutdown()
		require.NoError(t, pump.Stop(context.Background()))
		require.NoError(t, asynqClient.Close())
		require.NoError(t, store.Close())
	})
	beat, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { // announcements expire after 10 s
		for {
			select {
			case <-beat.Done():
				return
			case <-time.After(2 * time.Second):
				_ = p.Announce(beat, engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop"}})
			}
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(stop)
	return p
}

func (p *process) handle(ctx context.Context, task *asynq.Task) error {
	f, err := queue.ReadJob(task)
	if err != nil {
		return err
	}
	r, err := p.Claim(ctx, f, "w")
	if errors.Is(err, engine.ErrStale) || errors.Is(err, engine.ErrPaused) || errors.Is(err, engine.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	p.running.Load().work()
	if r.Ref == "a" && r.Try == 1 {
		_, err := p.Fail(ctx, r, &workflow.Error{Code: "boom", Message: "the first try breaks", Retryable: true}, false)
		return stale(err)
	}
	return stale(p.Complete(ctx, r, json.RawMessage(`{"v":1}`)))
}

func stale(err error) error {
	if errors.Is(err, engine.ErrStale) {
		return nil
	}
	return err
}

// startSomehow starts an execution as a careful client does: again under the same key until it is answered.
func startSomehow(t *testing.T, p *process) string {
	t.Helper()
	key := t.Name() + time.Now().String()
	for {
		x, _, err := p.Start(t.Context(), "default", engine.StartRequest{Workflow: "w", IdempotencyKey: key})
		if err == nil {
			return x.ID
		}
		var e *engine.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, engine.KindUnavailable, e.Kind)
	}
}

func awaitEnd(t *testing.T, p *process, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for after := ""; ; {
		events, ended, err := p.Watch(ctx, id, after)
		require.NoError(t, err, "execution %s did not end", id)
		if ended {
			return
		}
		if len(events) > 0 {
			after = events[len(events)-1].Seq
		}
	}
}

// silent keeps asynq's log out of the tests.
type silent struct{}

func (silent) Debug(...any) {}
func (silent) Info(...any)  {}
func (silent) Warn(...any)  {}
func (silent) Error(...any) {}
func (silent) Fatal(...any) {}
