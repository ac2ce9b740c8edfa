package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	wakeWait    = time.Second           // the longest a lost wake-up can delay a job
	wakeBackoff = 50 * time.Millisecond // the first pause after a Redis error
)

// WakeStats counts what a WakeHook did with the dequeues of its server.
type WakeStats struct {
	Asked   int64 // sent to Redis
	Skipped int64 // answered "empty" without a round trip
	Late    int64 // jobs found by the poll and not by a wake-up
}

// WakeHook makes the dequeues of one asynq server wait for a wake-up instead of
// polling. It recognises asynq's dequeue script by its keys. A queue that was
// empty is not asked again until it is hinted or a second has passed; when all
// queues of the server are known to be empty, the dequeue waits for that.
type WakeHook struct {
	wait    time.Duration
	backoff time.Duration
	detach  func()
	claims  *Claims     // nil = dequeue only
	room    func() bool // nil = asynq counts for itself
	stop    chan struct{}
	once    sync.Once

	mu      sync.Mutex
	lanes   map[string]*lane
	held    bool
	full    bool           // a dequeue waits for room
	passed  map[*lane]bool // the queues that were answered since one waited for room, or to be let go on, in vain
	changed chan struct{}  // closed at the next hint, nil when nobody waits for one
	errors  int            // in a row
	stats   WakeStats
}

// lane is what is known of one queue. A hint counts up; a queue is known to be
// empty as of the hints that were counted before it was asked.
type lane struct {
	hints, seen uint64
	empty       bool
	until       time.Time // when empty is no longer believed
	polled      bool      // asked because time passed
}

func (l *lane) idle() bool { return l.empty && l.hints == l.seen }

// doubt has an idle queue asked again whose time is up. While others are busy,
// nobody waits for that time to pass.
func (l *lane) doubt(now time.Time) {
	if l.idle() && !now.Before(l.until) {
		l.empty, l.polled = false, true
	}
}

func newWakeHook(queues []string) *WakeHook {
	h := &WakeHook{
		wait:    wakeWait,
		backoff: wakeBackoff,
		detach:  func() {},
		stop:    make(chan struct{}),
		lanes:   make(map[string]*lane, len(queues)),
	}
	for _, q := range queues {
		h.lanes[q] = &lane{}
	}
	return h
}

// Claim makes the dequeues claim what they get; nil leaves that to the worker.
// Call it before the server starts.
func (h *WakeHook) Claim(c *Claims) { h.claims = c }

// While lets the server take jobs only while there is room for one. Call it before
// the server starts, and Freed whenever there may be room again.
func (h *WakeHook) While(room func() bool) { h.room = room }

// Freed has a dequeue that waits for room look again.
func (h *WakeHook) Freed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		h.broadcast()
	}
}

// Stop lets waiting dequeues go and answers "empty" to all that follow, so
// that the server takes no more jobs.
func (h *WakeHook) Stop() {
	h.once.Do(func() {
		close(h.stop)
		h.detach()
	})
}

// Hold keeps the server from taking jobs until Resume.
func (h *WakeHook) Hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = true
}

// Resume undoes Hold.
func (h *WakeHook) Resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = false
	h.broadcast()
}

// Stats returns the counts so far.
func (h *WakeHook) Stats() WakeStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stats
}

// hint says that the queues may have jobs; nil means all of them.
func (h *WakeHook) hint(queues []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hinted := queues == nil
	if queues == nil {
		for _, l := range h.lanes {
			l.hints++
		}
	}
	for _, q := range queues {
		if l := h.lanes[q]; l != nil {
			l.hints++
			hinted = true
		}
	}
	if hinted {
		h.broadcast()
	}
}

func (h *WakeHook) broadcast() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// DialHook passes through.
func (h *WakeHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook passes through.
func (h *WakeHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook holds asynq's dequeues back while there is nothing to dequeue.
func (h *WakeHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l := h.lanes[dequeueOf(cmd)]
		if l == nil {
			return next(ctx, cmd)
		}
		if h.handed(cmd) {
			return nil
		}
		generation, ask := h.admit(ctx, l)
		if !ask {
			return redis.Nil
		}
		var drained bool
		var err error
		if h.claims != nil {
			drained, err = h.claims.dequeue(ctx, cmd, h.busy(), next)
			h.settle()
		} else {
			err = next(ctx, cmd)
		}
		if rest := h.record(l, generation, drained, err); rest > 0 {
			h.await(ctx, nil, time.Now().Add(rest))
		}
		return err
	}
}

// handed answers a dequeue with a job that was taken before.
func (h *WakeHook) handed(cmd redis.Cmder) bool {
	if h.claims == nil {
		return false
	}
	h.settle()
	return h.claims.hand(cmd)
}

// settle gives back what was taken ahead when the server is to take no more.
func (h *WakeHook) settle() {
	h.mu.Lock()
	held := h.held
	h.mu.Unlock()
	if held || h.stopped() {
		h.claims.PutBack()
	}
}

// busy counts the queues that may have jobs.
func (h *WakeHook) busy() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lanes {
		if !l.idle() {
			n++
		}
	}
	return n
}

// admit says whether the queue is to be asked, after waiting as long as no queue is.
func (h *WakeHook) admit(ctx context.Context, l *lane) (generation uint64, ask bool) {
	patient := time.Now().Add(h.wait) // however much happens meanwhile: asynq counts the lease of a job from before this call
	for {
		h.mu.Lock()
		if h.stopped() || ctx.Err() != nil {
			h.mu.Unlock()
			return 0, false
		}
		h.full = h.room != nil && !h.room()
		closed := h.held || h.full
		if !closed {
			h.passed = nil
			l.doubt(time.Now())
		} else if h.pass(l, patient) {
			h.mu.Unlock()
			return 0, false
		}
		if !closed && !l.idle() {
			defer h.mu.Unlock()
			h.stats.Asked++
			return l.hints, true
		}
		until, wait := patient, closed
		if !closed {
			until, wait = h.nextPoll()
		}
		if !wait {
			defer h.mu.Unlock()
			h.stats.Skipped++
			return 0, false
		}
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		if h.await(ctx, changed, until) {
			continue
		}
		h.expire()
	}
}

// pass says whether a queue is passed over while nothing may be taken: one that waited long enough, and the others
// of asynq's round with it, so that the next round begins with a queue that the weights choose.
func (h *WakeHook) pass(l *lane, patient time.Time) bool {
	switch {
	case h.passed != nil && !h.passed[l]:
		h.passed[l] = true
	case !time.Now().Before(patient):
		h.passed = map[*lane]bool{l: true}
	default:
		h.passed = nil
		return false
	}
	return true
}

// nextPoll returns when the queues are asked again without a hint, and false
// when one of them is worth asking right now.
func (h *WakeHook) nextPoll() (until time.Time, wait bool) {
	for _, l := range h.lanes {
		if !l.idle() {
			return time.Time{}, false
		}
		if until.IsZero() || l.until.Before(until) {
			until = l.until
		}
	}
	return until, true
}

// await returns true when something changed before the time was up.
func (h *WakeHook) await(ctx context.Context, changed <-chan struct{}, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-changed:
		return true
	case <-h.stop:
		return true
	case <-ctx.Done():
		return true
	case <-t.C:
		return false
	}
}

// expire forgets all at once what was known, so that an idle server wakes once
// a second and not once per queue.
func (h *WakeHook) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lanes {
		l.polled = l.idle()
		l.empty = false
	}
}

// record keeps what the answer says about the queue, and returns how long to
// rest: asynq itself would ask again at once when Redis is in trouble.
func (h *WakeHook) record(l *lane, generation uint64, drained bool, err error) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, redis.Nil):
		h.errors = 0
		l.empty, l.seen, l.polled = true, generation, false
		l.until = time.Now().Add(jittered(h.wait))
	case err == nil:
		h.errors = 0
		if l.polled && l.hints == generation && l.hints == l.seen {
			h.stats.Late++
		}
		l.empty, l.polled = false, false
		if drained {
			l.empty, l.seen, l.until = true, generation, time.Now().Add(jittered(h.wait))
		}
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		// The client sends the script itself next.
	default:
		h.errors++
		return min(h.backoff<<min(h.errors-1, 10), h.wait)
	}
	return 0
}

func (h *WakeHook) stopped() bool {
	select {
	case <-h.stop:
		return true
	default:
		return false
	}
}

// dequeueOf returns the queue whose dequeue script cmd is, or "".
func dequeueOf(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 7 || (cmd.Name() != "evalsha" && cmd.Name() != "eval") {
		return ""
	}
	if n, ok := args[2].(int); !ok || n != 4 {
		return ""
	}
	pending, _ := args[3].(string)
	queue, ok := strings.CutPrefix(pending, "asynq:{")
	if !ok {
		return ""
	}
	if queue, ok = strings.CutSuffix(queue, "}:pending"); !ok {
		return ""
	}
	for i, name := range []string{"}:paused", "}:active", "}:lease"} {
		if key, _ := args[4+i].(string); key != "asynq:{"+queue+name {
			return ""
		}
	}
	return queue
}

// jittered spreads the polls of a fleet: between 90 and 100 % of d.
func jittered(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1))
}
