package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
)

// ledger is what was seen of attempts that were over, by execution, ref and number.
type ledger map[string]map[string]map[int]engine.Attempt

// attempts reads every attempt of a task, which are numbered without gaps.
func (g *globe) attempts(c *course, ref string) []engine.Attempt {
	all, _, err := g.procs[0].Attempts(g.ctx, c.id, ref, engine.Page{Limit: 1000})
	require.NoError(g.t, err)
	require.Len(g.t, all, c.tasks[ref].attempt, "the attempts of %s", ref)
	for i, a := range all {
		require.Equal(g.t, i+1, a.Attempt, "the attempts of %s", ref)
	}
	return all
}

// remember notes every attempt that is over.
func (g *globe) remember() {
	for _, c := range g.root.all() {
		if g.seen[c.id] == nil {
			g.seen[c.id] = map[string]map[int]engine.Attempt{}
		}
		for _, ref := range slices.Sorted(maps.Keys(c.tasks)) {
			for _, a := range g.attempts(c, ref) {
				if a.Status.Ended() && a.EndedAt != nil {
					g.enter(c.id, ref, a)
				}
			}
		}
	}
}

func (g *globe) enter(id, ref string, a engine.Attempt) {
	if g.seen[id][ref] == nil {
		g.seen[id][ref] = map[int]engine.Attempt{}
	}
	if before, known := g.seen[id][ref][a.Attempt]; known {
		require.Equal(g.t, before, a, "an attempt of %s that was over", ref)
	}
	g.seen[id][ref][a.Attempt] = a
}

// dump is everything that is stored, but what belongs to processes.
func (g *globe) dump() map[string]string {
	client := g.procs[0].store.Client()
	keys, err := queuetest.Keys(g.ctx, client, "")
	require.NoError(g.t, err)
	keys = slices.DeleteFunc(keys, func(key string) bool {
		return strings.HasPrefix(key, "redrive:worker") || strings.HasPrefix(key, "asynq:servers") || strings.HasPrefix(key, "asynq:workers")
	})
	kinds := make([]*redis.StatusCmd, len(keys))
	_, err = client.Pipelined(g.ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			kinds[i] = p.Type(g.ctx, key)
		}
		return nil
	})
	require.NoError(g.t, err)
	read := make([]redis.Cmder, len(keys))
	_, err = client.Pipelined(g.ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			switch kinds[i].Val() {
			case "hash":
				read[i] = p.HGetAll(g.ctx, key)
			case "set":
				read[i] = p.SMembers(g.ctx, key)
			default:
				read[i] = p.Dump(g.ctx, key)
			}
		}
		return nil
	})
	require.NoError(g.t, err)
	all := make(map[string]string, len(keys))
	for i, key := range keys {
		all[key] = content(read[i])
	}
	return all
}

// content is what was read of a key, in an order that does not depend on how Redis keeps it.
func content(read redis.Cmder) string {
	switch c := read.(type) {
	case *redis.MapStringStringCmd:
		return fmt.Sprint(c.Val()) // sorted by its keys
	case *redis.StringSliceCmd:
		return strings.Join(slices.Sorted(slices.Values(c.Val())), " ")
	case *redis.StringCmd:
		return c.Val()
	default:
		panic(fmt.Sprintf("a key that was read with %T", read))
	}
}
