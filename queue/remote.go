package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// offersKept is the TTL of the offers of one lane and type. Sweeps renew it as
// long as a job waits there for workers that live.
const offersKept = time.Hour

func offer(project string, f engine.Fence) string { return project + " " + f.JobID() }

// Offer puts jobs where remote workers find them, in one trip; fresh is false
// where one waits already.
func (r *Redis) Offer(ctx context.Context, jobs []engine.Job) ([]bool, error) {
	cmds := make([]*redis.Cmd, len(jobs))
	err := r.pipeline(ctx, scriptOffer, func(p redis.Pipeliner) {
		for i, j := range jobs {
			keys := []string{offersKey(j.Queue, j.Type), projectOffersKey(j.Queue, j.Type, j.Project)}
			cmds[i] = scriptOffer.EvalSha(ctx, p, keys, r.offset(), offersKept.Milliseconds(), remoteTopic,
				encodeOffered(engine.Offered{Shelf: engine.Shelf{Lane: j.Queue, Type: j.Type}, Project: j.Project}), offer(j.Project, j.Fence))
		}
	})
	if err != nil {
		return nil, err
	}
	fresh := make([]bool, len(jobs))
	for i, cmd := range cmds {
		reply, err := cmd.Slice()
		if err != nil {
			return nil, unreachable(err)
		}
		fresh[i] = number(reply, 1) == 1
	}
	return fresh, nil
}

// Withdraw takes an offer back.
func (r *Redis) Withdraw(ctx context.Context, j engine.Job) error {
	keys := []string{offersKey(j.Queue, j.Type), projectOffersKey(j.Queue, j.Type, j.Project)}
	_, err := r.run(ctx, scriptWithdraw, keys, offer(j.Project, j.Fence))
	return err
}

// asynqPaused is where asynq keeps that a queue is paused: its inspector tells
// it only together with a count of everything in the queue.
func asynqPaused(lane string) string { return "asynq:{" + lane + "}:paused" }

// OnOffer counts what may be taken at each place, in one trip; 0 where the queue is paused.
func (r *Redis) OnOffer(ctx context.Context, shelves []engine.Shelf, projects []string) ([]int, error) {
	if len(shelves) == 0 {
		return nil, nil
	}
	p := r.client.Pipeline()
	paused := map[string]*redis.IntCmd{}
	cards := make([][]*redis.IntCmd, len(shelves))
	for i, at := range shelves {
		for _, key := range offerKeys(at, projects) {
			cards[i] = append(cards[i], p.ZCard(ctx, key))
		}
		if paused[at.Lane] == nil {
			paused[at.Lane] = p.Exists(ctx, asynqPaused(at.Lane))
		}
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	counts := make([]int, len(shelves))
	for i, at := range shelves {
		if paused[at.Lane].Val() > 0 {
			continue
		}
		for _, card := range cards[i] {
			counts[i] += int(card.Val())
		}
	}
	return counts, nil
}

// offerKeys are the sets to take from: that of all projects, or one of each that is named.
func offerKeys(at engine.Shelf, projects []string) []string {
	if len(projects) == 0 {
		return []string{offersKey(at.Lane, at.Type)}
	}
	keys := make([]string, len(projects))
	for i, project := range projects {
		keys[i] = projectOffersKey(at.Lane, at.Type, project)
	}
	return keys
}

// Take takes up to most jobs away from a place.
func (r *Redis) Take(ctx context.Context, at engine.Shelf, projects []string, most int) ([]engine.Fence, int, error) {
	keys := []string{offersKey(at.Lane, at.Type)}
	if len(projects) > 0 {
		keys = append(keys, offerKeys(at, projects)...)
		most = max(1, min(most, stepSize/len(projects)))
	}
	reply, err := r.run(ctx, scriptTake, keys, most)
	if err != nil {
		return nil, 0, err
	}
	var fences []engine.Fence
	for i := 2; i < len(reply); i++ {
		_, id, _ := strings.Cut(text(reply, i), " ")
		f, err := engine.ParseJobID(id)
		if err != nil { // one entry that cannot be read must not keep the others
			r.o.Logger.Error("a place of remote work holds what cannot be read", "lane", at.Lane, "type", at.Type, "error", err)
			continue
		}
		fences = append(fences, f)
	}
	return fences, int(number(reply, 1)), nil
}

// HandOut records what a remote run was given and until when it may run.
func (r *Redis) HandOut(ctx context.Context, f engine.Fence, input json.RawMessage, hash string, terms engine.Terms) (time.Time, error) {
	k := keysOf(f.Execution)
	reply, err := r.run(ctx, scriptHandOut, []string{k.tasks, k.values, k.shard.jobs},
		f.Execution, r.offset(), f.Ref, f.Attempt, f.Dispatch, stored(input), hash, terms.Timeout.Milliseconds(), terms.Lease.Milliseconds(), terms.Silence.Milliseconds())
	return time.UnixMilli(number(reply, 2)).UTC(), err
}

// Beat extends the lease of a remote run. ErrMoved when the attempt's time is up.
func (r *Redis) Beat(ctx context.Context, f engine.Fence, lease time.Duration) (time.Duration, bool, error) {
	k := keysOf(f.Execution)
	reply, err := r.run(ctx, scriptBeat, []string{k.execution, k.tasks, k.shard.jobs},
		f.Execution, r.offset(), f.Ref, f.Attempt, f.Dispatch, lease.Milliseconds())
	return time.Duration(number(reply, 1)) * time.Millisecond, number(reply, 0) == 2, err
}

// Progress keeps what a run, or a task that waits, has given so far.
func (r *Redis) Progress(ctx context.Context, f engine.Fence, progress json.RawMessage) error {
	k := keysOf(f.Execution)
	_, err := r.run(ctx, scriptProgress, []string{k.execution, k.tasks, k.values}, f.Ref, f.Attempt, f.Dispatch, stored(progress))
	return err
}

// Touch keeps a remote worker that announced itself alive for ttl.
func (r *Redis) Touch(ctx context.Context, id string, ttl time.Duration) error {
	now, err := r.Time(ctx)
	if err != nil {
		return err
	}
	// An announcement that lasts longer is left as it is, and one that is gone stays gone.
	err = r.client.ZAddArgs(ctx, remoteSeenKey, redis.ZAddArgs{
		XX: true, GT: true, Members: []redis.Z{{Score: float64(now.Add(ttl).UnixMilli()), Member: id}},
	}).Err()
	if err != nil {
		return unreachable(err)
	}
	return nil
}

// RemoteSecret answers what the tokens of remote runs are signed with; the
// first process that asks makes it.
func (r *Redis) RemoteSecret(ctx context.Context) ([]byte, error) {
	secret, err := r.client.Get(ctx, remoteSecretKey).Bytes()
	if errors.Is(err, redis.Nil) {
		fresh := make([]byte, 32)
		if _, err := rand.Read(fresh); err != nil {
			return nil, fmt.Errorf("queue: making a secret: %w", err)
		}
		if err := r.client.SetNX(ctx, remoteSecretKey, fresh, 0).Err(); err != nil {
			return nil, unreachable(err)
		}
		secret, err = r.client.Get(ctx, remoteSecretKey).Bytes() // another process may have been first
	}
	if err != nil {
		return nil, unreachable(err)
	}
	return secret, nil
}

func encodeOffered(o engine.Offered) string { return o.Lane + "\t" + o.Type + "\t" + o.Project }

// WakeRemote tells every poller to look again.
func (r *Redis) WakeRemote(ctx context.Context) error {
	if err := r.client.Publish(ctx, remoteTopic, encodeOffered(engine.Offered{})).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}

// Offers answers what is newly offered, until ctx ends. One without a lane says
// that anything may have been: messages got lost with a connection.
func (r *Redis) Offers(ctx context.Context) (<-chan engine.Offered, error) {
	sub := r.client.Subscribe(ctx, remoteTopic)
	if _, err := sub.Receive(ctx); err != nil {
		return nil, errors.Join(unreachable(err), sub.Close())
	}
	out := make(chan engine.Offered, 64)
	go func() {
		defer close(out)
		defer func() { _ = sub.Close() }()
		messages := sub.ChannelWithSubscriptions()
		for {
			var m any
			var ok bool
			select {
			case <-ctx.Done():
				return
			case m, ok = <-messages:
			}
			if !ok {
				return
			}
			var o engine.Offered
			if message, ok := m.(*redis.Message); ok {
				if parts := strings.Split(message.Payload, "\t"); len(parts) == 3 {
					o = engine.Offered{Shelf: engine.Shelf{Lane: parts[0], Type: parts[1]}, Project: parts[2]}
				}
			}
			select {
			case out <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
