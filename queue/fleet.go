package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

func (r *Redis) inspector() *asynq.Inspector { return asynq.NewInspectorFromRedisClient(r.client) }

// JobState answers what asynq knows of a job.
func (r *Redis) JobState(ctx context.Context, j engine.Job) (engine.JobState, error) {
	info, err := r.inspector().GetTaskInfo(j.Queue, j.JobID())
	if errors.Is(err, asynq.ErrQueueNotFound) { // a job may wait in a queue that asynq's list has lost
		if err := r.KeepQueues(ctx, []string{j.Queue}); err != nil {
			return "", err
		}
		info, err = r.inspector().GetTaskInfo(j.Queue, j.JobID())
	}
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound), errors.Is(err, asynq.ErrTaskNotFound):
		return engine.JobGone, nil
	case err != nil:
		return "", unreachable(err)
	}
	switch info.State {
	case asynq.TaskStateArchived:
		return engine.JobArchived, nil
	case asynq.TaskStateActive:
		return engine.JobDelivered, nil
	case asynq.TaskStateCompleted:
		return engine.JobGone, nil
	}
	return engine.JobWaiting, nil
}

// DeleteJob removes a job from asynq unless it is being delivered.
func (r *Redis) DeleteJob(_ context.Context, j engine.Job) error {
	err := r.inspector().DeleteTask(j.Queue, j.JobID())
	if err == nil || errors.Is(err, asynq.ErrQueueNotFound) || errors.Is(err, asynq.ErrTaskNotFound) {
		return nil
	}
	return fmt.Errorf("queue: deleting job %s: %w", j.JobID(), err)
}

// Announce says that a worker lives, for ttl.
func (r *Redis) Announce(ctx context.Context, w engine.Worker, ttl time.Duration) error {
	b, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("queue: encoding worker %s: %w", w.ID, err)
	}
	now := w.SeenAt.UnixMilli()
	k := fleetKeysOf(w.Remote)
	_, err = r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, k.workers, w.ID, string(b))
		p.ZAdd(ctx, k.seen, redis.Z{Score: float64(now + ttl.Milliseconds()), Member: w.ID})
		return nil
	})
	if err != nil {
		return unreachable(err)
	}
	return nil
}

// Retire removes a worker's announcement.
func (r *Redis) Retire(ctx context.Context, id string) error {
	return r.retire(ctx, fleetKeysOf(false), id)
}

// fleetKeys are where one kind of workers is announced. Remote workers choose
// their ids themselves, and must not take the place of a worker process.
type fleetKeys struct{ workers, seen string }

func fleetKeysOf(remote bool) fleetKeys {
	if remote {
		return fleetKeys{remoteWorkersKey, remoteSeenKey}
	}
	return fleetKeys{workersKey, seenKey}
}

func (r *Redis) retire(ctx context.Context, k fleetKeys, id string) error {
	_, err := r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HDel(ctx, k.workers, id)
		p.ZRem(ctx, k.seen, id)
		return nil
	})
	if err != nil {
		return unreachable(err)
	}
	return nil
}

// Time is Redis' clock.
func (r *Redis) Time(ctx context.Context) (time.Time, error) {
	t, err := r.client.Time(ctx).Result()
	if err != nil {
		return time.Time{}, unreachable(err)
	}
	return t.Add(time.Duration(r.offset()) * time.Millisecond), nil
}

// forgetWorker is how long an expired announcement is kept: its worker may only be slow.
const forgetWorker = time.Minute

// Workers answers the live workers, and forgets those that have been gone for long.
func (r *Redis) Workers(ctx context.Context) ([]engine.Worker, error) {
	now, err := r.Time(ctx)
	if err != nil {
		return nil, err
	}
	all, err := r.workers(ctx, fleetKeysOf(false), now)
	if err != nil {
		return nil, err
	}
	remote, err := r.workers(ctx, fleetKeysOf(true), now)
	return append(all, remote...), err
}

func (r *Redis) workers(ctx context.Context, k fleetKeys, now time.Time) ([]engine.Worker, error) {
	seen, err := r.client.ZRangeWithScores(ctx, k.seen, 0, -1).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	if len(seen) == 0 {
		return nil, nil
	}
	till := map[string]time.Time{}
	for _, z := range seen {
		id, _ := z.Member.(string)
		till[id] = time.UnixMilli(int64(z.Score))
		if now.Sub(till[id]) > forgetWorker {
			if err := r.retire(ctx, k, id); err != nil {
				return nil, err
			}
		}
	}
	all, err := readAll[engine.Worker](ctx, r, k.workers)
	all = slices.DeleteFunc(all, func(w engine.Worker) bool { return till[w.ID].Before(now) })
	slices.SortFunc(all, func(a, b engine.Worker) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}

// lanes are the asynq queues that a queue consists of.
var lanes = []string{"", ".high", ".low"}

// Queues answers asynq's queues with their lanes added up, by name.
func (r *Redis) Queues(ctx context.Context) ([]engine.Queue, error) {
	names, err := r.inspector().Queues()
	if err != nil {
		return nil, unreachable(err)
	}
	byName := map[string]*engine.Queue{}
	for _, name := range names {
		info, err := r.inspector().GetQueueInfo(name)
		if errors.Is(err, asynq.ErrQueueNotFound) {
			continue
		}
		if err != nil {
			return nil, unreachable(err)
		}
		base := strings.TrimSuffix(strings.TrimSuffix(name, ".high"), ".low")
		q := byName[base]
		if q == nil {
			q = &engine.Queue{Name: base}
			byName[base] = q
		}
		q.Paused = q.Paused || info.Paused
		q.Pending += info.Pending
		q.Active += info.Active
		q.Scheduled += info.Scheduled
		q.Retry += info.Retry
		q.Archived += info.Archived
		q.Latency = max(q.Latency, info.Latency)
	}
	all := make([]engine.Queue, 0, len(byName))
	for _, q := range byName {
		all = append(all, *q)
	}
	slices.SortFunc(all, func(a, b engine.Queue) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// SetQueuePaused pauses or resumes every lane of a queue.
func (r *Redis) SetQueuePaused(ctx context.Context, name string, paused bool) error {
	queues, err := r.Queues(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(queues, func(q engine.Queue) bool { return q.Name == name }) {
		return engine.NotFound("queue", name)
	}
	for _, lane := range lanes {
		var err error
		if paused {
			err = r.inspector().PauseQueue(name + lane)
		} else {
			err = r.inspector().UnpauseQueue(name + lane)
		}
		// asynq refuses to pause what is paused and to resume what is not; what counts is how it is now.
		info, look := r.inspector().GetQueueInfo(name + lane)
		if errors.Is(look, asynq.ErrQueueNotFound) {
			continue
		}
		if look != nil || info.Paused != paused {
			return unreachable(errors.Join(err, look))
		}
	}
	return nil
}

// asynqQueues is the one key of asynq that is repaired from outside: asynq's
// clients add a queue to it once in their life, and DeleteQueue removes it.
const asynqQueues = "asynq:queues"

// KeepQueues makes sure that asynq lists the queues.
func (r *Redis) KeepQueues(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	members := make([]any, len(names))
	for i, n := range names {
		members[i] = n
	}
	if err := r.client.SAdd(ctx, asynqQueues, members...).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}

// PublishCancel tells every worker that an execution's tasks were superseded.
func (r *Redis) PublishCancel(ctx context.Context, execution string) error {
	if err := r.client.Publish(ctx, cancelTopic, execution).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}

// Cancellations answers the executions that PublishCancel names, until ctx ends.
func (r *Redis) Cancellations(ctx context.Context) (<-chan string, error) {
	sub := r.client.Subscribe(ctx, cancelTopic)
	if _, err := sub.Receive(ctx); err != nil {
		return nil, errors.Join(unreachable(err), sub.Close())
	}
	out := make(chan string, 64)
	go func() {
		defer close(out)
		defer func() { _ = sub.Close() }()
		messages := sub.Channel()
		for {
			select {
			case <-ctx.Done():
				return
			case m, ok := <-messages:
				if !ok {
					return
				}
				select {
				case out <- m.Payload:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}
