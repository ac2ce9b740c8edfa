package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// rowsOf writes a step as apply.lua reads it: with the values that belong to it behind.
func rowsOf(s workflow.Step) ([]any, error) {
	row := struct {
		workflow.Step
		Value bool `json:"v,omitempty"`
		Given bool `json:"g,omitempty"`
	}{s, s.Output != "", s.Given != nil}
	b, err := json.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("queue: encoding a step of %s: %w", s.Ref, err)
	}
	rows := []any{string(b)}
	if row.Value {
		rows = append(rows, stored(json.RawMessage(s.Output)))
	}
	if row.Given {
		rows = append(rows, stored(json.RawMessage(*s.Given)))
	}
	return rows, nil
}

// writtenTTL is how long steps are kept that were never committed.
const writtenTTL = 24 * time.Hour

// Write keeps steps for a commit.
func (r *Redis) Write(ctx context.Context, id, draft string, header json.RawMessage, steps []workflow.Step) (int, error) {
	key := keysOf(id).written(draft)
	total, rows := 0, []any{stored(header)}
	flush := func() error {
		p := r.client.TxPipeline() // no list without an end
		p.RPush(ctx, key, rows...)
		p.PExpire(ctx, key, writtenTTL)
		total += len(rows)
		rows = nil
		if _, err := p.Exec(ctx); err != nil {
			return unreachable(err)
		}
		return nil
	}
	for _, s := range steps {
		more, err := rowsOf(s)
		if err != nil {
			return 0, err
		}
		if rows = append(rows, more...); len(rows) >= stepSize {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	if len(rows) > 0 {
		if err := flush(); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// Header answers the header of what was written.
func (r *Redis) Header(ctx context.Context, id, draft string) (json.RawMessage, int, error) {
	key := keysOf(id).written(draft)
	p := r.client.Pipeline()
	header, rows := p.LIndex(ctx, key, 0), p.LLen(ctx, key)
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, 0, unreachable(err)
	}
	if rows.Val() == 0 {
		return nil, 0, engine.ErrGone
	}
	return raw(header.Val()), int(rows.Val()), nil
}

// Commit makes a redrive come true.
func (r *Redis) Commit(ctx context.Context, c engine.Commit) ([]engine.Applied, int, error) {
	var keys []string
	args := []any{r.offset(), c.Token, len(c.Parts)}
	for _, p := range c.Parts {
		k := keysOf(p.Execution)
		keys = append(append(keys, k.settle()...), k.steps, k.redrives, k.written(c.Draft))
		more, err := commitArgs(p)
		if err != nil {
			return nil, 0, err
		}
		args = append(args, more...)
	}
	reply, err := r.run(ctx, scriptRedrive, keys, args...)
	if err != nil {
		return nil, 0, err
	}
	if number(reply, 0) == 2 {
		return nil, int(number(reply, 1)), nil
	}
	var all []engine.Applied
	for i := 2; i < len(reply); i++ {
		all = append(all, applied(reply[i], number(reply, 1)))
	}
	return all, 0, nil
}

func commitArgs(p engine.CommitPart) ([]any, error) {
	status := string(workflow.ExecutionRunning)
	switch {
	case p.Live:
		status = ""
	case p.Waits:
		status = string(workflow.ExecutionQueued)
	}
	revision := any("")
	if p.Revision >= 0 {
		revision = p.Revision
	}
	args := []any{
		p.Execution, p.Epoch, revision, oneLine(p.By), oneLine(p.Reason), status, milli(p.Till), milliseconds(p.Deadline),
		stored(p.Record), stored(p.Input), p.Grows, p.Written, p.Hold, len(p.Fields),
	}
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		args = append(args, name, p.Fields[name])
	}
	var rows []any
	if p.Written == 0 {
		for _, s := range p.Steps {
			more, err := rowsOf(s)
			if err != nil {
				return nil, err
			}
			rows = append(rows, more...)
		}
	}
	return append(append(args, len(rows)), rows...), nil
}

// applied reads {id, state, {ref, attempt, ...}, {ref, attempt, dispatch, ...}}.
func applied(one any, now int64) engine.Applied {
	part, _ := one.([]any)
	id := text(part, 0)
	relay, _ := at(part, 2).([]any)
	out, _ := at(part, 3).([]any)
	a := engine.Applied{Execution: id, Out: fences(id, out, 0)}
	a.Settled = settled(id, append([]any{int64(1), number(part, 1), now}, relay...))
	return a
}

func at(reply []any, i int) any {
	if i < len(reply) {
		return reply[i]
	}
	return nil
}

// Apply applies more steps of a redrive.
func (r *Redis) Apply(ctx context.Context, id string, epoch int) (engine.Applied, bool, error) {
	k := keysOf(id)
	reply, err := r.run(ctx, scriptApply, append(k.settle(), k.steps), id, r.offset(), epoch, stepSize, engine.StepNeeds)
	if err != nil {
		return engine.Applied{}, false, err
	}
	return applied(at(reply, 2), number(reply, 1)), number(reply, 3) == 1, nil
}

// Hold keeps aside what becomes ready in an execution, or ends that.
func (r *Redis) Hold(ctx context.Context, id, token string, d time.Duration) error {
	k := keysOf(id)
	_, err := r.run(ctx, scriptHold, []string{k.execution, k.shard.decide}, id, r.offset(), token, milliseconds(d))
	return err
}

// RedriveOf answers which redrive a token made.
func (r *Redis) RedriveOf(ctx context.Context, id, token string) (int, error) {
	n, err := r.client.HGet(ctx, keysOf(id).redrives, "t:"+token).Result()
	if err != nil && !isNil(err) {
		return 0, unreachable(err)
	}
	return int(atoi(n)), nil
}

// RedriveRecords answers what was kept of redrives.
func (r *Redis) RedriveRecords(ctx context.Context, id string, from, till int) ([]json.RawMessage, []time.Time, error) {
	if till < from {
		return nil, nil, nil
	}
	fields := make([]string, 0, till-from+1)
	for n := from; n <= till; n++ {
		fields = append(fields, strconv.Itoa(n))
	}
	v, err := r.client.HMGet(ctx, keysOf(id).redrives, fields...).Result()
	if err != nil {
		return nil, nil, unreachable(err)
	}
	records, times := make([]json.RawMessage, len(fields)), make([]time.Time, len(fields))
	for i := range fields {
		ms, record, there := strings.Cut(text(v, i), " ")
		if there {
			records[i], times[i] = raw(record), time.UnixMilli(atoi(ms)).UTC()
		}
	}
	return records, times, nil
}

// ValuesSize answers how many bytes the values of an execution have.
func (r *Redis) ValuesSize(ctx context.Context, id string) (int, error) {
	n, err := r.client.HGet(ctx, keysOf(id).values, "bytes").Result()
	if err != nil && !isNil(err) {
		return 0, unreachable(err)
	}
	return int(atoi(n)), nil
}

// Given answers the input that a redrive gave to a task.
func (r *Redis) Given(ctx context.Context, id, ref string) (json.RawMessage, error) {
	s, err := r.client.HGet(ctx, keysOf(id).values, "w:"+ref).Result()
	if err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	return raw(s), nil
}
