package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// BeginTask begins a task that no worker runs, with the last part of what it holds.
func (r *Redis) BeginTask(ctx context.Context, id string, b engine.Begin) (engine.Settled, error) {
	status, window := workflow.TaskRunning, ""
	if b.Waiting {
		status = workflow.TaskWaiting
	}
	if b.Parallel > 0 {
		window = fmt.Sprintf("%d %s %d", b.Parallel, mode(engine.Successor{Decide: b.Decide}), b.Turns)
	}
	missing := ""
	if b.Missing {
		missing = "1"
	}
	args := []any{
		id, r.offset(), b.Ref, b.Epoch, string(status), stored(b.Input), b.InputHash, strings.TrimSpace(b.Child + " " + b.Plan), b.Size,
		wake(b), milliseconds(b.Limit), window, missing, stored(b.Keys), encodeError(b.Failure),
	}
	args = withInside(args, b.Part)
	args = append(args, len(b.Roots))
	for _, s := range b.Roots {
		args = append(args, s.Ref, mode(s))
	}
	reply, err := r.run(ctx, scriptOpen, keysOf(id).settle(), args...)
	return settled(id, reply), err
}

func wake(b engine.Begin) string {
	switch {
	case !b.WakeAt.IsZero():
		return "@" + strconv.FormatInt(b.WakeAt.UnixMilli(), 10)
	case b.Wakes:
		return "+" + strconv.FormatInt(b.Wake.Milliseconds(), 10)
	}
	return ""
}

func withInside(args []any, p engine.Part) []any {
	args = append(args, len(p.Tasks))
	var preds []any
	for _, t := range p.Tasks {
		args = append(args, t.Ref, stored(t.Context))
		if len(t.Needs) < 2 {
			continue
		}
		waits := t.Waits
		if waits == nil {
			waits = t.Needs
		}
		preds = append(preds, "#"+t.Ref, len(waits))
		for _, need := range waits {
			preds = append(preds, t.Ref+" "+need, 1)
		}
	}
	args = append(args, bit(p.Items), p.First, len(preds)/2)
	return append(args, preds...)
}

// Grow writes a part of what a task holds that is about to begin.
func (r *Redis) Grow(ctx context.Context, id, ref string, epoch int, p engine.Part) error {
	_, err := r.run(ctx, scriptGrow, keysOf(id).settle(), withInside([]any{id, r.offset(), ref, epoch}, p)...)
	return err
}

// Reset makes up to 500 tasks that ended, inside one that is about to begin again, ready to be reached again.
func (r *Redis) Reset(ctx context.Context, id, holder string, epoch int, refs []string) error {
	args := []any{id, r.offset(), holder, epoch}
	for _, ref := range refs {
		args = append(args, ref)
	}
	_, err := r.run(ctx, scriptReset, keysOf(id).settle(), args...)
	return err
}

// Widen sets up to 500 more items of a for_each in motion.
func (r *Redis) Widen(ctx context.Context, id, ref string, epoch int) (engine.Settled, error) {
	reply, err := r.run(ctx, scriptWiden, keysOf(id).settle(), id, r.offset(), ref, epoch)
	return settled(id, reply), err
}

// Again begins the next iteration of a loop.
func (r *Redis) Again(ctx context.Context, id, ref string, epoch, attempt, ended int) error {
	_, err := r.run(ctx, scriptAgain, keysOf(id).settle(), id, r.offset(), ref, epoch, attempt, ended)
	return err
}

// CloseTask ends a task without a worker's result.
func (r *Redis) CloseTask(ctx context.Context, id string, c engine.Close) (engine.Settled, error) {
	from := make([]string, len(c.From))
	for i, s := range c.From {
		from[i] = string(s)
	}
	statuses := " " + strings.Join(from, " ") + " "
	epoch, attempt := any(""), any("")
	if c.Epoch >= 0 {
		epoch = c.Epoch
	}
	if c.Attempt > 0 {
		attempt = c.Attempt
	}
	args := []any{
		id, r.offset(), c.Ref, epoch, attempt, statuses, string(c.When), string(c.To), stored(c.Output), encodeError(c.Error),
		string(c.OnFailure), oneLine(c.By), oneLine(c.Reason), bit(c.Simple), r.o.Retention.Milliseconds(),
	}
	reply, err := r.run(ctx, scriptClose, keysOf(id).settle(), withSuccessors(args, c.Successors)...)
	switch {
	case errors.Is(err, engine.ErrStale):
		return engine.Settled{}, &engine.TaskStatusError{Ref: c.Ref, Status: text(reply, 1)}
	case errors.Is(err, engine.ErrMoved) && number(reply, 1) > 0:
		return engine.Settled{}, notDue(reply)
	}
	return settled(id, reply), err
}

// CutOff marks a task that holds others, or a sub-workflow: its time is over, or an operator says how it ends.
func (r *Redis) CutOff(ctx context.Context, f engine.Fence, hand json.RawMessage) error {
	k := keysOf(f.Execution)
	reply, err := r.run(ctx, scriptCutOff, []string{k.execution, k.tasks, k.open, k.shard.decide, k.shard.timers},
		f.Execution, r.offset(), f.Ref, f.Attempt, string(hand))
	if errors.Is(err, engine.ErrMoved) {
		return notDue(reply)
	}
	return err
}

// Expire begins the end of an execution whose deadline, or whose pause's deadline, passed.
func (r *Redis) Expire(ctx context.Context, id string, kind engine.TimerKind, failure *workflow.Error) error {
	k := keysOf(id)
	reply, err := r.run(ctx, scriptExpire, []string{k.execution, k.values, k.events, k.shard.decide, k.shard.timers, k.shard.index},
		id, r.offset(), string(kind), encodeError(failure))
	if errors.Is(err, engine.ErrMoved) {
		return notDue(reply)
	}
	return err
}

// Made says that the sub-execution of a task is there; *StatusError when it ended already, ErrGone when it is not there,
// ErrMoved when the task is to end, or waits for another one.
func (r *Redis) Made(ctx context.Context, id, ref, child string) error {
	if shardOf(id) != shardOf(child) {
		return fmt.Errorf("queue: %s and its sub-execution %s are in different shards", id, child)
	}
	_, err := r.run(ctx, scriptMade, []string{keysOf(child).execution, keysOf(id).open, keysOf(id).tasks}, ref, child)
	return err
}

// Postpone puts off the timer of a wait in a paused execution; ErrMoved when that is not paused.
func (r *Redis) Postpone(ctx context.Context, kind engine.TimerKind, f engine.Fence, again time.Duration) error {
	k := keysOf(f.Execution)
	timer := fmt.Sprintf("%s:%s:%s:%d", kind, f.Execution, f.Ref, f.Attempt)
	_, err := r.run(ctx, scriptPostpone, []string{k.execution, k.shard.timers}, r.offset(), timer, again.Milliseconds())
	return err
}

// Dismiss takes an entry off the agenda that asks for nothing.
func (r *Redis) Dismiss(ctx context.Context, id, entry string) error {
	k := keysOf(id)
	_, err := r.run(ctx, scriptDismiss, []string{k.tasks, k.open}, entry)
	return err
}

// Cascaded says that a pause or resume reached the sub-executions.
func (r *Redis) Cascaded(ctx context.Context, id string, op engine.Operation) error {
	_, err := r.run(ctx, scriptCascaded, []string{keysOf(id).execution}, string(op))
	return err
}

// Children answers the ids of an execution's sub-executions.
func (r *Redis) Children(ctx context.Context, id string) ([]string, error) {
	ids, err := r.client.SMembers(ctx, keysOf(id).children).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	return ids, nil
}

// Item answers what the expressions of an item see of it; nil when it is not there.
func (r *Redis) Item(ctx context.Context, id, ref string) (*workflow.Item, error) {
	s, err := r.client.HGet(ctx, keysOf(id).values, "m:"+ref).Result()
	if isNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreachable(err)
	}
	var item workflow.Item
	if err := json.Unmarshal(raw(s), &item); err != nil {
		return nil, fmt.Errorf("queue: item %s of %s cannot be read: %w", ref, id, err)
	}
	return &item, nil
}

// Rests reports whether nothing in a task moves, and Go was asked how it goes on.
func (r *Redis) Rests(ctx context.Context, id, ref string) (bool, error) {
	k := keysOf(id)
	p := r.client.TxPipeline()
	open, moving := p.SIsMember(ctx, k.open, ref), p.HGet(ctx, k.holders, ref)
	if _, err := p.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return false, unreachable(err)
	}
	return open.Val() && (moving.Val() == "" || moving.Val() == "0"), nil
}

// ItemKeys answers the keys of the items of for_each tasks, in order; nil for one that did not begin.
func (r *Redis) ItemKeys(ctx context.Context, id string, refs []string) ([][]string, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	fields := make([]string, len(refs))
	for i, ref := range refs {
		fields[i] = "k:" + ref
	}
	v, err := r.client.HMGet(ctx, keysOf(id).values, fields...).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	all := make([][]string, len(refs))
	for i, ref := range refs {
		if s := text(v, i); s != "" {
			if err := json.Unmarshal(raw(s), &all[i]); err != nil {
				return nil, fmt.Errorf("queue: the keys of %s of %s cannot be read: %w", ref, id, err)
			}
		}
	}
	return all, nil
}

// outputsAtATime is how many outputs are read in one command.
const outputsAtATime = 1000

// Outputs answers the outputs of tasks, nil where there is none; no more than limit bytes, else ErrTooLarge.
func (r *Redis) Outputs(ctx context.Context, id string, refs []string, limit int) ([]json.RawMessage, error) {
	all := make([]json.RawMessage, 0, len(refs))
	size := 0
	for from := 0; from < len(refs); from += outputsAtATime {
		part := refs[from:min(from+outputsAtATime, len(refs))]
		fields := make([]string, len(part))
		for i, ref := range part {
			fields[i] = "o:" + ref
		}
		v, err := r.client.HMGet(ctx, keysOf(id).values, fields...).Result()
		if err != nil {
			return nil, unreachable(err)
		}
		for i := range part {
			out := raw(text(v, i))
			if size += len(out); size > limit {
				return nil, engine.ErrTooLarge
			}
			all = append(all, out)
		}
	}
	return all, nil
}
