package queue

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// Claims lets a worker claim a job in the trip that dequeues it. asynq's own
// dequeue script runs first, unchanged, inside ours, and the claim follows in
// the same step; Redis.Claim then finds its answer here. This needs a Redis
// whose scripts may touch any key: a Cluster claims in a trip of its own.
type Claims struct {
	redis  *Redis
	worker string
	lease  time.Duration

	mu     sync.Mutex
	script *redis.Script // asynq's dequeue with our claim behind it; nil until asynq has sent its own
	made   map[string]claimed
	prefetch
}

type claimed struct {
	reply []any
	sent  time.Time
}

// Claims makes the claims of one worker; nil where Redis cannot do it.
func (r *Redis) Claims(worker string, lease time.Duration) *Claims {
	if !r.ordered {
		return nil
	}
	c := &Claims{redis: r, worker: worker, lease: lease, made: map[string]claimed{}}
	r.claims.Store(worker, c)
	return c
}

// dequeue answers asynq's dequeue command with the first of the jobs that it
// takes, and keeps the claims that were made with it. drained says that the
// queue had no more of them.
func (c *Claims) dequeue(ctx context.Context, cmd redis.Cmder, lanes int, next redis.ProcessHook) (drained bool, err error) {
	script, known := c.learn(cmd)
	if !known {
		return false, noScript{} // asynq sends the script itself next
	}
	args := cmd.Args() // eval, script, 4, four keys, expiry, key prefix
	out, ok := cmd.(*redis.Cmd)
	if script == nil || len(args) != 9 || !ok {
		return false, next(ctx, cmd)
	}
	keys := make([]string, 4)
	for i := range keys {
		keys[i], _ = args[3+i].(string)
	}
	runtime.Gosched() // handlers that are just done are free
	most := c.most(lanes)
	sent := time.Now()
	reply, err := script.Run(ctx, c.redis.client, keys, args[7], args[8], c.redis.offset(), c.worker, c.lease.Milliseconds(), most).Slice()
	if err != nil {
		return false, err
	}
	prefix, _ := args[8].(string)
	jobs, granted := make([]handout, 0, len(reply)), true
	for _, one := range reply {
		job, _ := one.([]any)
		h := handout{message: text(job, 0), job: text(job, 1), keys: keys, prefix: prefix, since: sent}
		if len(job) == 3 {
			h.answer, _ = job[2].([]any)
		}
		granted = number(h.answer, 0) > 0
		jobs = append(jobs, h)
	}
	c.keep(jobs)
	out.SetVal(jobs[0].message)
	return granted && len(jobs) < most, nil
}

// learn answers the script to run instead of asynq's; known is false as long as
// asynq has not sent the text of its own.
func (c *Claims) learn(cmd redis.Cmder) (script *redis.Script, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.script == nil {
		source, _ := cmd.Args()[1].(string)
		if cmd.Name() != "eval" {
			return nil, false
		}
		c.script = dequeueScript(source)
	}
	return c.script, true
}

func dequeueScript(asynqs string) *redis.Script {
	var b strings.Builder
	b.WriteString(luaText("lib"))
	b.WriteString("\nlocal function dequeue(KEYS, ARGV)\n" + asynqs + "\nend\n")
	b.WriteString(function("claim"))
	b.WriteString(luaText("dequeue"))
	return redis.NewScript(linked(chunksOf(b.String())))
}

// keep notes the claims of jobs, and keeps all but the first for asynq's next dequeues.
func (c *Claims) keep(jobs []handout) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range jobs {
		if h.answer != nil {
			c.made[h.job] = claimed{h.answer, h.since}
		}
	}
	c.ahead = append(c.ahead, jobs[1:]...)
	c.arm()
}

func (c *Claims) take(job string) (claimed, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, ok := c.made[job]
	delete(c.made, job)
	return answer, ok
}

// claimPatience is how long a claim is thought to be asked for: asynq may have lost its job.
const claimPatience = time.Second

// Outstanding counts the claims that were made and are to be asked for.
func (c *Claims) Outstanding() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, made := range c.made {
		if time.Since(made.sent) < claimPatience {
			n++
		}
	}
	return n
}

// Left takes the claims that were made and never asked for: asynq gave their
// jobs back. They are to be released.
func (c *Claims) Left() []engine.Fence {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []engine.Fence
	for job, answer := range c.made {
		if f, err := engine.ParseJobID(job); err == nil && number(answer.reply, 0) > 0 {
			all = append(all, f)
		}
	}
	clear(c.made)
	return all
}

// Drop takes the claim of one job, if it was made, and says whether it was granted.
func (c *Claims) Drop(f engine.Fence) bool {
	if c == nil {
		return false
	}
	answer, ok := c.take(f.JobID())
	return ok && number(answer.reply, 0) > 0
}

// claimedAlready answers what the dequeue of a job claimed.
func (r *Redis) claimedAlready(f engine.Fence, worker string) (claimed, bool) {
	if c, ok := r.claims.Load(worker); ok {
		return c.(*Claims).take(f.JobID())
	}
	return claimed{}, false
}

// complement reads what a claim made with the dequeue did not answer.
func (r *Redis) complement(ctx context.Context, f engine.Fence, c *engine.Claimed, epoch int, reads []string) error {
	if c.Epoch != epoch {
		k := keysOf(f.Execution)
		p := r.client.Pipeline()
		doc := p.HMGet(ctx, k.execution, documentFields...)
		in := p.HGet(ctx, k.values, "in")
		if _, err := p.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return unreachable(err)
		}
		c.Document = decodeDocument(c.Epoch, append(doc.Val(), in.Val()))
	}
	if len(reads) == 0 {
		return nil
	}
	var err error
	_, _, c.Reads, err = r.Values(ctx, f.Execution, reads, false)
	return err
}
