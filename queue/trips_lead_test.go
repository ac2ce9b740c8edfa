package queue

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A caller that gives up at the moment at which it is to lead makes the trip that others count on.
func TestALeaderThatGivesUpStillLeads(t *testing.T) {
	client := wakeClient(t, wakeRedis(t))
	trips := &trips{client: client, patience: tripPatience}
	caller := func(key string) *caller {
		return &caller{cmds: []redis.Cmder{redis.NewStringCmd(t.Context(), "set", key, "1")}, turn: make(chan callerState, 1)}
	}
	first, left, other := caller("first"), caller("left"), caller("other")
	trips.flying, trips.waiting = 1, append(trips.waiting, left, other)
	trips.land(append(trips.waiting[:0:0], first))
	require.Equal(t, callerLeads, left.state)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	trips.leave(gone, left)
	require.Equal(t, callerBack, <-other.turn)
	require.NoError(t, other.cmds[0].Err())
	require.Zero(t, trips.flying)
	require.Empty(t, trips.waiting)
}

func TestTripsAreBounded(t *testing.T) {
	trips, lead := &trips{}, &caller{state: callerLeads}
	for range tripCallers + 5 {
		trips.waiting = append(trips.waiting, &caller{bytes: 1})
	}
	require.Len(t, trips.board(lead), tripCallers)
	require.Len(t, trips.board(lead), 7, "the rest")
	big := &caller{bytes: tripBytes}
	trips.waiting = append(trips.waiting, &caller{bytes: 1}, big, &caller{bytes: 1})
	require.Len(t, trips.board(lead), 3, "not what is too big to share")
	require.Equal(t, []*caller{big}, trips.waiting)
}
