package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Control pauses, resumes or begins to cancel an execution.
func (r *Redis) Control(ctx context.Context, id string, op engine.Operation, req engine.Request) (engine.Controlled, error) {
	k := keysOf(id)
	keys := []string{k.execution, k.tasks, k.held, k.events, k.shard.jobs, k.shard.decide, k.shard.index, k.shard.timers, k.children, k.open, k.memos, k.redrives}
	if req.Above != "" {
		keys = append(keys, keysOf(req.Above).execution)
	}
	args := append([]any{id, r.offset(), string(op), oneLine(req.By), oneLine(req.Reason), stepSize, milliseconds(req.Deadline), req.Token}, memoArgs(req.Memos)...)
	reply, err := r.run(ctx, scriptControl, keys, args...)
	if err != nil {
		return engine.Controlled{}, err
	}
	c := engine.Controlled{Status: workflow.ExecutionStatus(text(reply, 1)), More: number(reply, 2) > 0, Cascades: number(reply, 4) == 1}
	c.Relay = fences(id, reply, 5)
	return c, nil
}

// Controlled reports whether a token paused, resumed or began to cancel an execution.
func (r *Redis) Controlled(ctx context.Context, id, token string) (bool, error) {
	done, err := r.client.HExists(ctx, keysOf(id).redrives, "c:"+token).Result()
	if err != nil {
		return false, unreachable(err)
	}
	return done, nil
}

// fences reads ref, attempt, dispatch from i on.
func fences(id string, reply []any, i int) []engine.Fence {
	var all []engine.Fence
	for ; i+2 < len(reply); i += 3 {
		all = append(all, engine.Fence{Execution: id, Ref: text(reply, i), Attempt: int(number(reply, i+1)), Dispatch: int(number(reply, i+2))})
	}
	return all
}

// Agenda reads what an execution waits for Go to decide.
func (r *Redis) Agenda(ctx context.Context, id string) (*engine.Agenda, error) {
	k := keysOf(id)
	p := r.client.Pipeline()
	all := p.HGetAll(ctx, k.execution)
	open := p.SRandMemberN(ctx, k.open, stepSize)
	held := p.SCard(ctx, k.held)
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	x, fields, err := decodeExecution(id, all)
	if err != nil {
		return nil, err
	}
	return &engine.Agenda{
		Execution: *x, Epoch: int(atoi(fields["epoch"])), Open: open.Val(), Held: int(held.Val()),
		Cascade: engine.Operation(fields["cascade"]), Ending: workflow.ExecutionStatus(fields["ending"]),
		Holding: strings.HasPrefix(fields["applying"], holdPrefix),
	}, nil
}

// Records reads the state of tasks; of all when refs is nil.
func (r *Redis) Records(ctx context.Context, id string, refs []string) (map[string]engine.Record, error) {
	k := keysOf(id)
	values := map[string]string{}
	if refs == nil {
		all, err := r.client.HGetAll(ctx, k.tasks).Result()
		if err != nil {
			return nil, unreachable(err)
		}
		values = all
	} else if len(refs) > 0 {
		some, err := r.client.HMGet(ctx, k.tasks, refs...).Result()
		if err != nil {
			return nil, unreachable(err)
		}
		for i, ref := range refs {
			if s := text(some, i); s != "" {
				values[ref] = s
			}
		}
	}
	recs := make(map[string]engine.Record, len(values))
	for ref, s := range values {
		var rec engine.Record
		if err := json.Unmarshal([]byte(s), &rec); err != nil {
			return nil, fmt.Errorf("queue: the record of task %s of %s cannot be read: %w", ref, id, err)
		}
		recs[ref] = rec
	}
	return recs, nil
}

// Values reads what expressions read: the input, the first final failure, and tasks.
func (r *Redis) Values(ctx context.Context, id string, refs []string, withInput bool) (json.RawMessage, *workflow.Error, []engine.Read, error) {
	k := keysOf(id)
	recs := map[string]engine.Record{}
	if len(refs) > 0 { // Records would read all tasks
		var err error
		if recs, err = r.Records(ctx, id, refs); err != nil {
			return nil, nil, nil, err
		}
	}
	fields := []string{"failure"}
	for _, ref := range refs {
		fields = append(fields, "o:"+ref, fmt.Sprintf("e:%s#%d", ref, recs[ref].Attempt))
	}
	if withInput {
		fields = append(fields, "in")
	}
	v, err := r.client.HMGet(ctx, k.values, fields...).Result()
	if err != nil {
		return nil, nil, nil, unreachable(err)
	}
	failure, err := decodeError(text(v, 0))
	if err != nil {
		return nil, nil, nil, err
	}
	reads := make([]engine.Read, len(refs))
	for i, ref := range refs {
		if reads[i], err = readOf(recs[ref], text(v, 1+2*i), text(v, 2+2*i)); err != nil {
			return nil, nil, nil, err
		}
	}
	return raw(text(v, 1+2*len(refs))), failure, reads, nil
}

// Verdict applies what was decided about a task whose predecessors ended.
func (r *Redis) Verdict(ctx context.Context, id, ref string, epoch int, v workflow.Verdict, x engine.Result) (engine.Settled, error) {
	args := []any{
		id, r.offset(), ref, epoch, string(v.Action), oneLine(v.Reason), encodeError(v.Error), string(x.OnFailure),
		bit(x.Simple), r.o.Retention.Milliseconds(),
	}
	reply, err := r.run(ctx, scriptVerdict, keysOf(id).settle(), withSuccessors(args, x.Successors)...)
	return settled(id, reply), err
}

// Spread releases up to 500 successors of a task that ended.
func (r *Redis) Spread(ctx context.Context, id, ref string, epoch int, part []engine.Successor, last bool) (engine.Settled, error) {
	args := []any{id, r.offset(), ref, epoch, bit(last)}
	reply, err := r.run(ctx, scriptSpread, keysOf(id).settle(), withSuccessors(args, part)...)
	return settled(id, reply), err
}

// Drop cancels, or skips, up to 500 tasks that have not ended.
func (r *Redis) Drop(ctx context.Context, id string, d engine.Drop) ([]engine.Fence, error) {
	if len(d.Refs) > stepSize {
		return nil, fmt.Errorf("queue: %d tasks in one Drop; at most %d", len(d.Refs), stepSize)
	}
	k := keysOf(id)
	args := []any{id, r.offset(), d.Epoch, oneLine(d.Reason), string(d.To), string(d.If), d.Holder, d.Attempt}
	for _, ref := range d.Refs {
		args = append(args, ref)
	}
	reply, err := r.run(ctx, scriptDrop, []string{
		k.execution, k.tasks, k.open, k.held, k.events, k.shard.jobs, k.shard.timers, k.holders, k.shard.decide,
	}, args...)
	return fences(id, reply, 2), err
}

// Settle takes an execution off the list of those that wait for Go; ErrMoved when it does wait.
func (r *Redis) Settle(ctx context.Context, id string, failed int) error {
	k := keysOf(id)
	_, err := r.run(ctx, scriptRest, []string{k.execution, k.open, k.held, k.shard.decide}, id, failed)
	return err
}

// Finish ends an execution in which nothing is left to do.
func (r *Redis) Finish(ctx context.Context, id string, epoch int, status workflow.ExecutionStatus, output json.RawMessage, failure *workflow.Error, causes []engine.Cause) error {
	why, err := encodeCauses(causes)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, scriptFinish, keysOf(id).settle(), id, r.offset(), epoch, string(status), stored(output), encodeError(failure), r.o.Retention.Milliseconds(), why)
	return err
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }
