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

// writerGrace is how long the process that wrote an execution has to decide or
// to index what follows from it, before a sweep does.
const writerGrace = time.Second

// Lead takes or keeps the lead over a group of shards.
func (r *Redis) Lead(ctx context.Context, group int, owner string, ttl time.Duration) (bool, error) {
	reply, err := r.run(ctx, scriptLead, []string{leadKey(group)}, owner, ttl.Milliseconds())
	return number(reply, 1) == 1, err
}

// Resign gives up the lead over a group of shards.
func (r *Redis) Resign(ctx context.Context, group int, owner string) error {
	_, err := r.run(ctx, scriptLead, []string{leadKey(group)}, owner, 0)
	return err
}

// Due reads what shards have to do now, and which timers end within ahead.
func (r *Redis) Due(ctx context.Context, list []int, ahead time.Duration, limit int) ([]engine.Due, error) {
	cmds := make([]*redis.Cmd, len(list))
	err := r.pipeline(ctx, scriptSweep, func(p redis.Pipeliner) {
		for i, shard := range list {
			k := shards[shard]
			cmds[i] = scriptSweep.EvalSha(ctx, p, []string{k.jobs, k.timers, k.decide, k.index, k.expire, k.building},
				r.offset(), ahead.Milliseconds(), limit, writerGrace.Milliseconds())
		}
	})
	if err != nil {
		return nil, err
	}
	all := make([]engine.Due, len(list))
	for i, cmd := range cmds {
		reply, err := cmd.Slice()
		if err != nil {
			return nil, unreachable(err)
		}
		// One entry that cannot be read must not keep the others from being done.
		if all[i], err = decodeDue(reply); err != nil {
			r.o.Logger.Error("the agenda of a shard holds what cannot be read", "shard", list[i], "error", err)
		}
	}
	return all, nil
}

func decodeDue(reply []any) (engine.Due, error) {
	now := number(reply, 0)
	d := engine.Due{Now: time.UnixMilli(now), Live: number(reply, 1) == 1}
	list := func(i int) []string {
		items, _ := reply[i].([]any)
		all := make([]string, len(items))
		for j := range items {
			all[j] = text(items, j)
		}
		return all
	}
	if len(reply) != 8 {
		return d, fmt.Errorf("queue: the sweep script answered %d values", len(reply))
	}
	var errs []error
	jobs := func(i int) []engine.Fence {
		var all []engine.Fence
		for _, s := range list(i) {
			f, err := engine.ParseJobID(s)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			all = append(all, f)
		}
		return all
	}
	d.Jobs = jobs(2)
	timers := list(3)
	for i := 0; i+1 < len(timers); i += 2 {
		parts := strings.Split(timers[i], ":")
		if len(parts) != 4 || !engine.TimerKind(parts[0]).Known() {
			errs = append(errs, fmt.Errorf("queue: %q is no timer", timers[i]))
			continue
		}
		f := engine.Fence{Execution: parts[1], Ref: parts[2], Attempt: int(atoi(parts[3]))}
		d.Timers = append(d.Timers, engine.Timer{Kind: engine.TimerKind(parts[0]), Fence: f, In: time.Duration(atoi(timers[i+1])-now) * time.Millisecond})
	}
	d.Decide, d.Index, d.Expire, d.Building = list(4), list(5), list(6), list(7)
	return d, errors.Join(errs...)
}

// States reads the records of tasks, of any executions, in one trip.
func (r *Redis) States(ctx context.Context, fences []engine.Fence) ([]engine.Record, error) {
	p := r.client.Pipeline()
	cmds := make([]*redis.StringCmd, len(fences))
	for i, f := range fences {
		cmds[i] = p.HGet(ctx, keysOf(f.Execution).tasks, f.Ref)
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	recs := make([]engine.Record, len(fences))
	for i, cmd := range cmds {
		s, err := cmd.Result()
		if isNil(err) {
			continue
		}
		if err != nil {
			return nil, unreachable(err)
		}
		if err := json.Unmarshal([]byte(s), &recs[i]); err != nil {
			return nil, fmt.Errorf("queue: the record of %s in %s cannot be read: %w", fences[i].Ref, fences[i].Execution, err)
		}
	}
	return recs, nil
}

// Look puts off when a waiting job is looked after again and records why it waits.
func (r *Redis) Look(ctx context.Context, f engine.Fence, in time.Duration, reason string) error {
	k := keysOf(f.Execution)
	_, err := r.run(ctx, scriptNote, []string{k.tasks, k.shard.jobs},
		f.Execution, r.offset(), f.Ref, f.Attempt, f.Dispatch, in.Milliseconds(), reason)
	if errors.Is(err, engine.ErrStale) {
		return nil
	}
	return err
}

// Index brings the list entries of executions up to date and binds their numbers.
// Marks are read before the executions and removed only if unchanged, so a later
// change stays marked.
func (r *Redis) Index(ctx context.Context, ids []string) ([]engine.Turn, error) {
	marks := make([]*redis.FloatCmd, len(ids))
	heads := make([]*redis.MapStringStringCmd, len(ids))
	p := r.client.Pipeline()
	for i, id := range ids {
		k := keysOf(id)
		marks[i], heads[i] = p.ZScore(ctx, k.shard.index, id), p.HGetAll(ctx, k.execution)
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	all := make([]*engine.Execution, len(ids))
	for i, id := range ids {
		x, _, err := decodeExecution(id, heads[i])
		if err != nil && !errors.Is(err, engine.ErrGone) {
			return nil, err
		}
		all[i] = x
	}
	turns, err := r.indexAll(ctx, all)
	if err != nil {
		return nil, err
	}
	if err := r.supersede(ctx, all); err != nil {
		return nil, err
	}
	return turns, r.indexed(ctx, ids, all, marks)
}

// indexAll guesses that an execution is new to the lists, or was listed as
// running; those for which that is wrong are asked for one by one.
func (r *Redis) indexAll(ctx context.Context, all []*engine.Execution) ([]engine.Turn, error) {
	cmds := make([]*redis.Cmd, len(all))
	err := r.pipeline(ctx, scriptIndex, func(p redis.Pipeliner) {
		for i, x := range all {
			if x == nil {
				continue
			}
			former := ""
			if x.Status.Ended() {
				former = string(workflow.ExecutionRunning)
			}
			// Of ended ones, too: one may end before it is listed for the first time.
			p.HSet(ctx, numbersKey(x.Number), strconv.FormatInt(x.Number, 10), x.ID)
			keys, args := r.indexCall(x, former)
			cmds[i] = scriptIndex.EvalSha(ctx, p, keys, args...)
		}
	})
	if err != nil {
		return nil, err
	}
	var turns []engine.Turn
	for i, x := range all {
		if x == nil {
			continue
		}
		reply, err := cmds[i].Slice()
		if err != nil {
			return nil, unreachable(err)
		}
		err = refusal(reply)
		for errors.Is(err, engine.ErrMoved) {
			keys, args := r.indexCall(x, text(reply, 1))
			reply, err = r.run(ctx, scriptIndex, keys, args...)
		}
		if err != nil {
			return nil, err
		}
		if t, ok := turnOf(x, reply); ok {
			turns = append(turns, t)
		}
	}
	return turns, nil
}

func (r *Redis) indexCall(x *engine.Execution, former string) ([]string, []any) {
	keys := []string{
		indexedKey(x.Project), slotsKey(x.Project, x.LimitedBy()), waitingKey(x.Project, x.LimitedBy()), dueKey(x.Project),
		failingKey(x.Project), supersededKey(x.Project), failuresKey(x.Project),
		statusList(x.Project, workflow.ExecutionStatus(former)), statusList(x.Project, x.Status),
	}
	return append(keys, lists(x)...), append([]any{
		x.ID, x.Revision, string(x.Status), former, r.offset(), x.LimitedBy(), lineOf(x), slotState(x), sessionEntry(x),
	}, causesOf(x)...)
}

// lineOf is the redrive under which an execution has its slot, or its place in the line.
func lineOf(x *engine.Execution) int {
	if x.Waits {
		return x.Line
	}
	return x.Redrives
}

// indexed removes the marks of what was indexed, and the entries of what was purged meanwhile.
func (r *Redis) indexed(ctx context.Context, ids []string, all []*engine.Execution, marks []*redis.FloatCmd) error {
	cmds := make([]*redis.Cmd, len(ids))
	err := r.pipeline(ctx, scriptUnmark, func(p redis.Pipeliner) {
		for i, id := range ids {
			seen := ""
			if marks[i].Err() == nil {
				seen = strconv.FormatInt(int64(marks[i].Val()), 10)
			}
			k := keysOf(id)
			cmds[i] = scriptUnmark.EvalSha(ctx, p, []string{k.shard.index, k.execution, k.log, k.logSizes}, id, seen)
		}
	})
	if err != nil {
		return err
	}
	for i, x := range all {
		reply, err := cmds[i].Slice()
		if err != nil {
			return unreachable(err)
		}
		if x != nil && number(reply, 1) == 0 {
			if err := r.leaveAll(ctx, x); err != nil {
				return err
			}
		}
	}
	return nil
}

// unindex removes an execution from every list.
func (r *Redis) unindex(ctx context.Context, x *engine.Execution) error {
	p := r.client.Pipeline()
	for _, s := range workflow.ExecutionStatuses {
		p.ZRem(ctx, statusList(x.Project, s), x.ID)
	}
	for _, l := range lists(x) {
		p.ZRem(ctx, l, x.ID)
	}
	for _, former := range x.Correlations {
		p.ZRem(ctx, listKey(x.Project, "correlation:"+former), x.ID)
	}
	p.HDel(ctx, indexedKey(x.Project), x.ID)
	p.HDel(ctx, numbersKey(x.Number), fmt.Sprint(x.Number))
	if _, err := p.Exec(ctx); err != nil {
		return unreachable(err)
	}
	return r.unfile(ctx, x)
}

// Purge removes an execution whose retention is over, or (inner) that of what it is a part of: first from the lists, then itself.
func (r *Redis) Purge(ctx context.Context, id string, inner bool) error {
	k := keysOf(id)
	all, err := r.executions(ctx, []string{id}, false)
	if err != nil {
		return err
	}
	epoch := any("")
	if all[0] != nil {
		if !all[0].Status.Ended() {
			return engine.ErrStale
		}
		epoch = all[0].Redrives
		if err := r.unindex(ctx, all[0]); err != nil {
			return err
		}
		if err := r.leavesSession(ctx, all[0]); err != nil {
			return err
		}
	}
	_, err = r.run(ctx, scriptPurge, []string{
		k.execution, k.shard.expire, k.shard.building, k.shard.decide, k.shard.index, k.shard.timers,
		k.tasks, k.values, k.attempts, k.preds, k.open, k.held, k.events, k.holders, k.children, k.log, k.logSizes, k.memos, k.steps, k.redrives,
	}, id, r.offset(), bit(inner), epoch)
	switch {
	case all[0] == nil:
		return err
	case errors.Is(err, engine.ErrStale): // not due yet, or redriven meanwhile
		_, again := r.Index(ctx, []string{id}) // a slot is not freed here
		return errors.Join(err, again)
	case err != nil:
		return err
	}
	return r.leaveAll(ctx, all[0]) // again, for it may have been listed in between
}

// Doom lets nothing go on in an execution whose retention is over.
func (r *Redis) Doom(ctx context.Context, id string, inner bool) error {
	k := keysOf(id)
	_, err := r.run(ctx, scriptDoom, []string{k.execution, k.shard.expire}, id, r.offset(), bit(inner))
	return err
}

// leaveAll removes an execution that is gone from everything in its project.
func (r *Redis) leaveAll(ctx context.Context, x *engine.Execution) error {
	if err := r.unindex(ctx, x); err != nil {
		return err
	}
	if _, err := r.Leave(ctx, engine.Look{Project: x.Project, Workflow: x.Workflow, Execution: x.ID, Epoch: x.Redrives}, 0); err != nil {
		return err
	}
	if x.Session == nil {
		return nil
	}
	return r.detach(ctx, x.Project, x.ID, placeOf(x.Session.Time.Unix(), x.Workflow), 0, false)
}
