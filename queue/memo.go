package queue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
)

func memoArgs(writes []engine.MemoWrite) []any {
	args := make([]any, 0, 4*len(writes))
	for _, w := range writes {
		what := "put"
		if w.Drop {
			what = "drop"
		}
		args = append(args, what, w.Key, w.Expect, w.Text)
	}
	return args
}

// WriteMemos writes memos of an execution, all of them or none.
func (r *Redis) WriteMemos(ctx context.Context, id string, writes []engine.MemoWrite) error {
	k := keysOf(id)
	_, err := r.run(ctx, scriptMemo, []string{k.execution, k.memos}, append([]any{r.offset()}, memoArgs(writes)...)...)
	return err
}

// Memos reads memos of an execution, by key.
func (r *Redis) Memos(ctx context.Context, id string, keys []string) (map[string]engine.Memo, error) {
	memos := map[string]engine.Memo{}
	if keys == nil {
		all, err := r.client.HGetAll(ctx, keysOf(id).memos).Result()
		if err != nil {
			return nil, unreachable(err)
		}
		for field, line := range all {
			if key, ok := strings.CutPrefix(field, "="); ok {
				if memos[key], err = decodeMemo(key, line); err != nil {
					return nil, err
				}
			}
		}
		return memos, nil
	}
	fields := make([]string, len(keys))
	for i, key := range keys {
		fields[i] = "=" + key
	}
	values, err := r.client.HMGet(ctx, keysOf(id).memos, fields...).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	for i, v := range values {
		if line, ok := v.(string); ok {
			if memos[keys[i]], err = decodeMemo(keys[i], line); err != nil {
				return nil, err
			}
		}
	}
	return memos, nil
}

func decodeMemo(key, line string) (engine.Memo, error) {
	f := strings.SplitN(line, " ", 3)
	if len(f) != 3 {
		return engine.Memo{}, fmt.Errorf("queue: the memo %q is %.100q", key, line)
	}
	return engine.Memo{Key: key, Version: atoi(f[0]), At: time.UnixMilli(atoi(f[1])).UTC(), Text: f[2]}, nil
}
