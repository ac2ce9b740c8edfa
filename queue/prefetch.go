package queue

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

const (
	aheadMost  = 16                     // jobs that one dequeue takes
	aheadMixed = 4                      // while several queues have work, so that their weights hold
	aheadSpan  = 10 * time.Millisecond  // a dequeue takes at most what the worker finished within it
	aheadWait  = 500 * time.Millisecond // the longest that a job waits for asynq
)

// prefetch is the part of Claims that takes more jobs than asynq asks for, one
// for each handler that is free, and answers its next dequeues from memory.
//
// A worker takes ahead only what it works off in an instant, by what it finished
// of late: so slow tasks spread over the fleet one by one, and a job that was
// taken waits for nothing. What waits all the same is put back: when the worker
// stops or holds, and at the latest after aheadWait. All is guarded by Claims.mu.
type prefetch struct {
	free    func() int // handlers; nil = nothing is taken ahead
	release func(engine.Fence)
	span    time.Duration
	wait    time.Duration

	ahead  []handout
	ended  [aheadMost]time.Time // when the last jobs were finished; a ring
	next   int
	timer  *time.Timer // runs while anything is ahead
	closed bool
	wg     sync.WaitGroup // the timer's call
}

// handout is a job that was dequeued: what asynq gets, and how to undo it.
type handout struct {
	message, job string
	answer       []any    // to the claim; nil when the job is not ours
	keys         []string // of the dequeue
	prefix       string
	since        time.Time
}

// TakeAhead lets a dequeue take as many jobs as handlers are free. release hands
// the claim of a job back that was taken and not run. Call it before the server
// starts; Close ends it.
func (c *Claims) TakeAhead(free func() int, release func(engine.Fence)) {
	if c != nil {
		c.free, c.release, c.span, c.wait = free, release, aheadSpan, aheadWait
	}
}

// Ended says that a job was finished.
func (c *Claims) Ended() {
	if c == nil {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[c.next] = now
	c.next = (c.next + 1) % aheadMost
}

// most answers how many jobs the next dequeue may take.
func (c *Claims) most(lanes int) int {
	if c.free == nil {
		return 1
	}
	n, now := c.free(), time.Now()
	if lanes > 1 {
		n = min(n, aheadMixed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	recent := 0
	for _, t := range c.ended {
		if now.Sub(t) < c.span {
			recent++
		}
	}
	return max(1, min(n-len(c.made), recent))
}

// hand answers a dequeue from memory.
func (c *Claims) hand(cmd redis.Cmder) bool {
	out, ok := cmd.(*redis.Cmd)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ahead) == 0 {
		return false
	}
	out.SetVal(c.ahead[0].message)
	c.ahead = slices.Delete(c.ahead, 0, 1)
	return true
}

// arm sees to it that nothing waits for ever.
func (c *Claims) arm() {
	if len(c.ahead) == 0 || c.timer != nil || c.closed {
		return
	}
	c.wg.Add(1)
	c.timer = time.AfterFunc(c.wait, c.expire)
}

func (c *Claims) expire() {
	defer c.wg.Done()
	c.mu.Lock()
	c.timer = nil
	n := 0
	for n < len(c.ahead) && time.Since(c.ahead[n].since) >= c.wait {
		n++
	}
	old := c.cut(n)
	c.arm()
	c.mu.Unlock()
	c.undo(old)
}

// cut takes the first n jobs that wait, and their claims.
func (c *Claims) cut(n int) []handout {
	jobs := slices.Clone(c.ahead[:n])
	c.ahead = slices.Delete(c.ahead, 0, n)
	for _, h := range jobs {
		delete(c.made, h.job)
	}
	return jobs
}

// PutBack gives the jobs back that asynq did not get yet.
func (c *Claims) PutBack() {
	if c == nil {
		return
	}
	c.mu.Lock()
	jobs := c.cut(len(c.ahead))
	c.mu.Unlock()
	c.undo(jobs)
}

// Close puts back what is left and ends what TakeAhead began. No dequeue may follow.
func (c *Claims) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	if c.timer != nil && c.timer.Stop() {
		c.timer = nil
		c.wg.Done()
	}
	c.mu.Unlock()
	c.wg.Wait()
	c.PutBack()
}

// undo puts jobs back in the order in which they came. One that was claimed is
// released under its next dispatch, which is another job, and forgotten itself.
// What a crash or Redis' silence leaves undone, the end of the leases does.
func (c *Claims) undo(jobs []handout) {
	for _, h := range slices.Backward(jobs) {
		granted := number(h.answer, 0) > 0
		if f, err := engine.ParseJobID(h.job); granted && err == nil {
			c.release(f)
		}
		ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
		_ = scriptPutBack.Run(ctx, c.redis.client, []string{h.keys[2], h.keys[3], h.keys[0], h.prefix + h.job}, h.job, bit(granted)).Err()
		cancel()
	}
}
