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
)

// Acks acknowledges the jobs of one asynq server many in a trip. asynq waits for
// each of its acknowledgements and keeps the job's place until then; one that
// gets lost is harmless, for the job is delivered again and its claim refused.
// Start it before the server and stop it after.
type Acks struct {
	client redis.UniversalClient
	log    *slog.Logger

	mu      sync.Mutex
	script  *redis.Script // asynq's own; nil until it was sent
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
		a.script = redis.NewScript(source)
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
	if len(args) != 11 || (cmd.Name() != "evalsha" && cmd.Name() != "eval") {
		return ack{}, false
	}
	if n, ok := args[2].(int); !ok || n != 5 {
		return ack{}, false
	}
	keys := make([]string, 5)
	for i := range keys {
		keys[i], _ = args[3+i].(string)
	}
	queue, ok := strings.CutSuffix(keys[0], ":active")
	if !ok || keys[1] != queue+":lease" || !strings.HasPrefix(keys[2], queue+":t:") ||
		!strings.HasPrefix(keys[3], queue+":processed:") || keys[4] != queue+":processed" {
		return ack{}, false
	}
	return ack{keys, args[8:11]}, true
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

func (a *Acks) send(batch []ack) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p := a.client.Pipeline()
	cmds := make([]*redis.Cmd, len(batch))
	for i, one := range batch {
		cmds[i] = a.script.EvalSha(ctx, p, one.keys, one.args...)
	}
	_, _ = p.Exec(ctx) // each command has its own error
	for i, cmd := range cmds {
		err := cmd.Err()
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			err = a.script.Eval(ctx, a.client, batch[i].keys, batch[i].args...).Err()
		}
		// NOT FOUND is an acknowledgement that arrived before.
		if err != nil && !redis.HasErrorPrefix(err, "NOT FOUND") {
			return err
		}
	}
	return nil
}
