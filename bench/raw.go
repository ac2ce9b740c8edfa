package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// raw is what one writes by hand on asynq: each handler enqueues what follows
// it, joins are counted in Redis. It has no state, no fences and no history.
type raw struct {
	client *asynq.Client
	redis  *redis.Client
	server *asynq.Server
	left   atomic.Int64
	done   chan struct{}
	once   sync.Once
}

type rawJob struct {
	ID   string `json:"id"`
	Step int    `json:"step"`
	Pad  string `json:"pad"` // about the size of Redrive's payload
}

func newRaw(addr string, db int) (*raw, error) {
	r := &raw{redis: redis.NewClient(&redis.Options{Addr: addr, DB: db, PoolSize: 64}), done: make(chan struct{}, 1)}
	r.client = asynq.NewClientFromRedisClient(r.redis)
	r.server = asynq.NewServerFromRedisClient(r.redis, asynq.Config{
		Concurrency: concurrency, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc("chain", r.chain)
	mux.HandleFunc("root", r.root)
	mux.HandleFunc("leaf", r.leaf)
	mux.HandleFunc("join", func(context.Context, *asynq.Task) error { return r.end() })
	if err := r.server.Start(mux); err != nil {
		return nil, fmt.Errorf("starting raw asynq: %w", err)
	}
	return r, nil
}

func (r *raw) stop() {
	r.once.Do(func() {
		r.server.Shutdown()
		_ = r.redis.Close()
	})
}

func (r *raw) enqueue(ctx context.Context, kind string, j rawJob, id string) error {
	j.Pad = "01a206ad-f7a7-702c-9d3d-acdcbd03f477"
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	_, err = r.client.EnqueueContext(ctx, asynq.NewTask(kind, body), asynq.TaskID(id), asynq.MaxRetry(3), asynq.Timeout(time.Minute))
	return err
}

func (r *raw) end() error {
	if r.left.Add(-1) == 0 {
		r.done <- struct{}{}
	}
	return nil
}

func read(t *asynq.Task) (rawJob, error) {
	var j rawJob
	return j, json.Unmarshal(t.Payload(), &j)
}

func (r *raw) chain(ctx context.Context, t *asynq.Task) error {
	j, err := read(t)
	if err != nil {
		return err
	}
	if j.Step++; j.Step == chainLength {
		return r.end()
	}
	return r.enqueue(ctx, "chain", j, fmt.Sprintf("%s:%d", j.ID, j.Step))
}

func (r *raw) root(ctx context.Context, t *asynq.Task) error {
	j, err := read(t)
	if err != nil {
		return err
	}
	for i := range fanWidth {
		j.Step = i
		if err := r.enqueue(ctx, "leaf", j, fmt.Sprintf("%s:%d", j.ID, i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *raw) leaf(ctx context.Context, t *asynq.Task) error {
	j, err := read(t)
	if err != nil {
		return err
	}
	n, err := r.redis.Incr(ctx, "join:"+j.ID).Result()
	if err != nil || n < fanWidth {
		return err
	}
	return r.enqueue(ctx, "join", j, j.ID+":join")
}

func (r *raw) all(ctx context.Context, kind string, n int) error {
	r.left.Store(int64(n))
	for range n {
		id := uuid.NewString()
		if err := r.enqueue(ctx, kind, rawJob{ID: id}, id); err != nil {
			return err
		}
	}
	<-r.done
	return nil
}

func (r *raw) chains(ctx context.Context, n int) error { return r.all(ctx, "chain", n) }
func (r *raw) fans(ctx context.Context, n int) error   { return r.all(ctx, "root", n) }
