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

// adoptedFor is how long an execution stays that was made from another one and never ran.
const adoptedFor = 10 * time.Minute

// carriedAtOnce is how many tasks are carried over in one call.
const carriedAtOnce = 100

// Adopt makes an execution from another one.
func (r *Redis) Adopt(ctx context.Context, a engine.Adoption) error {
	k := keysOf(a.ID)
	bytes := len(stored(a.Input))
	first := true
	for part := range slices.Chunk(slices.Sorted(maps.Keys(a.Tasks)), carriedAtOnce) {
		args := []any{a.ID, r.offset(), buildTimeout.Milliseconds(), a.Writer, bit(first), len(part)}
		first = false
		for _, ref := range part {
			record, err := recordText(a.Tasks[ref])
			if err != nil {
				return err
			}
			args = append(args, ref, record)
		}
		values, size, err := r.carried(ctx, a, part)
		if err != nil {
			return err
		}
		bytes += size
		if _, err := r.run(ctx, scriptCarry, []string{k.execution, k.tasks, k.values, k.shard.building}, append(args, values...)...); err != nil {
			return err
		}
	}
	fields, err := fieldsOf(a.Execution)
	if err != nil {
		return err
	}
	args := append([]any{a.ID, r.offset(), adoptedFor.Milliseconds(), len(a.Tasks), stored(a.Input), bytes, countsText(a.Tasks), a.Writer}, fields...)
	_, err = r.run(ctx, scriptAdopt, []string{k.execution, k.tasks, k.values, k.shard.building, k.shard.expire}, args...)
	return err
}

// carried are the values of tasks as they are carried over, as field, value, and their bytes.
func (r *Redis) carried(ctx context.Context, a engine.Adoption, refs []string) (values []any, bytes int, err error) {
	var from, to []string
	for _, ref := range refs {
		if n := a.Of[ref]; n > 0 {
			was := ref + "#" + strconv.Itoa(n)
			from = append(from, "o:"+ref, "i:"+was, "e:"+was, "w:"+ref)
			to = append(to, "o:"+ref, "i:"+ref+"#1", "e:"+ref+"#1", "w:"+ref)
		}
		if slices.Contains(a.Items, ref) {
			from = append(from, "k:"+ref, "m:"+ref)
			to = append(to, "k:"+ref, "m:"+ref)
		}
	}
	if len(from) == 0 {
		return nil, 0, nil
	}
	found, err := r.client.HMGet(ctx, keysOf(a.From).values, from...).Result()
	if err != nil {
		return nil, 0, unreachable(err)
	}
	for i := range from {
		if s := text(found, i); s != "" {
			values = append(values, to[i], s)
			bytes += len(s)
		}
	}
	return values, bytes, nil
}

func countsText(tasks map[string]engine.Record) string {
	counts := []string{"0"} // the revision
	for _, status := range workflow.TaskStatuses {
		n := 0
		for _, rec := range tasks {
			if rec.Status == status {
				n++
			}
		}
		counts = append(counts, strconv.Itoa(n))
	}
	return strings.Join(counts, " ")
}

// recordText writes a record as the scripts keep it: without what is empty, numbers as text.
func recordText(r engine.Record) (string, error) {
	fields := map[string]any{"status": string(r.Status)}
	if r.Status == workflow.TaskPending {
		return `{"status":"pending"}`, nil // just so: the scripts compare it
	}
	if r.Attempt > 0 {
		fields["redrive"] = "0"
	}
	if r.Control != "" {
		fields["size"] = strconv.Itoa(r.Size)
	}
	if r.Continued {
		fields["continued"] = true
	}
	for name, n := range map[string]int64{
		"attempt": int64(r.Attempt), "dispatch": int64(r.Dispatch), "try": int64(r.Try), "queued": r.Queued, "started": r.Started, "ended": r.Ended,
	} {
		if n != 0 {
			fields[name] = strconv.FormatInt(n, 10)
		}
	}
	for name, s := range map[string]string{"reason": r.Reason, "control": r.Control, "hash": r.Hash, "given": r.Given} {
		if s != "" {
			fields[name] = s
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("queue: encoding a record: %w", err)
	}
	return string(b), nil
}
