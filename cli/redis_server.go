package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// redisServer is a redis-server that this process started and owns, with
// append-only persistence in a folder of its own.
type redisServer struct {
	cmd  *exec.Cmd
	addr string
	done chan struct{} // closed when it ended
	err  error         // why; valid after done
	log  *tail
}

const pidFile = "redis.pid"

// startRedisServer starts the redis-server of PATH on a free port of loopback.
func startRedisServer(ctx context.Context, dir string) (*redisServer, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, &failure{
			code: exitFailed, err: errors.New("--data keeps the state with a redis-server, and there is none on PATH"),
			next: "Install Redis 6.2 or newer, or leave --data out: then the state is gone when dev stops.",
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if err := refuseSecond(dir); err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	r := &redisServer{addr: addr, done: make(chan struct{}), log: &tail{}}
	// Its life is ended by stop, in order, and not by the context of the start.
	r.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--pidfile", filepath.Join(dir, pidFile),
		"--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning")
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	ownGroup(r.cmd)
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.done)
	}()
	if err := r.waitReady(ctx); err != nil {
		return nil, errors.Join(err, r.stop(context.WithoutCancel(ctx)))
	}
	return r, nil
}

func (r *redisServer) url() string { return "redis://" + r.addr + "/0" }

// waitReady waits until it answers, which can take a while when it loads much.
func (r *redisServer) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-r.done:
			return fmt.Errorf("redis-server ended at once: %w\n%s", r.err, r.log)
		case <-ctx.Done():
			return fmt.Errorf("wait for redis-server: %w", ctx.Err())
		case <-ticker.C:
			if answers(ctx, r.addr) {
				return nil
			}
		}
	}
}

// answers reports whether a Redis at addr has loaded its data.
func answers(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 7)
	n, err := conn.Read(answer)
	return err == nil && strings.HasPrefix(string(answer[:n]), "+PONG")
}

// stop asks it to save and end, and kills it when ctx is done first.
func (r *redisServer) stop(ctx context.Context) error {
	if err := terminate(r.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop redis-server: %w", err)
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill redis-server: %w", err)
		}
		<-r.done
		return fmt.Errorf("redis-server did not end in time and was killed: %w", ctx.Err())
	}
}

// refuseSecond keeps two servers from writing to one folder.
func refuseSecond(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, pidFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	pid, ok := parsePID(string(content))
	if !ok || !alive(pid) {
		return nil
	}
	return &failure{
		code: exitConflict, err: fmt.Errorf("--data %s is used by the redis-server with process id %d", dir, pid),
		next: fmt.Sprintf("Stop the other `redrive dev`, or that server (kill %d), or use another folder.", pid),
	}
}

func parsePID(text string) (int, bool) {
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	return pid, err == nil
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// tail keeps the last bytes that were written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > tailBytes {
		t.b = bytes.Clone(t.b[len(t.b)-tailBytes:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
