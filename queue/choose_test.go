package queue_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// tally counts the trips, and the commands of a name.
type tally struct {
	name         string
	trips, named int
}

func (c *tally) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *tally) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.count(cmd)
		return next(ctx, cmd)
	}
}

func (c *tally) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.count(cmds...)
		return next(ctx, cmds)
	}
}

func (c *tally) count(cmds ...redis.Cmder) {
	c.trips++
	for _, cmd := range cmds {
		if cmd.Name() == c.name {
			c.named++
		}
	}
}

// Executions of some statuses among many others are found in the lists of these statuses, in the order of all of them.
func TestAFilterOfStatusesReadsNoOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	ctx := t.Context()
	filter := engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionFailed, workflow.ExecutionTimedOut}}
	var all, want []string
	for i := range 40 {
		status := workflow.ExecutionSucceeded
		if i%8 < 3 {
			status = filter.Status[i%2]
		}
		id := b.attain(status)
		all = append(all, id)
		if status != workflow.ExecutionSucceeded {
			want = append(want, id)
		}
	}
	_, err := b.Index(ctx, all)
	require.NoError(t, err)
	read := &tally{name: "hgetall"}
	b.Client().AddHook(read)
	chosen := func(f engine.ExecutionFilter, limit int) (found []string) {
		for p := (engine.Page{Limit: limit}); ; {
			part, next, err := b.Choose(ctx, "default", f, p)
			require.NoError(t, err)
			for _, x := range part {
				found = append(found, x.ID)
			}
			if next == "" {
				return found
			}
			p.Cursor = next
		}
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		read.named = 0
		require.Equal(t, want, chosen(filter, limit), "pages of %d", limit)
		require.Equal(t, len(want), read.named, "nothing else is read")
	}

	// Of the last few by time it is a list that is long as a whole, and short there.
	x, err := b.Execution(ctx, all[38], false)
	require.NoError(t, err)
	read.named = 0
	require.Empty(t, chosen(engine.ExecutionFilter{Status: filter.Status, Since: x.CreatedAt.Add(time.Hour)}, 10))
	require.Zero(t, read.named)
	require.Equal(t, all, chosen(engine.ExecutionFilter{}, 7), "no status is all")
}

// Numbers of many executions are looked up together.
func TestNumbersAreLookedUpInTwoTrips(t *testing.T) {
	t.Parallel()
	h := newHouse(t, queuetest.URL(t))
	ctx := t.Context()
	var numbers []int64
	var want []string
	for range 20 {
		x := h.start(&workflow.Definition{Name: "w", Tasks: tasksOf("a")})
		numbers, want = append(numbers, x.Number, x.Number+1_000_000_000), append(want, x.ID, "")
	}
	trips := &tally{}
	h.Client().AddHook(trips)
	got, err := h.Numbered(ctx, "default", numbers)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, 2, trips.trips)
	got, err = h.Numbered(ctx, "other", numbers[:1])
	require.NoError(t, err)
	require.Equal(t, []string{""}, got, "another project's is none")
}
