package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

type sumInput struct {
	A int `json:"a"`
	B int `json:"b"`
}

func sumType(t *testing.T) *tasks.Registry {
	t.Helper()
	r, err := tasks.NewRegistry(tasks.New("sum", func(_ context.Context, _ *tasks.Job, in sumInput) (int, error) { return in.A + in.B, nil }))
	require.NoError(t, err)
	return r
}

// TestWorkerBinaryRunsAWorkflow runs a whole worker process on the real engine.
func TestWorkerBinaryRunsAWorkflow(t *testing.T) {
	url := fmt.Sprintf("redis://%s/%d", address, database.Add(1))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log syncBuffer
	code := make(chan int, 1)
	t.Setenv("REDRIVE_SECRET_TOKEN", "s3cret")
	types := sumType(t)
	go func() {
		code <- run(ctx, types, []string{"worker", "--redis", url, "--queues", "math,default", "--listen", "127.0.0.1:0", "--drain", "5s", "--allow-exec", "cat,echo"}, io.Discard, &log)
	}()
	at := addressIn(t, &log)

	e := testEngine(t, url)
	_, _, err := e.PutProject(t.Context(), engine.Project{Name: "default"})
	require.NoError(t, err)
	_, err = e.Publish(t.Context(), "default", []byte(`
name: sums
tasks:
  - {name: one, type: sum, queue: math, with: {a: 1, b: 2}}
  - {name: two, type: sum, queue: math, priority: 9, needs: [one], with: {a: "${tasks.one.output}", b: 4}}
  - {name: three, type: exec, needs: [two], with: {command: [echo, "${secrets.token}"]}}
output: {total: "${tasks.two.output}", said: "${tasks.three.output.stdout}"}
`), false)
	require.NoError(t, err)
	x, _, err := e.Start(t.Context(), "default", engine.StartRequest{Workflow: "sums"})
	require.NoError(t, err)
	eventually(t, func() bool {
		x, err = e.Execution(t.Context(), x.ID)
		return err == nil && x.Status.Ended()
	})
	require.Equal(t, workflow.ExecutionSucceeded, x.Status, "%+v %s", x.Error, log.String())
	require.JSONEq(t, `{"total": 7, "said": "[secret]\n"}`, string(x.Output), "it had the secret, and does not tell")

	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": "redrive_worker_running 0"} {
		r, err := http.Get("http://" + at + path)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, http.StatusOK, r.StatusCode, "%s", body)
		require.Contains(t, string(body), want)
	}
	http.DefaultClient.CloseIdleConnections()
	workers, err := e.Workers(t.Context())
	require.NoError(t, err)
	require.Len(t, workers, 1)
	require.Contains(t, workers[0].Types, "sum")
	require.Contains(t, workers[0].Types, "http")

	stop()
	require.Zero(t, <-code, log.String())
	workers, err = e.Workers(t.Context())
	require.NoError(t, err)
	require.Empty(t, workers)
}

// testEngine is another process' engine on the same Redis.
func testEngine(t *testing.T, url string) *engine.Engine {
	t.Helper()
	e, _, _ := testProcess(t, url)
	return e
}

func testProcess(t *testing.T, url string) (*engine.Engine, *queue.Redis, *queue.Waker) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := queue.Open(t.Context(), queue.Options{URL: url, Logger: quiet})
	require.NoError(t, err)
	waker := queue.NewWaker(store.Client(), quiet)
	require.NoError(t, waker.Start(t.Context()))
	store.UseWaker(waker)
	t.Cleanup(func() {
		require.NoError(t, waker.Stop(context.Background()))
		require.NoError(t, store.Close())
	})
	o := engine.DefaultOptions()
	o.Store, o.Logger, o.Catalog = store, quiet, workflow.Catalog{"sum": nil, "exec": nil}
	e, err := engine.New(o)
	require.NoError(t, err)
	pump := engine.NewPump(e)
	require.NoError(t, pump.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pump.Stop(context.Background())) })
	return e, store, waker
}

// addressIn waits until the log says where the process listens.
func addressIn(t *testing.T, log *syncBuffer) string {
	t.Helper()
	var at string
	eventually(t, func() bool {
		for line := range strings.Lines(log.String()) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
				at = entry.Address
			}
		}
		return at != ""
	})
	return at
}

func TestWorkerBinaryRefusesWrongSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.yaml")
	require.NoError(t, os.WriteFile(file, []byte("queues: {critical: 6, default: 0}\n"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--queues", "a=b"}, 2, "--queues (REDRIVE_QUEUES, queues in the config file)"},
		{[]string{"--queues", "a,a"}, 2, "each queue once"},
		{[]string{"--queues", ""}, 2, "--queues"},
		{[]string{"--concurrency", "0"}, 2, "--concurrency"},
		{[]string{"--drain", "-1s"}, 2, "--drain"},
		{[]string{"--config", file}, 2, "default=0"},
		{[]string{"--allow-exec", "../sh"}, 2, "ExecAllow"},
		{[]string{"--allow-address", "http://x/"}, 2, "HTTPAllow"},
		{[]string{"--builtin=false"}, 2, "without a task type"},
		{[]string{"--nope"}, 2, "nope"},
		{[]string{"now"}, 2, "flags only"},
		{[]string{"--log-level", "loud"}, 2, "log-level"},
		{[]string{"--redis", "redis://127.0.0.1:1"}, 1, "--redis"},
		{[]string{"--redis", "redis://" + address, "--listen", "nowhere"}, 2, "--listen"},
	} {
		var out bytes.Buffer
		require.Equal(t, c.code, run(t.Context(), nil, append([]string{"worker"}, c.args...), io.Discard, &out), "%v %s", c.args, out.String())
		require.Contains(t, out.String(), c.want)
	}
}

func TestOwnTypesReplaceBuiltinOnes(t *testing.T) {
	own, err := tasks.NewRegistry(tasks.Type{Name: "http", Description: "ours", Handler: tasks.HandlerFunc(succeed)})
	require.NoError(t, err)
	c := Command(own, "v1")
	var got settings
	app := &cli.App{Flags: c.Flags, Action: func(c *cli.Context) (err error) {
		got, err = settingsOf(c, own, "v1")
		return err
	}}
	require.NoError(t, app.Run([]string{"worker"}))
	kept, _ := got.options.Types.Get("http")
	require.Equal(t, "ours", kept.Description)
	require.Contains(t, got.options.Types.Names(), "exec")
}

// lateDequeue holds up the answer of a dequeue that found something.
type lateDequeue struct {
	once          sync.Once
	arrived, open chan struct{}
}

func (l *lateDequeue) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lateDequeue) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); err == nil && len(args) > 3 && args[3] == "asynq:{default}:pending" {
			l.once.Do(func() {
				close(l.arrived)
				<-l.open
			})
		}
		return err
	}
}

func (l *lateDequeue) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestAStoppedWorkerHandsOverWhatItTookAhead stops a worker while jobs are on their way to
// it that it took ahead. All go out again at once: no lease has to end.
func TestAStoppedWorkerHandsOverWhatItTookAhead(t *testing.T) {
	url := fmt.Sprintf("redis://%s/%d", address, database.Add(1))
	e, store, waker := testProcess(t, url)
	_, _, err := e.PutProject(t.Context(), engine.Project{Name: "default"})
	require.NoError(t, err)
	o := DefaultOptions()
	o.Types, o.Engine, o.Client, o.NewClient, o.Waker = sumType(t), e, store.Client(), store.NewClient, waker
	o.Claims, o.Logger = store.Claims(o.ID, o.Lease), slog.New(slog.DiscardHandler)
	w, err := New(o)
	require.NoError(t, err)
	require.NoError(t, w.Start(t.Context()))
	late := &lateDequeue{arrived: make(chan struct{}), open: make(chan struct{})}
	store.Client().AddHook(late)
	_, err = e.Publish(t.Context(), "default", []byte("name: sums\ntasks:\n  - {name: a, type: sum}\n  - {name: b, type: sum}\n  - {name: c, type: sum}\n"), false)
	require.NoError(t, err)
	w.hook.Hold()
	x, _, err := e.Start(t.Context(), "default", engine.StartRequest{Workflow: "sums"})
	require.NoError(t, err)
	for arrived := false; !arrived; {
		for range 16 {
			o.Claims.Ended() // it was fast until now
		}
		w.hook.Resume()
		select {
		case <-late.arrived:
			arrived = true
		case <-time.After(time.Millisecond):
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(context.Background()) }()
	<-w.taking.Done()
	close(late.open)
	require.NoError(t, <-stopped)
	var released int
	events, _, err := e.History(t.Context(), x.ID, engine.Page{Limit: 1000})
	require.NoError(t, err)
	for _, event := range events {
		if event.Type == "task.released" {
			released++
		}
	}
	require.NotZero(t, released, "%+v", events)
	x, err = e.Execution(t.Context(), x.ID)
	require.NoError(t, err)
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskQueued: 3}, x.TasksSummary)
}

// slowReports is an engine that takes its time with results.
type slowReports struct {
	Engine
	came chan struct{}
	open chan struct{}
}

func (s *slowReports) Complete(ctx context.Context, r *engine.Run, output json.RawMessage) error {
	s.came <- struct{}{}
	<-s.open
	return s.Engine.Complete(ctx, r, output)
}

// TestAResultOnItsWayKeepsNoHandler lets the next task begin while the result of the one before
// is on its way; never more handlers than allowed run, and results wait only as many as have a place.
func TestAResultOnItsWayKeepsNoHandler(t *testing.T) {
	url := fmt.Sprintf("redis://%s/%d", address, database.Add(1))
	e, store, waker := testProcess(t, url)
	slow := &slowReports{Engine: e, came: make(chan struct{}, 5), open: make(chan struct{})}
	var running, most atomic.Int32
	types, err := tasks.NewRegistry(tasks.New("sum", func(context.Context, *tasks.Job, struct{}) (int, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		return 1, nil
	}))
	require.NoError(t, err)
	o := DefaultOptions()
	o.Types, o.Engine, o.Client, o.NewClient, o.Waker = types, slow, store.Client(), store.NewClient, waker
	o.Concurrency, o.Claims, o.Logger = 1, store.Claims(o.ID, o.Lease), slog.New(slog.DiscardHandler)
	w, err := New(o)
	require.NoError(t, err)
	require.NoError(t, w.Start(t.Context()))
	_, err = e.Publish(t.Context(), "default", []byte("name: sums\ntasks:\n  - {name: a, type: sum}\n  - {name: b, type: sum}\n  - {name: c, type: sum}\n  - {name: d, type: sum}\n  - {name: e, type: sum}\n"), false)
	require.NoError(t, err)
	x, _, err := e.Start(t.Context(), "default", engine.StartRequest{Workflow: "sums"})
	require.NoError(t, err)
	places := 1 + reportsPerHandler
	for range places {
		<-slow.came
	}
	require.EqualValues(t, places, w.busy.Load())
	x, err = e.Execution(t.Context(), x.ID)
	require.NoError(t, err)
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskRunning: places, workflow.TaskQueued: 1}, x.TasksSummary)
	close(slow.open)
	<-slow.came
	require.NoError(t, w.Stop(context.Background())) // after the last result
	require.EqualValues(t, 1, most.Load())
	x, err = e.Execution(t.Context(), x.ID)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionSucceeded, x.Status)
}
