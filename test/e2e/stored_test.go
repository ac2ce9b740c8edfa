package e2e

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/test/fleet"
)

// stored is every key of Redis with its value, as DUMP gives it, but for what
// live processes write by themselves: leads, announcements, asynq's servers.
func stored(t *testing.T, f *fleet.Fleet) map[string]string {
	t.Helper()
	c, ctx, all := f.Client(), context.Background(), map[string]string{}
	for it := c.Scan(ctx, 0, "*", 1000).Iterator(); it.Next(ctx); {
		key := it.Val()
		if strings.HasPrefix(key, "redrive:{lead:") || strings.HasPrefix(key, "redrive:{fleet}") ||
			strings.HasPrefix(key, "asynq:servers") || strings.HasPrefix(key, "asynq:workers") {
			continue
		}
		value, err := c.Dump(ctx, key).Result()
		require.NoError(t, err)
		all[key] = value
	}
	return all
}

// changed answers the keys in which two states differ.
func changed(before, after map[string]string) []string {
	var keys []string
	for key := range maps.Keys(before) {
		if before[key] != after[key] {
			keys = append(keys, key)
		}
	}
	for key := range maps.Keys(after) {
		if _, ok := before[key]; !ok {
			keys = append(keys, key)
		}
	}
	// That it was asked for is recorded, refused or not.
	keys = slices.DeleteFunc(keys, func(key string) bool { return strings.HasSuffix(key, ":audit") || strings.HasSuffix(key, ":denied") })
	slices.Sort(keys)
	return keys
}

// settled waits until Redis stays the same while nobody asks for anything: the
// lists are written and asynq's jobs acknowledged.
func settled(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	c, before := f.Client(), map[string]string(nil)
	fleet.Await(t, patience, "nothing changes any more", func() bool {
		marked := 0
		ctx := context.Background()
		for it := c.Scan(ctx, 0, "redrive:{s:*}:*", 1000).Iterator(); it.Next(ctx); {
			if strings.HasSuffix(it.Val(), "}:index") || strings.HasSuffix(it.Val(), "}:jobs") || strings.HasSuffix(it.Val(), "}:decide") {
				marked++
			}
		}
		last := before
		before = stored(t, f)
		return last != nil && marked == 0 && len(changed(last, before)) == 0
	})
}
