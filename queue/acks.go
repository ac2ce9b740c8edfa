package queue

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	ackPause = 10 * time.Millisecond // that acknowledgements may wait for more
	ackBatch = 200
	ackLimit = 2000 // waiting; beyond, the caller acknowledges itself
	ackTries = 5
	ackCall  = 50 // in one call of the script
	ackKeys  = 5  // of one acknowledgement, and ackArgs
	ackArgs  = 3
)

// Acks acknowledges the jobs of one asynq server many in a trip. asynq waits for
// each of its acknowledgements and keeps the job's place until then; one that
// gets lost is harmless, for the job is delivered again and its claim refused.
// Start it before the server and stop it after.
type Acks struct {
	client redis.UniversalClient
	log    *slog.Logger

	mu      sync.Mutex
	script  *redis.Script // asynq's own, for many jobs; nil until it was sent
	waiting []ack
	open    bool
	kick    chan struct{} // capacity 1: something waits
	stop    chan struct{}
	done    chan struct{}
}

type ack struct {
	keys []string
	args []any
}

// NewAcks makes a batch of acknowledgements that are sent through client.
func NewAcks(client redis.UniversalClient, log *slog.Logger) *Acks {
	return &Acks{client: client, log: log, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// Start begins to send.
func (a *Acks) Start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = true
	go a.loop()
}

// Stop sends what waits and ends. Later acknowledgements are made one by one.
func (a *Acks) Stop() {
	a.mu.Lock()
	running := a.open
	a.open = false
	a.mu.Unlock()
	if running {
		close(a.stop)
		<-a.done
	}
}

// DialHook passes through.
func (a *Acks) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook passes through.
func (a *Acks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook takes asynq's acknowledgements of successful jobs.
func (a *Acks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		one, ok := ackOf(cmd)
		if !ok {
			return next(ctx, cmd)
		}
		out, ok := cmd.(*redis.Cmd)
		if !ok {
			return next(ctx, cmd)
		}
		switch taken, known := a.take(cmd, one); {
		case !known:
			return noScript{} // asynq sends the script itself next
		case taken:
			out.SetVal("OK")
			return nil
		}
		return next(ctx, cmd)
	}
}

func (a *Acks) take(cmd redis.Cmder, one ack) (taken, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.script == nil {
		if cmd.Name() != "eval" {
			return false, !a.open
		}
		source, _ := cmd.Args()[1].(string)
		a.script = ackScript(source)
	}
	if !a.open || len(a.waiting) >= ackLimit {
		return false, true
	}
	a.waiting = append(a.waiting, one)
	select {
	case a.kick <- struct{}{}:
	default:
	}
	return true, true
}

// ackOf recognises asynq's script for a job that succeeded by its keys: five for
// a job without a lock of its own.
func ackOf(cmd redis.Cmder) (ack, bool) {
	args := cmd.Args()
	if len(args) != 3+ackKeys+ackArgs || (cmd.Name() != "evalsha" && cmd.Name() != "eval") {
		return ack{}, false
	}
	if n, ok := args[2].(int); !ok || n != ackKeys {
		return ack{}, false
	}
	keys := make([]string, ackKeys)
	for i := range keys {
		keys[i], _ = args[3+i].(string)
	}
	queue, ok := strings.CutSuffix(keys[0], ":active")
	if !ok || keys[1] != queue+":lease" || !strings.HasPrefix(keys[2], queue+":t:") ||
		!strings.HasPrefix(keys[3], queue+":processed:") || keys[4] != queue+":processed" {
		return ack{}, false
	}
	return ack{keys, args[3+ackKeys:]}, true
}

func (a *Acks) loop() {
	defer close(a.done)
	for {
		select {
		case <-a.stop:
			for a.flush(a.next()) {
			}
			return
		case <-a.kick:
		}
		timer := time.NewTimer(ackPause)
		select {
		case <-a.stop:
		case <-timer.C:
		}
		timer.Stop()
		for a.flush(a.next()) {
		}
	}
}

func (a *Acks) next() []ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(len(a.waiting), ackBatch)
	batch := a.waiting[:n:n]
	a.waiting = a.waiting[n:]
	return batch
}

// flush sends a batch; false when there was none.
func (a *Acks) flush(batch []ack) bool {
	if len(batch) == 0 {
		return false
	}
	var err error
	for try := range ackTries {
		if try > 0 {
			time.Sleep(time.Duration(try) * 100 * time.Millisecond)
		}
		if err = a.send(batch); err == nil {
			return true
		}
	}
	a.log.Warn("jobs could not be acknowledged; asynq delivers them again, and they are refused then", "jobs", len(batch), "error", err)
	return true
}

// send acknowledges a batch, the jobs of one queue in one call of asynq's script made a function.
func (a *Acks) send(batch []ack) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	calls := callsOf(batch)
	p := a.client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, one := range calls {
		cmds[i] = a.script.EvalSha(ctx, p, one.keys, one.args...)
	}
	_, _ = p.Exec(ctx) // each command has its own error
	for i, cmd := range cmds {
		err := cmd.Err()
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			err = a.script.Eval(ctx, a.client, calls[i].keys, calls[i].args...).Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// callsOf puts the acknowledgements of each queue together, whose keys share a slot.
func callsOf(batch []ack) []ack {
	var calls []ack
	at := map[string]int{} // by asynq's key of the queue
	for _, one := range batch {
		i, ok := at[one.keys[0]]
		if !ok || len(calls[i].keys) >= ackKeys*ackCall {
			i = len(calls)
			at[one.keys[0]] = i
			calls = append(calls, ack{})
		}
		calls[i].keys, calls[i].args = append(calls[i].keys, one.keys...), append(calls[i].args, one.args...)
	}
	return calls
}

// ackScript makes asynq's script a function, and calls it for one job after the
// other. What it refuses was acknowledged before.
func ackScript(asynqs string) *redis.Script {
	return redis.NewScript("local function done(KEYS, ARGV)\n" + asynqs + `
end
for i = 0, #KEYS / 5 - 1 do
  done({unpack(KEYS, 5 * i + 1, 5 * i + 5)}, {unpack(ARGV, 3 * i + 1, 3 * i + 3)})
end
return 'OK'`)
}
