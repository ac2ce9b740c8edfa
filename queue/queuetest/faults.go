package queuetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ErrCrashed is what a caller of Redis gets from Faults.
var ErrCrashed = errors.New("queuetest: the connection broke")

// Faults breaks trips to Redis on purpose; add it to a client as a hook. Armed,
// it plays a process that crashes: trips succeed until one breaks, before or
// after Redis did what was asked, and every later one fails until Disarm. With
// a rate, it loses replies of scripts at random: Redis did what was asked.
type Faults struct {
	mu    sync.Mutex
	armed bool
	left  int
	after bool
	broke bool
	rate  float64
	rand  *rand.Rand
	lost  int
}

// Arm lets so many trips succeed and breaks the next one.
func (f *Faults) Arm(trips int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.left, f.after, f.broke = true, trips, after, false
}

// Disarm ends what Arm began and reports whether anything broke.
func (f *Faults) Disarm() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.broke
}

// Lose makes replies of scripts get lost at random; 0 ends it.
func (f *Faults) Lose(rate float64, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate, f.rand = rate, rand.New(rand.NewPCG(seed, 1))
}

// Lost counts the replies that got lost.
func (f *Faults) Lost() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// next says whether this trip is made, and whether its reply arrives.
func (f *Faults) next(script bool) (send, answer bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.armed {
		f.left--
		switch {
		case f.left >= 0:
			return true, true
		case f.left == -1:
			f.broke = true
			return f.after, false
		}
		return false, false
	}
	if script && f.rate > 0 && f.rand.Float64() < f.rate {
		f.lost++
		return true, false
	}
	return true, true
}

// DialHook leaves connecting alone.
func (f *Faults) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook breaks single commands.
func (f *Faults) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		send, answer := f.next(strings.HasPrefix(cmd.Name(), "eval"))
		if send {
			err := next(ctx, cmd)
			if answer || redis.HasErrorPrefix(err, "NOSCRIPT") {
				return err
			}
		}
		cmd.SetErr(ErrCrashed)
		return ErrCrashed
	}
}

// ProcessPipelineHook breaks pipelines as a whole.
func (f *Faults) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		scripts := false
		for _, cmd := range cmds {
			scripts = scripts || strings.HasPrefix(cmd.Name(), "eval")
		}
		send, answer := f.next(scripts)
		if send {
			err := next(ctx, cmds)
			if answer || redis.HasErrorPrefix(err, "NOSCRIPT") {
				return err
			}
		}
		for _, cmd := range cmds {
			cmd.SetErr(ErrCrashed)
		}
		return ErrCrashed
	}
}
