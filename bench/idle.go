package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/queue/queuetest"
)

const idleWindow = 15 * time.Second

// idle times hops to a worker in another process that has nothing else to do,
// and what that worker costs Redis while nothing happens.
func idle(ctx context.Context, server *queuetest.Server, url string, hops int) error {
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = client.Close() }()
	before, err := cost(ctx, client, idleWindow)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the bench itself: %w", err)
	}
	worker := exec.Command(self, "-worker", url)
	worker.Stderr = os.Stderr
	out, err := worker.StdoutPipe()
	if err != nil {
		return err
	}
	if err := worker.Start(); err != nil {
		return fmt.Errorf("starting a worker process: %w", err)
	}
	defer func() {
		_ = worker.Process.Signal(syscall.SIGTERM)
		_ = worker.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("waiting for the worker process: %w", err)
	}
	used, err := cost(ctx, client, idleWindow)
	if err != nil {
		return err
	}
	if err := timeHops(ctx, url, hops); err != nil {
		return err
	}
	fmt.Printf("idle worker            %.2f %% of a core on Redis (%.2f %% with the worker, %.2f %% without)\n", used-before, used, before)
	return nil
}

func timeHops(ctx context.Context, url string, hops int) error {
	f, err := newFleet(ctx, url)
	if err != nil {
		return err
	}
	defer f.stop()
	if err := f.worker.Stop(ctx); err != nil { // the other process runs them
		return err
	}
	var times []float64
	for range hops {
		us, err := f.hop(ctx)
		if err != nil {
			return err
		}
		times = append(times, float64(us)/1000)
	}
	fmt.Printf("idle hop               p50 %.1f ms   p99 %.1f ms   (%d hops, from asking for an execution to its handler in another process)\n",
		median(times), quantile(times, .99), hops)
	return nil
}

func idleWorker(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	f, err := newFleet(ctx, url)
	if err != nil {
		return err
	}
	defer f.stop()
	time.Sleep(2 * time.Second) // past its first looks at everything
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// cost answers the percentage of a core that Redis uses over a window.
func cost(ctx context.Context, c *redis.Client, window time.Duration) (float64, error) {
	a, err := cpu(ctx, c)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	time.Sleep(window)
	b, err := cpu(ctx, c)
	return 100 * (b - a) / time.Since(began).Seconds(), err
}

func cpu(ctx context.Context, c *redis.Client) (float64, error) {
	info, err := c.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, fmt.Errorf("asking Redis what it used: %w", err)
	}
	total := 0.0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("%s of Redis is %q: %w", name, value, err)
			}
			total += v
		}
	}
	return total, nil
}

// usage measures the CPU seconds of Redis and of this process.
type usage struct {
	addr               string
	redisAt, processAt float64
}

func (u *usage) start() (err error) {
	u.redisAt, u.processAt, err = u.now()
	return err
}

func (u *usage) stop() (redis, own float64, err error) {
	redis, own, err = u.now()
	return redis - u.redisAt, own - u.processAt, err
}

func (u *usage) now() (float64, float64, error) {
	c := redis.NewClient(&redis.Options{Addr: u.addr})
	defer func() { _ = c.Close() }()
	used, err := cpu(context.Background(), c)
	if err != nil {
		return 0, 0, err
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0, fmt.Errorf("asking the system what this process used: %w", err)
	}
	return used, float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, nil
}
