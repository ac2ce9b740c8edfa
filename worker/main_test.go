package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

const databases = 256

var (
	socket   string
	address  string // of the same server
	database atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(withRedis(m)) }

// withRedis runs the tests against a redis-server of their own.
func withRedis(m *testing.M) int {
	dir, err := os.MkdirTemp("", "worker")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	socket = filepath.Join(dir, "redis.sock")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	address = free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = free.Close()
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket", socket, "--save", "",
		"--appendonly", "no", "--databases", fmt.Sprint(databases))
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "the tests need redis-server on PATH:", err)
		return 1
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for range 1000 {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// fake is an engine in memory. The functions replace what a method does.
type fake struct {
	mu       sync.Mutex
	held     map[engine.Fence]bool // claimed and not ended
	ended    map[engine.Fence]bool
	failed   map[engine.Fence]*workflow.Error
	canceled map[string]bool
	workers  []engine.Worker
	self     engine.Worker

	claims, completes, releases, declines, retries, beats int
	retired                                               bool
	fails                                                 []failReport
	outputs                                               map[string]string

	cancellations chan string
	timeout       time.Duration
	complete      func() error
	heartbeat     func() error
	announce      func() error
	claim         func(r *engine.Run) error
	writeLog      func(b engine.LogBatch) (bool, error)
	logs          []engine.LogBatch // in the order they arrived
}

type failReport struct {
	failure  workflow.Error
	timedOut bool
}

func newFake() *fake {
	return &fake{
		held: map[engine.Fence]bool{}, ended: map[engine.Fence]bool{}, failed: map[engine.Fence]*workflow.Error{},
		canceled: map[string]bool{}, outputs: map[string]string{},
		cancellations: make(chan string, 16), timeout: time.Minute,
	}
}

func (f *fake) Claim(_ context.Context, x engine.Fence, _ string) (*engine.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &engine.Run{Fence: x, At: workflow.Place{Node: &workflow.Node{Path: x.Ref, Timeout: f.timeout}, Ref: x.Ref}, Try: x.Attempt, Sent: time.Now(), Input: json.RawMessage(`{}`)}
	if f.claim != nil {
		if err := f.claim(r); err != nil {
			return nil, err
		}
	}
	if e := f.failed[x]; e != nil {
		return nil, &engine.FailedBefore{Failure: e}
	}
	if f.held[x] || f.ended[x] {
		return nil, engine.ErrStale
	}
	f.held[x] = true
	f.claims++
	return r, nil
}

// end takes a run out of the hands of its worker, if it has it.
func (f *fake) end(r *engine.Run) error {
	if !f.held[r.Fence] || f.canceled[r.Execution] {
		return engine.ErrStale
	}
	delete(f.held, r.Fence)
	f.ended[r.Fence] = true
	return nil
}

func (f *fake) Complete(_ context.Context, r *engine.Run, output json.RawMessage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.complete != nil {
		if err := f.complete(); err != nil {
			return err
		}
	}
	if err := f.end(r); err != nil {
		return err
	}
	f.completes++
	f.outputs[r.Ref] = string(output)
	return nil
}

func (f *fake) Fail(_ context.Context, r *engine.Run, e *workflow.Error, timedOut bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.end(r); err != nil {
		return false, err
	}
	f.fails = append(f.fails, failReport{*e, timedOut})
	if e.Retryable {
		return false, nil
	}
	f.failed[r.Fence] = e
	return true, nil
}

func (f *fake) Release(_ context.Context, r *engine.Run) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.end(r); err != nil {
		return err
	}
	f.releases++
	return nil
}

func (f *fake) Heartbeat(_ context.Context, runs []*engine.Run) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beats++
	errs := make([]error, len(runs))
	for i, r := range runs {
		if f.heartbeat != nil {
			errs[i] = f.heartbeat()
		} else if !f.held[r.Fence] || f.canceled[r.Execution] {
			errs[i] = engine.ErrStale
		}
	}
	return errs
}

func (f *fake) WriteLog(_ context.Context, b engine.LogBatch) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	full := false
	if f.writeLog != nil {
		var err error
		if full, err = f.writeLog(b); err != nil {
			return false, err
		}
	}
	f.logs = append(f.logs, b)
	return full, nil
}

func (f *fake) RetryJob(context.Context, engine.Fence, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retries++
	return nil
}

func (f *fake) Decline(context.Context, engine.Fence) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.declines++
	return nil
}

func (f *fake) Announce(_ context.Context, w engine.Worker) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.announce != nil {
		return f.announce()
	}
	f.self = w
	return nil
}

func (f *fake) Retire(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = true
	return nil
}

func (f *fake) Workers(context.Context) ([]engine.Worker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers, nil
}

func (f *fake) Cancellations(context.Context) (<-chan string, error) { return f.cancellations, nil }

func (f *fake) cancelExecution(id string) {
	f.mu.Lock()
	f.canceled[id] = true
	f.mu.Unlock()
	f.cancellations <- id
}

// get reads a field of the fake.
func get[T any](f *fake, read func() T) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return read()
}

// fleet is a test's Redis database with one worker's surroundings.
type fleet struct {
	t      *testing.T
	engine *fake
	redis  *redis.Client
	jobs   *asynq.Client
	look   *asynq.Inspector
	waker  *queue.Waker
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	n := database.Add(1)
	require.Less(t, n, int64(databases), "start redis-server with more databases")
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, DB: int(n)})
	f := &fleet{t: t, engine: newFake(), redis: c, waker: queue.NewWaker(c, nil),
		jobs: asynq.NewClientFromRedisClient(c), look: asynq.NewInspectorFromRedisClient(c)}
	require.NoError(t, f.waker.Start(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, f.waker.Stop(context.Background()))
		require.NoError(t, c.Close())
	})
	return f
}

func (f *fleet) options(h tasks.HandlerFunc) Options {
	types, err := tasks.NewRegistry(tasks.Type{Name: "work", Handler: h})
	require.NoError(f.t, err)
	o := DefaultOptions()
	o.Queues = map[string]int{"q": 1}
	o.Types, o.Engine, o.Client, o.Waker = types, f.engine, f.redis, f.waker
	o.Logger = slog.New(slog.DiscardHandler)
	o.Drain = time.Minute
	return o
}

// start runs a worker until the test ends.
func (f *fleet) start(o Options) *Worker {
	f.t.Helper()
	w, err := New(o)
	require.NoError(f.t, err)
	require.NoError(f.t, w.Start(f.t.Context()))
	f.t.Cleanup(func() { require.NoError(f.t, w.Stop(context.Background())) })
	return w
}

func fence(ref string) engine.Fence {
	return engine.Fence{Execution: "x", Ref: ref, Attempt: 1, Dispatch: 1}
}

// payload is what the relay puts into a job.
type payload struct {
	V int `json:"v"`
	engine.Fence
}

// send delivers a job as the relay would.
func (f *fleet) send(x engine.Fence, kind string, more ...asynq.Option) {
	f.t.Helper()
	body, err := json.Marshal(payload{V: 1, Fence: x})
	require.NoError(f.t, err)
	o := append([]asynq.Option{asynq.TaskID(x.JobID()), asynq.Queue("q"), asynq.MaxRetry(3), asynq.Timeout(time.Hour)}, more...)
	_, err = f.jobs.Enqueue(asynq.NewTask(kind, body), o...)
	require.NoError(f.t, err)
	f.waker.Notify("q")
}

func (f *fleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	eventually(f.t, ok, what)
}

func eventually(t *testing.T, ok func() bool, what ...any) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, 2*time.Millisecond, what...)
}

// gone waits until asynq has forgotten the job: it was acknowledged.
func (f *fleet) gone(x engine.Fence) {
	f.t.Helper()
	f.eventually("the job is acknowledged", func() bool {
		_, err := f.look.GetTaskInfo("q", x.JobID())
		return errors.Is(err, asynq.ErrTaskNotFound)
	})
}

// archivedWith waits until asynq shows the job as failed, and returns its text.
func (f *fleet) archivedWith(x engine.Fence) string {
	f.t.Helper()
	var text string
	f.eventually("the job is archived", func() bool {
		info, err := f.look.GetTaskInfo("q", x.JobID())
		if err != nil || info.State != asynq.TaskStateArchived {
			return false
		}
		text = info.LastErr
		return true
	})
	return text
}
