package queue

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	tripsAtOnce  = 1                     // beyond, callers share the next trip
	tripPatience = 20 * time.Millisecond // with a trip that does not return
	tripCallers  = 64                    // that share one
	tripBytes    = 1 << 20               // of them together, unless one alone has more
	tripTimeout  = 5 * time.Second       // of a trip with several callers
)

// trips lets those who want something of Redis at the same time share a trip.
// A caller who finds none under way goes at once, with those who are just behind;
// else it waits, and what has gathered when the trip returns goes out together. So
// nobody waits when there is little to do, and the more there is the less each
// costs. A trip that is slow to return, because its connection hangs, is not
// waited for any longer than tripPatience.
//
// The caller at the head of those who wait makes the trip for the others. Each
// reads the replies of its own commands: what Redis refuses one of them is
// nothing to the others, and when the connection breaks all of them get that
// error and know as little of what was done as if each had gone alone.
type trips struct {
	client   redis.UniversalClient
	patience time.Duration

	mu      sync.Mutex
	flying  int
	waiting []*caller
}

type caller struct {
	cmds  []redis.Cmder
	bytes int
	state callerState
	turn  chan callerState // capacity 1: what state became, but for boarding
}

type callerState int

const (
	callerWaits callerState = iota
	callerLeads             // it is to make a trip
	callerFlies             // with a trip of another
	callerBack
)

// send runs the commands in their order, in one trip; each holds its own error
// then. The error of send is that of the caller's own wait: whether the commands
// ran is not known, and they are not to be touched again.
func (t *trips) send(ctx context.Context, bytes int, cmds ...redis.Cmder) error {
	c := &caller{cmds: cmds, bytes: bytes, turn: make(chan callerState, 1)}
	t.mu.Lock()
	t.waiting = append(t.waiting, c)
	if t.flying < tripsAtOnce {
		t.flying++
		c.state = callerLeads
		t.mu.Unlock()
		runtime.Gosched() // whoever is about to call comes along
		t.lead(ctx, c)
		return nil
	}
	t.mu.Unlock()
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	for {
		select {
		case now := <-c.turn:
			if now == callerLeads {
				t.lead(ctx, c)
			}
			return nil
		case <-patience.C:
			t.hurry(c)
		case <-ctx.Done():
			t.leave(ctx, c)
			return context.Cause(ctx)
		}
	}
}

// hurry lets c make a trip beside the one that does not return.
func (t *trips) hurry(c *caller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.state == callerWaits {
		t.flying++
		c.state = callerLeads
		c.turn <- callerLeads
	}
}

// leave gives up waiting. A caller whose turn it is to lead still does: others count on it.
func (t *trips) leave(ctx context.Context, c *caller) {
	t.mu.Lock()
	leads := c.state == callerLeads
	if c.state == callerWaits {
		t.waiting = slices.DeleteFunc(t.waiting, func(other *caller) bool { return other == c })
	}
	t.mu.Unlock()
	if leads {
		t.lead(ctx, c)
	}
}

// lead makes the trip of c and of those who wait.
func (t *trips) lead(ctx context.Context, c *caller) {
	all := t.board(c)
	cmds := c.cmds
	if len(all) > 1 {
		// Of its own, so that no caller's end is the others'.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), tripTimeout)
		defer cancel()
		cmds = nil
		for _, one := range all {
			cmds = append(cmds, one.cmds...)
		}
	}
	p := t.client.Pipeline()
	_ = p.BatchProcess(ctx, cmds...) // only gathers them
	_, _ = p.Exec(ctx)               // each command has its own error
	t.land(all)
}

// board answers who goes on the trip of c, c first.
func (t *trips) board(c *caller) []*caller {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, bytes := []*caller{c}, c.bytes
	t.waiting = slices.DeleteFunc(t.waiting, func(one *caller) bool {
		switch {
		case one == c:
			return true
		case one.state != callerWaits || len(all) == tripCallers || bytes+one.bytes > tripBytes:
			return false
		}
		bytes += one.bytes
		one.state = callerFlies
		all = append(all, one)
		return true
	})
	return all
}

// land ends the trip of all, and lets the next begin if somebody waits for one.
func (t *trips) land(all []*caller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flying--
	for _, one := range t.waiting {
		if one.state == callerWaits && t.flying < tripsAtOnce {
			t.flying++
			one.state = callerLeads
			one.turn <- callerLeads
		}
	}
	for _, one := range all[1:] {
		one.state = callerBack
		one.turn <- callerBack
	}
	all[0].state = callerBack
}

// evalSha is the command that runs a script which Redis knows.
func evalSha(ctx context.Context, s *redis.Script, keys []string, args []any) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", s.Hash(), len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	if len(keys) > 0 {
		cmd.SetFirstKeyPos(3)
	}
	return cmd
}
