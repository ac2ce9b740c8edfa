package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// payload is what a job carries: ids only.
type payload struct {
	V         int    `json:"v"`
	Execution string `json:"execution"`
	Ref       string `json:"ref"`
	Attempt   int    `json:"attempt"`
	Dispatch  int    `json:"dispatch"`
}

const payloadVersion = 1

// jobGrace is how much longer asynq waits than the engine does, so that asynq's
// own deadline never comes first.
const jobGrace = time.Minute

// crashRetries is asynq's MaxRetry: its retries only cover crashes and lost replies.
const crashRetries = 3

// ReadJob answers which delivery an asynq task is. The payload has one form only,
// which is read without reflection: this is on the path of every task.
func ReadJob(t *asynq.Task) (engine.Fence, error) {
	rest := string(t.Payload())
	bad := func() (engine.Fence, error) {
		return engine.Fence{}, fmt.Errorf("queue: the payload %.100q is not a job of Redrive version %d", rest, payloadVersion)
	}
	text := make([]string, len(payloadParts)-1)
	for i, part := range payloadParts {
		before, after, ok := strings.Cut(rest, part)
		if !ok || (i == 0 && before != "") {
			return bad()
		}
		if i > 0 {
			text[i-1] = before
		}
		rest = after
	}
	attempt, err1 := strconv.Atoi(text[2])
	dispatch, err2 := strconv.Atoi(text[3])
	if rest != "" || text[0] == "" || text[1] == "" || err1 != nil || err2 != nil {
		return bad()
	}
	return engine.Fence{Execution: text[0], Ref: text[1], Attempt: attempt, Dispatch: dispatch}, nil
}

// payloadParts stand around the four values of a payload.
var payloadParts = []string{
	`{"v":` + strconv.Itoa(payloadVersion) + `,"execution":"`, `","ref":"`, `","attempt":`, `,"dispatch":`, `}`,
}

// relay sends jobs out. asynq has no call that enqueues many at once, so its
// own client builds each message against a connection that only records what it
// would have sent, and the recorded calls go out in one pipeline.
type relay struct {
	script    *redis.Script // asynq's enqueue script, as recorded
	recorders sync.Pool
}

// recorder is a connection that answers asynq's client without sending anything.
type recorder struct {
	redis.UniversalClient
	client *asynq.Client
	source string // of the script, when asked for by Eval
	keys   []string
	args   []any
	learn  bool // answer NOSCRIPT, so that the script's source is sent
}

func (r *recorder) SAdd(ctx context.Context, _ string, _ ...any) *redis.IntCmd {
	return redis.NewIntResult(1, nil) // KeepQueues does it for good
}

func (r *recorder) EvalSha(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	if r.learn {
		return redis.NewCmdResult(nil, noScript{})
	}
	r.keys, r.args = keys, args
	return redis.NewCmdResult(int64(1), nil)
}

func (r *recorder) Eval(ctx context.Context, source string, keys []string, args ...any) *redis.Cmd {
	r.source, r.keys, r.args = source, keys, args
	return redis.NewCmdResult(int64(1), nil)
}

type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT No matching script." }
func (noScript) RedisError()   {}

func newRecorder(client redis.UniversalClient) *recorder {
	r := &recorder{UniversalClient: client}
	r.client = asynq.NewClientFromRedisClient(r)
	return r
}

func newRelay(client redis.UniversalClient) (*relay, error) {
	first := newRecorder(client)
	first.learn = true
	if err := first.record(engine.Job{Type: "learn", Queue: "learn"}); err != nil {
		return nil, err
	}
	if first.source == "" || len(first.keys) != 2 || len(first.args) != 3 {
		return nil, errors.New("queue: this asynq enqueues in a way that is not known")
	}
	first.learn = false
	l := &relay{script: redis.NewScript(first.source)}
	l.recorders.New = func() any { return newRecorder(client) }
	return l, nil
}

func (r *recorder) record(j engine.Job) error {
	body, err := json.Marshal(payload{V: payloadVersion, Execution: j.Execution, Ref: j.Ref, Attempt: j.Attempt, Dispatch: j.Dispatch})
	if err != nil {
		return fmt.Errorf("queue: encoding a job: %w", err)
	}
	_, err = r.client.Enqueue(asynq.NewTask(j.Type, body), asynq.TaskID(j.JobID()), asynq.Queue(j.Queue),
		asynq.MaxRetry(crashRetries), asynq.Timeout((j.Timeout + jobGrace).Truncate(time.Second)))
	if err != nil {
		return fmt.Errorf("queue: building job %s: %w", j.JobID(), err)
	}
	return nil
}

type call struct {
	keys []string
	args []any
}

// calls answers asynq's enqueue calls of jobs.
func (l *relay) calls(jobs []engine.Job) ([]call, error) {
	rec := l.recorders.Get().(*recorder)
	defer l.recorders.Put(rec)
	calls := make([]call, len(jobs))
	for i, j := range jobs {
		if err := rec.record(j); err != nil {
			return nil, err
		}
		calls[i] = call{rec.keys, rec.args}
	}
	return calls, nil
}

// Relay sends jobs out in one trip; sent is false where asynq knew the id already.
func (r *Redis) Relay(ctx context.Context, jobs []engine.Job) ([]bool, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	calls, err := r.relay.calls(jobs)
	if err != nil {
		return nil, err
	}
	cmds := make([]*redis.Cmd, len(calls))
	if len(calls) == 1 {
		cmds[0] = r.relay.script.Run(ctx, r.client, calls[0].keys, calls[0].args...)
	} else if err := r.pipeline(ctx, r.relay.script, func(p redis.Pipeliner) {
		for i, c := range calls {
			cmds[i] = r.relay.script.EvalSha(ctx, p, c.keys, c.args...)
		}
	}); err != nil {
		return nil, err
	}
	sent := make([]bool, len(jobs))
	for i, cmd := range cmds {
		n, err := cmd.Int()
		if err != nil {
			return nil, unreachable(err)
		}
		sent[i] = n == 1
	}
	r.wakeFor(jobs)
	return sent, nil
}

// runAhead evaluates a script, in a trip that is shared with others, and behind it
// sends out the jobs that it is bound to make ready. Redis runs a connection's commands in order, so a
// worker never sees such a job before the script ran; when the script refuses,
// they are hints about nothing and their claims are refused. A Cluster has no
// such order: there the jobs are sent afterwards, as all others are, and what is to
// run behind the script, before the jobs, is not sent at all.
func (r *Redis) runAhead(ctx context.Context, with *trips, s *redis.Script, keys []string, args []any, ahead []engine.Job, behind ...redis.Cmder) ([]any, error) {
	if !r.ordered {
		return r.run(ctx, s, keys, args...)
	}
	calls, err := r.relay.calls(ahead)
	if err != nil {
		return nil, err
	}
	first := evalSha(ctx, s, keys, args)
	cmds := append(make([]redis.Cmder, 0, 1+len(behind)+len(calls)), first)
	cmds = append(cmds, behind...)
	for _, c := range calls {
		cmds = append(cmds, evalSha(ctx, r.relay.script, c.keys, c.args))
	}
	if err := with.send(ctx, weight(args), cmds...); err != nil {
		return nil, unreachable(err)
	}
	sent := !slices.ContainsFunc(cmds[1+len(behind):], func(c redis.Cmder) bool { return c.Err() != nil })
	switch {
	case first.Err() == nil && sent:
		r.wakeFor(ahead)
	case redis.HasErrorPrefix(first.Err(), "NOSCRIPT"):
		reply, err := r.run(ctx, s, keys, args...)
		if err == nil {
			_, err = r.Relay(ctx, ahead)
		}
		return reply, err
	case first.Err() == nil:
		if _, err := r.Relay(ctx, ahead); err != nil {
			r.o.Logger.Warn("jobs could not be sent out; a sweep will", "error", err)
		}
	}
	reply, err := first.Slice()
	if err != nil {
		return nil, unreachable(err)
	}
	return reply, refusal(reply)
}

// weight is about how many bytes the arguments of a script have.
func weight(args []any) (bytes int) {
	for _, a := range args {
		if s, ok := a.(string); ok {
			bytes += len(s)
		}
	}
	return bytes
}

// without leaves out of a settled transition what was sent ahead.
func (r *Redis) without(s engine.Settled, ahead []engine.Job) engine.Settled {
	if len(ahead) == 0 || !r.ordered {
		return s
	}
	sent := make(map[engine.Fence]bool, len(ahead))
	for _, j := range ahead {
		sent[j.Fence] = true
	}
	s.Relay = slices.DeleteFunc(s.Relay, func(f engine.Fence) bool { return sent[f] })
	return s
}

func (r *Redis) wakeFor(jobs []engine.Job) {
	if r.waker == nil {
		return
	}
	last := ""
	for _, j := range jobs {
		if j.Queue != last {
			r.waker.Notify(j.Queue)
			last = j.Queue
		}
	}
}

// UseWaker makes Relay wake idle workers. Call it before the first Relay.
func (r *Redis) UseWaker(w *Waker) { r.waker = w }
