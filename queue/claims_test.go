package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
)

// claimFleet is an asynq server whose dequeues claim and whose acknowledgements go in batches.
func claimFleet(t *testing.T, store *queue.Redis, claims *queue.Claims, handle asynq.HandlerFunc) (stop func()) {
	t.Helper()
	waker := queue.NewWaker(store.Client(), nil)
	require.NoError(t, waker.Start(t.Context()))
	store.UseWaker(waker)
	client := store.NewClient()
	hook := waker.Hook([]string{"default"})
	hook.Claim(claims)
	acks := queue.NewAcks(store.Client(), nil)
	client.AddHook(hook)
	client.AddHook(acks)
	server := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: 4, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel})
	acks.Start()
	require.NoError(t, server.Start(handle))
	return func() {
		hook.Stop()
		server.Shutdown()
		acks.Stop()
		require.NoError(t, waker.Stop(context.Background()))
		require.NoError(t, client.Close())
	}
}

func TestDequeueClaims(t *testing.T) {
	t.Parallel()
	o := queue.DefaultOptions()
	o.URL = queuetest.URL(t)
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	claims := store.Claims("w", 10*time.Second)
	require.NotNil(t, claims)
	const id, jobs = "01a206ad-f7a7-702c-9d3d-acdcbd03f477", 20
	refs, roots := []engine.NewTask{}, []engine.Successor{}
	for i := range jobs {
		ref := "t" + string(rune('a'+i))
		refs, roots = append(refs, engine.NewTask{Ref: ref}), append(roots, engine.Successor{Ref: ref})
	}
	settled, created, err := store.Create(t.Context(), engine.NewExecution{
		Execution: engine.Execution{ID: id, Number: 1, Project: "default", Workflow: "w", DefinitionHash: "h", Priority: 5, Input: []byte(`{"a":1}`), Root: id},
		Tasks:     refs, Roots: roots,
	})
	require.NoError(t, err)
	require.True(t, created)

	var granted, refused, foreign atomic.Int64
	done := make(chan struct{}, 2*jobs)
	stop := claimFleet(t, store, claims, func(ctx context.Context, task *asynq.Task) error {
		defer func() { done <- struct{}{} }()
		f, err := queue.ReadJob(task)
		if err != nil {
			foreign.Add(1)
			return nil
		}
		before, err := store.Records(ctx, id, []string{f.Ref})
		if err != nil || before[f.Ref].Status != "running" {
			t.Errorf("task %s is %s when its handler begins, and was claimed with its dequeue: %v", f.Ref, before[f.Ref].Status, err)
		}
		c, err := store.Claim(ctx, f, "w", time.Second, 0, nil)
		if err != nil {
			refused.Add(1)
			return nil
		}
		granted.Add(1)
		if c.Try != 1 || c.Document != nil || time.Since(c.Sent) > time.Minute {
			t.Errorf("claim of %s: %+v", f.Ref, c)
		}
		if _, err := store.Claim(ctx, f, "w", time.Second, 0, nil); err == nil {
			t.Errorf("task %s was claimed twice", f.Ref)
		}
		return nil
	})
	sent, err := store.Relay(t.Context(), jobsOf(settled.Relay))
	require.NoError(t, err)
	require.Len(t, sent, jobs)
	client := asynq.NewClientFromRedisClient(store.Client())
	_, err = client.Enqueue(asynq.NewTask("other", []byte("x")), asynq.TaskID("not ours"))
	require.NoError(t, err)
	for range jobs + 1 {
		<-done
	}
	stop()
	require.EqualValues(t, jobs, granted.Load())
	require.Zero(t, refused.Load())
	require.EqualValues(t, 1, foreign.Load())
	require.Empty(t, claims.Left())
	info, err := asynq.NewInspectorFromRedisClient(store.Client()).GetQueueInfo("default")
	require.NoError(t, err)
	require.Zero(t, info.Size, "every job was acknowledged: %+v", info)
	require.Equal(t, jobs+1, info.Processed)
}

func jobsOf(fences []engine.Fence) []engine.Job {
	all := make([]engine.Job, len(fences))
	for i, f := range fences {
		all[i] = engine.Job{Fence: f, Type: "x", Queue: "default", Timeout: time.Minute}
	}
	return all
}
