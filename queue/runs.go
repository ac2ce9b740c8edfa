package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Claim takes one dispatch of one attempt.
func (r *Redis) Claim(ctx context.Context, f engine.Fence, worker string, lease time.Duration, epoch int, reads []string) (*engine.Claimed, error) {
	if made, ok := r.claimedAlready(f, worker); ok {
		if err := refusal(made.reply); err != nil {
			return nil, err
		}
		c := granted(made.reply)
		c.Sent = made.sent
		return c, r.complement(ctx, f, c, epoch, reads)
	}
	k := keysOf(f.Execution)
	sent := time.Now()
	args := make([]any, 0, 8+len(reads))
	args = append(args, f.Execution, r.offset(), f.Ref, f.Attempt, f.Dispatch, worker, lease.Milliseconds(), epoch)
	for _, ref := range reads {
		args = append(args, ref)
	}
	reply, err := r.run(ctx, scriptClaim, []string{k.execution, k.tasks, k.values, k.held, k.events, k.shard.jobs}, args...)
	if err != nil {
		return nil, err
	}
	c := granted(reply)
	c.Sent = sent
	if len(reply) > 4 {
		if doc, ok := reply[4].([]any); ok {
			c.Document = decodeDocument(c.Epoch, doc)
		}
	}
	for i := range reads {
		read, err := decodeRead(reply, 6+3*i)
		if err != nil {
			return nil, err
		}
		c.Reads = append(c.Reads, read)
	}
	return c, nil
}

func granted(reply []any) *engine.Claimed {
	return &engine.Claimed{Now: time.UnixMilli(number(reply, 1)), Epoch: int(number(reply, 2)), Try: int(number(reply, 3)), Given: raw(text(reply, 5))}
}

// documentFields are the fields of an execution that a document is made of, in the order of claim.lua.
var documentFields = []string{"number", "project", "workflow", "version", "definition", "root", "priority", "session_time", "path", "depth", "parent", "session", "attempt_name"}

// decodeDocument reads documentFields and the input behind them.
func decodeDocument(epoch int, doc []any) *engine.Document {
	return &engine.Document{
		Epoch: epoch, Number: number(doc, 0), Project: text(doc, 1), Workflow: text(doc, 2), Version: int(number(doc, 3)),
		Definition: text(doc, 4), Root: text(doc, 5), Priority: int(number(doc, 6)), SessionTime: second(text(doc, 7)),
		Path: text(doc, 8), Depth: int(number(doc, 9)), Parent: text(doc, 10), Session: number(doc, 11), AttemptName: text(doc, 12),
		Input: raw(text(doc, 13)),
	}
}

// decodeRead reads a record, an output and an error from i on.
func decodeRead(reply []any, i int) (engine.Read, error) {
	var rec engine.Record
	if s := text(reply, i); s != "" {
		if err := json.Unmarshal([]byte(s), &rec); err != nil {
			return engine.Read{}, fmt.Errorf("queue: the record of a task cannot be read: %w", err)
		}
	}
	return readOf(rec, text(reply, i+1), text(reply, i+2))
}

// readOf is what expressions see of a task whose attempt left this output and error.
func readOf(rec engine.Record, output, failure string) (engine.Read, error) {
	r := engine.Read{Status: rec.Status, Attempt: rec.Attempt, Output: raw(output)}
	if !rec.Begun() {
		return r, nil
	}
	var err error
	r.Error, err = decodeError(failure)
	return r, err
}

func decodeError(s string) (*workflow.Error, error) {
	if s == "" {
		return nil, nil
	}
	var e workflow.Error
	if err := json.Unmarshal(raw(s), &e); err != nil {
		return nil, fmt.Errorf("queue: a stored error cannot be read: %w", err)
	}
	return &e, nil
}

func encodeError(e *workflow.Error) string {
	if e == nil {
		return ""
	}
	b, err := json.Marshal(e)
	if err != nil { // strings and a bool
		panic(err)
	}
	return stored(b)
}

func withSuccessors(args []any, list []engine.Successor) []any {
	if len(list) > stepSize {
		return append(args, -1)
	}
	args = append(args, len(list))
	for _, s := range list {
		args = append(args, s.Ref, mode(s), bit(s.Join))
	}
	return args
}

func mode(s engine.Successor) string {
	if s.Decide {
		return "decide"
	}
	return "run"
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// settled reads {1, state, now, ref, attempt, ...}.
func settled(id string, reply []any) engine.Settled {
	s := engine.Settled{State: engine.State(number(reply, 1)), Now: time.UnixMilli(number(reply, 2)).UTC()}
	for i := 3; i+1 < len(reply); i += 2 {
		s.Relay = append(s.Relay, engine.Fence{Execution: id, Ref: text(reply, i), Attempt: int(number(reply, i+1)), Dispatch: 1})
	}
	return s
}

// Complete stores the output of a run and releases what waited for it.
func (r *Redis) Complete(ctx context.Context, x engine.Result) (engine.Settled, error) {
	args := make([]any, 0, 11+3*len(x.Successors))
	args = append(args, x.Execution, r.offset(), x.Ref, x.Attempt, x.Dispatch, stored(x.Output), stored(x.Input), x.InputHash,
		bit(x.Simple), r.o.Retention.Milliseconds())
	reply, err := r.runAhead(ctx, &r.trips, scriptComplete, keysOf(x.Execution).settle(), withSuccessors(args, x.Successors), x.Ahead)
	return r.without(settled(x.Execution, reply), x.Ahead), err
}

// Fail ends a task for good.
func (r *Redis) Fail(ctx context.Context, x engine.Result) (engine.Settled, error) {
	args := []any{
		x.Execution, r.offset(), x.Ref, x.Attempt, x.Dispatch, outcome(x), encodeError(x.Error), stored(x.Input), x.InputHash,
		string(x.OnFailure), bit(x.Lost), r.o.Retention.Milliseconds(),
	}
	reply, err := r.runAhead(ctx, &r.trips, scriptFail, keysOf(x.Execution).settle(), withSuccessors(args, x.Successors), nil)
	return settled(x.Execution, reply), err
}

func outcome(x engine.Result) string {
	if x.TimedOut {
		return string(workflow.TaskTimedOut)
	}
	return string(workflow.TaskFailed)
}

// BackOff ends an attempt that another one will follow.
func (r *Redis) BackOff(ctx context.Context, x engine.Result, delay time.Duration) (time.Duration, error) {
	k := keysOf(x.Execution)
	reply, err := r.run(ctx, scriptBackOff,
		[]string{k.execution, k.tasks, k.values, k.attempts, k.events, k.shard.jobs, k.shard.timers, k.open, k.holders},
		x.Execution, r.offset(), x.Ref, x.Attempt, x.Dispatch, outcome(x), encodeError(x.Error), stored(x.Input), delay.Milliseconds(), bit(x.Rests))
	if err != nil {
		return 0, err
	}
	return time.Duration(number(reply, 1)-number(reply, 2)) * time.Millisecond, nil
}

// Retry makes the next attempt of a task whose back-off is over.
func (r *Redis) Retry(ctx context.Context, f engine.Fence) (engine.Fence, engine.Next, error) {
	k := keysOf(f.Execution)
	reply, err := r.run(ctx, scriptRetry, []string{k.execution, k.tasks, k.held, k.shard.jobs, k.shard.timers, k.open, k.shard.decide},
		f.Execution, r.offset(), f.Ref, f.Attempt)
	if errors.Is(err, engine.ErrMoved) {
		return f, engine.NextNothing, notDue(reply)
	}
	next := engine.Fence{Execution: f.Execution, Ref: f.Ref, Attempt: int(number(reply, 1)), Dispatch: 1}
	return next, map[int64]engine.Next{1: engine.NextRelay, 2: engine.NextDecide}[number(reply, 2)], err
}

// Hasten lets a task wait no longer for its next attempt or delivery.
func (r *Redis) Hasten(ctx context.Context, f engine.Fence) (retrying bool, err error) {
	k := keysOf(f.Execution)
	reply, err := r.run(ctx, scriptHasten, []string{k.execution, k.tasks, k.shard.jobs, k.shard.timers}, f.Execution, r.offset(), f.Ref, f.Attempt)
	return number(reply, 1) == 1, err
}

// notDue reads {-5, due, now}.
func notDue(reply []any) error {
	return &engine.NotDue{In: time.Duration(number(reply, 1)-number(reply, 2)) * time.Millisecond}
}

// Redispatch sends the same attempt out again under its next dispatch number.
func (r *Redis) Redispatch(ctx context.Context, f engine.Fence, why engine.Why, relayIn time.Duration) (engine.Fence, bool, error) {
	k := keysOf(f.Execution)
	reply, err := r.run(ctx, scriptRedispatch, []string{k.execution, k.tasks, k.held, k.events, k.shard.jobs},
		f.Execution, r.offset(), f.Ref, f.Attempt, f.Dispatch, string(why), relayIn.Milliseconds())
	next := f
	next.Dispatch = int(number(reply, 1))
	return next, number(reply, 2) == 1, err
}

// Heartbeat extends leases, one script per shard in one pipeline.
func (r *Redis) Heartbeat(ctx context.Context, fences []engine.Fence, lease time.Duration) ([]bool, error) {
	byShard := map[int][]int{}
	for i, f := range fences {
		n := shardOf(f.Execution)
		byShard[n] = append(byShard[n], i)
	}
	type call struct {
		at  []int
		cmd *redis.Cmd
	}
	var calls []call
	send := func(p redis.Pipeliner) {
		calls = calls[:0]
		for shard, at := range byShard {
			args := []any{r.offset(), lease.Milliseconds()}
			for _, i := range at {
				args = append(args, fences[i].JobID())
			}
			calls = append(calls, call{at, scriptHeartbeat.EvalSha(ctx, p, []string{shards[shard].jobs}, args...)})
		}
	}
	if err := r.pipeline(ctx, scriptHeartbeat, send); err != nil {
		return nil, err
	}
	alive := make([]bool, len(fences))
	for _, c := range calls {
		reply, err := c.cmd.Slice()
		if err != nil {
			return nil, unreachable(err)
		}
		for j, i := range c.at {
			alive[i] = number(reply, 1+j) == 1
		}
	}
	return alive, nil
}

// pipeline sends EVALSHAs of one script in one trip; where a node does not have
// the script yet, it is loaded and all is sent again (the scripts sent so are idempotent).
func (r *Redis) pipeline(ctx context.Context, s *redis.Script, send func(redis.Pipeliner)) error {
	for try := 0; ; try++ {
		p := r.client.Pipeline()
		send(p)
		_, err := p.Exec(ctx)
		if err == nil || errors.Is(err, redis.Nil) {
			return nil
		}
		if try > 0 || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return unreachable(err)
		}
		if err := r.load(ctx, s); err != nil {
			return err
		}
	}
}

func (r *Redis) load(ctx context.Context, s *redis.Script) error {
	var err error
	if c, ok := r.client.(*redis.ClusterClient); ok {
		err = c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return s.Load(ctx, node).Err() })
	} else {
		err = s.Load(ctx, r.client).Err()
	}
	if err != nil {
		return unreachable(err)
	}
	return nil
}
