package queue

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var wakeJobs = flag.Int("wake-jobs", 2500, "jobs that TestNoWakeUpIsLost sends one by one")

// wakeRedis starts a redis-server of the test's own and returns how to reach it.
func wakeRedis(t *testing.T) *redis.Options {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not on PATH")
	}
	socket := filepath.Join(t.TempDir(), "redis.sock")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return &redis.Options{Network: "unix", Addr: socket}
}

func wakeClient(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	copied := *o
	c := redis.NewClient(&copied)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func startWaker(t *testing.T, c redis.UniversalClient) *Waker {
	t.Helper()
	w := NewWaker(c, nil)
	require.NoError(t, w.Start(t.Context()))
	t.Cleanup(func() { _ = w.Stop(context.Background()) })
	return w
}

// wakeServer runs a real asynq server whose polls are too rare to help.
func wakeServer(t *testing.T, o *redis.Options, h *WakeHook, queues map[string]int, f asynq.HandlerFunc) *asynq.Server {
	t.Helper()
	c := wakeClient(t, o)
	c.AddHook(h)
	s := asynq.NewServerFromRedisClient(c, asynq.Config{
		Concurrency: 4, Queues: queues, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	require.NoError(t, s.Start(f))
	t.Cleanup(func() {
		h.Stop()
		s.Shutdown()
	})
	return s
}

// TestNoWakeUpIsLost sends jobs one by one from another client. The poll is
// switched off, so that each of them must be found by its wake-up.
func TestNoWakeUpIsLost(t *testing.T) {
	leaks(t)
	o := wakeRedis(t)
	queues := map[string]int{"q.high": 3, "q": 2, "q.low": 1}
	names := []string{"q.high", "q", "q.low"}

	far := startWaker(t, wakeClient(t, o))
	h := far.Hook(names)
	h.wait = time.Hour
	done := make(chan string, 1)
	wakeServer(t, o, h, queues, func(_ context.Context, task *asynq.Task) error {
		done <- string(task.Payload())
		return nil
	})

	near := startWaker(t, wakeClient(t, o))
	client := asynq.NewClientFromRedisClient(wakeClient(t, o))
	jobs := *wakeJobs
	var hops []time.Duration
	for i := range jobs {
		id := strconv.Itoa(i)
		at := time.Now()
		_, err := client.Enqueue(asynq.NewTask("t", []byte(id)), asynq.Queue(names[i%3]))
		require.NoError(t, err)
		near.Notify(names[i%3])
		select {
		case got := <-done:
			require.Equal(t, id, got)
		case <-time.After(time.Minute):
			require.FailNow(t, "the wake-up was lost", "job %s, %+v", id, h.Stats())
		}
		hops = append(hops, time.Since(at))
	}
	slices.Sort(hops)
	t.Logf("hop p50 %v p99 %v, %+v", hops[len(hops)/2], hops[len(hops)*99/100], h.Stats())
	require.Zero(t, h.Stats().Late)
}

// TestClusterClientIsWoken runs the hook in a cluster client, on a cluster of one node.
func TestClusterClientIsWoken(t *testing.T) {
	leaks(t)
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not on PATH")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	require.NoError(t, free.Close())
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(),
		"--cluster-enabled", "yes", "--cluster-port", "0")
	if n, err := strconv.Atoi(port); err == nil && n > 55_000 { // the default cluster port would be too high
		cmd.Args = append(cmd.Args[:len(cmd.Args)-1], strconv.Itoa(n-10_000))
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	node := wakeClient(t, &redis.Options{Addr: addr})
	require.Eventually(t, func() bool { return node.Ping(t.Context()).Err() == nil }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, node.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err())
	require.Eventually(t, func() bool {
		info, err := node.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, 30*time.Second, 10*time.Millisecond)
	cluster := func() *redis.ClusterClient {
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	far, near := startWaker(t, cluster()), startWaker(t, cluster())
	h := far.Hook([]string{"q"})
	h.wait = time.Hour
	c := cluster()
	c.AddHook(h)
	done := make(chan struct{}, 1)
	s := asynq.NewServerFromRedisClient(c, asynq.Config{Concurrency: 2, Queues: map[string]int{"q": 1},
		TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel})
	require.NoError(t, s.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		done <- struct{}{}
		return nil
	})))
	t.Cleanup(func() { h.Stop(); s.Shutdown() })
	jobs := asynq.NewClientFromRedisClient(cluster())
	for range 100 {
		_, err := jobs.Enqueue(asynq.NewTask("t", nil), asynq.Queue("q"))
		require.NoError(t, err)
		near.Notify("q")
		select {
		case <-done:
		case <-time.After(time.Minute):
			require.FailNow(t, "the wake-up was lost", "%+v", h.Stats())
		}
	}
	require.NotZero(t, h.Stats().Asked)
}

// TestWakeUpsMerge floods one Waker and expects far fewer messages than calls.
func TestWakeUpsMerge(t *testing.T) {
	leaks(t)
	o := wakeRedis(t)
	c := wakeClient(t, o)
	near, far := startWaker(t, c), startWaker(t, wakeClient(t, o))
	h := far.Hook([]string{"a", "b"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2_000 {
				near.Notify("a")
			}
		})
	}
	wg.Wait()
	near.Notify("b")
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.lanes["a"].hints > 0 && h.lanes["b"].hints == 1
	}, 30*time.Second, time.Millisecond)
	require.Less(t, h.lanes["a"].hints, uint64(16_000/2))
}

func TestSubscriptionComesBack(t *testing.T) {
	leaks(t)
	o := wakeRedis(t)
	admin := wakeClient(t, o)
	w := startWaker(t, wakeClient(t, o))
	h := w.Hook([]string{"q"})
	require.NoError(t, admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
	hints := func() uint64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.lanes["q"].hints
	}
	require.Eventually(t, func() bool { return hints() > 0 }, 30*time.Second, time.Millisecond, "a new subscription hints every queue")
	other := startWaker(t, admin)
	before := hints()
	other.Notify("q")
	require.Eventually(t, func() bool { return hints() > before }, 30*time.Second, time.Millisecond)
}

func TestStopLetsTheServerGo(t *testing.T) {
	leaks(t)
	o := wakeRedis(t)
	w := startWaker(t, wakeClient(t, o))
	h := w.Hook([]string{"q"})
	h.wait = time.Hour
	s := wakeServer(t, o, h, map[string]int{"q": 1}, func(context.Context, *asynq.Task) error { return nil })
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.changed != nil
	}, 30*time.Second, time.Millisecond, "the dequeue waits")
	h.Stop()
	s.Stop() // would hang until the dequeue returns
	require.Empty(t, w.hooks)
}

func TestWakerStops(t *testing.T) {
	leaks(t)
	o := wakeRedis(t)
	w := NewWaker(wakeClient(t, o), nil)
	w.Notify("q") // before Start: local only, no panic
	require.NoError(t, w.Start(t.Context()))
	require.Error(t, w.Start(t.Context()))
	require.NoError(t, w.Stop(t.Context()))
	require.NoError(t, w.Stop(t.Context()))
	w.Notify("q")
	require.Error(t, w.Start(t.Context()))

	unreachable := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second})
	defer unreachable.Close()
	w = NewWaker(unreachable, nil)
	require.Error(t, w.Start(t.Context()))
	require.NoError(t, w.Stop(t.Context()))
}

// fakeAsynq asks through the hook as asynq's processor does.
type fakeAsynq struct {
	hook   *WakeHook
	queues []string
	redis  func(queue string) error
	asked  map[string]int
}

func (f *fakeAsynq) dequeue(ctx context.Context) error {
	process := f.hook.ProcessHook(func(_ context.Context, cmd redis.Cmder) error {
		q := dequeueOf(cmd)
		f.asked[q]++
		return f.redis(q)
	})
	for _, q := range f.queues {
		if err := process(ctx, dequeueCmd(ctx, q)); !errors.Is(err, redis.Nil) {
			return err
		}
	}
	time.Sleep(time.Millisecond)
	return redis.Nil
}

func dequeueCmd(ctx context.Context, queue string) redis.Cmder {
	p := "asynq:{" + queue + "}:"
	return redis.NewCmd(ctx, "evalsha", "0123", 4, p+"pending", p+"paused", p+"active", p+"lease", 1, p+"t:")
}

func TestIdleServerAsksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q.high", "q", "q.low"})
		f := &fakeAsynq{hook: h, queues: []string{"q.high", "q", "q.low"}, asked: map[string]int{},
			redis: func(string) error { return redis.Nil }}
		for start := time.Now(); time.Since(start) < time.Minute; {
			require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil)
		}
		for _, q := range f.queues {
			require.InDelta(t, 63, f.asked[q], 6, q)
		}
	})
}

// TestEmptyLanesCostNothing keeps one queue busy: the others are asked once a second.
func TestEmptyLanesCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q.high", "q", "q.low"})
		f := &fakeAsynq{hook: h, queues: []string{"q.high", "q", "q.low"}, asked: map[string]int{}}
		f.redis = func(q string) error {
			if q == "q" {
				time.Sleep(time.Millisecond)
				return nil
			}
			return redis.Nil
		}
		for start := time.Now(); time.Since(start) < 10*time.Second; {
			require.NoError(t, f.dequeue(t.Context()))
		}
		require.Greater(t, f.asked["q"], 9000)
		require.LessOrEqual(t, f.asked["q.high"], 12)
		require.GreaterOrEqual(t, f.asked["q.high"], 9, "a wake-up may get lost")
	})
}

// TestHintDuringTheReply covers the gap between Redis' answer and the wait.
func TestHintDuringTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q"})
		f := &fakeAsynq{hook: h, queues: []string{"q"}, asked: map[string]int{}}
		f.redis = func(string) error {
			if f.asked["q"] == 1 {
				h.hint([]string{"q"}) // the job came after Redis looked
				return redis.Nil
			}
			return nil
		}
		start := time.Now()
		require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil)
		require.NoError(t, f.dequeue(t.Context()))
		require.Less(t, time.Since(start), 10*time.Millisecond)
		require.Zero(t, h.Stats().Late)
	})
}

func TestPollFindsWhatNobodyAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q"})
		f := &fakeAsynq{hook: h, queues: []string{"q"}, asked: map[string]int{}}
		f.redis = func(string) error {
			if f.asked["q"] == 1 {
				return redis.Nil
			}
			return nil
		}
		start := time.Now()
		require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil)
		require.NoError(t, f.dequeue(t.Context()))
		require.LessOrEqual(t, time.Since(start), time.Second+time.Millisecond)
		require.EqualValues(t, 1, h.Stats().Late)
	})
}

func TestUnreachableRedisIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q"})
		f := &fakeAsynq{hook: h, queues: []string{"q"}, asked: map[string]int{}, redis: func(string) error { return io.EOF }}
		for start := time.Now(); time.Since(start) < time.Minute; {
			require.ErrorIs(t, f.dequeue(t.Context()), io.EOF, "errors pass through")
		}
		require.Less(t, f.asked["q"], 70)
		f.redis = func(string) error { return nil }
		require.NoError(t, f.dequeue(t.Context()), "and the server goes on when Redis is back")
	})
}

func TestHeldServerTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q"})
		f := &fakeAsynq{hook: h, queues: []string{"q"}, asked: map[string]int{}, redis: func(string) error { return nil }}
		h.Hold()
		go func() {
			time.Sleep(5 * time.Second)
			h.Resume()
		}()
		start := time.Now()
		for f.dequeue(t.Context()) != nil {
			require.Zero(t, f.asked["q"])
		}
		require.InDelta(t, 5, time.Since(start).Seconds(), 0.01)
		h.Stop()
		require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil, "after Stop nothing is taken")
	})
}

func TestServerWithoutRoomTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q"})
		f := &fakeAsynq{hook: h, queues: []string{"q"}, asked: map[string]int{}, redis: func(string) error { return nil }}
		var room atomic.Bool
		h.While(room.Load)
		go func() {
			time.Sleep(5500 * time.Millisecond)
			h.Freed() // for nothing
			time.Sleep(time.Millisecond)
			room.Store(true)
			h.Freed()
		}()
		start := time.Now()
		for f.dequeue(t.Context()) != nil {
			require.Zero(t, f.asked["q"])
		}
		require.InDelta(t, 5.501, time.Since(start).Seconds(), 0.01, "at once when there is room")
		h.Stop()
		require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil, "after Stop nothing is taken")
	})
}

// TestAFullServerGivesUpInTime: asynq counts the lease of a job from before it asks, so no call waits longer than one poll, however many hints come.
func TestAFullServerGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q"})
		f := &fakeAsynq{hook: h, queues: []string{"q"}, asked: map[string]int{}, redis: func(string) error { return nil }}
		h.While(func() bool { return false })
		stop := time.AfterFunc(300*time.Millisecond, func() { h.hint([]string{"q"}) })
		defer stop.Stop()
		again := time.AfterFunc(900*time.Millisecond, h.Freed)
		defer again.Stop()
		start := time.Now()
		require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil)
		require.LessOrEqual(t, time.Since(start), h.wait+time.Millisecond)
		require.Zero(t, f.asked["q"])
	})
}

// TestAFullServerWaitsOncePerRound: the weights choose which queue a round begins with, and that one waits for room; the others of the round are passed over.
func TestAFullServerWaitsOncePerRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWakeHook([]string{"q.high", "q", "q.low"})
		f := &fakeAsynq{hook: h, queues: []string{"q.high", "q", "q.low"}, asked: map[string]int{}, redis: func(string) error { return nil }}
		var room atomic.Bool
		h.While(room.Load)
		for range 3 {
			start := time.Now()
			require.ErrorIs(t, f.dequeue(t.Context()), redis.Nil)
			require.LessOrEqual(t, time.Since(start), h.wait+time.Millisecond, "one wait for all three")
		}
		time.AfterFunc(h.wait/2, func() {
			room.Store(true)
			h.Freed()
		})
		require.NoError(t, f.dequeue(t.Context()))
		require.Equal(t, map[string]int{"q.high": 1}, f.asked, "the one that the round began with")
	})
}

func TestOnlyDequeuesAreHeldBack(t *testing.T) {
	ctx := t.Context()
	p := "asynq:{q}:"
	for _, cmd := range []redis.Cmder{
		redis.NewCmd(ctx, "get", "k"),
		redis.NewCmd(ctx, "evalsha", "0", 4, p+"active", p+"lease", p+"pending", p+"t:1", 1, 2),
		redis.NewCmd(ctx, "evalsha", "0", 4, p+"pending", "asynq:{other}:paused", p+"active", p+"lease", 1, 2),
		redis.NewCmd(ctx, "evalsha", "0", 1, p+"pending", p+"paused", p+"active", p+"lease", 1, 2),
	} {
		require.Empty(t, dequeueOf(cmd), "%v", cmd.Args())
	}
	require.Equal(t, "a:b", dequeueOf(dequeueCmd(ctx, "a:b")))
}

func leaks(t *testing.T) {
	t.Helper()
	known := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, known) })
}
