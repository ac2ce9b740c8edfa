// Package queuetest gives tests a Redis of their own: one real redis-server per
// test binary with a database per test, or a Cluster of three.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// databases is how many tests of one binary may use the shared server.
const databases = 4096

// Server is a redis-server process in a folder of its own.
type Server struct {
	Port int
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs a redis-server on a free port with further arguments of redis.conf's form.
func Start(args ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "redrive-redis-")
	if err != nil {
		return nil, fmt.Errorf("queuetest: %w", err)
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, dir: dir}
	if err := s.run(args...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// FreePort answers a TCP port on loopback that was free a moment ago, low
// enough that the cluster bus (10000 above) is a port, too.
func FreePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("queuetest: finding a free port: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("queuetest: finding a free port: %w", err)
		}
		if port < 55000 {
			return port, nil
		}
	}
	return 0, errors.New("queuetest: no free port below 55000")
}

func (s *Server) run(args ...string) error {
	full := append([]string{
		"--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", s.dir, "--databases", strconv.Itoa(databases),
		"--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning",
	}, args...)
	s.cmd = exec.Command("redis-server", full...)
	var out strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("queuetest: starting redis-server (is it installed? `go run ./test/run` does it): %w", err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer func() { _ = client.Close() }()
	for {
		if client.Ping(context.Background()).Err() == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("queuetest: redis-server ended: %s", out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// Dir is the folder of the server's files.
func (s *Server) Dir() string { return s.dir }

// Kill ends the process as kill -9 does; its files stay.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Restart runs the server again on the same port and files.
func (s *Server) Restart(args ...string) error { return s.run(args...) }

// Stop ends the process and removes its files.
func (s *Server) Stop() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

var shared struct {
	sync.Mutex
	server *Server
	next   int
}

// Run runs the tests of a package and stops what they shared. Use it in TestMain.
func Run(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.Stop()
	}
	return code
}

// URL answers the URL of an empty Redis database that only this test uses.
func URL(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := Start()
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	if shared.next == databases {
		t.Fatal("queuetest: out of databases")
	}
	db := shared.next
	shared.next++
	addr := shared.server.Addr()
	t.Cleanup(func() {
		c := redis.NewClient(&redis.Options{Addr: addr, DB: db})
		_ = c.FlushDB(context.Background()).Err()
		_ = c.Close()
	})
	return fmt.Sprintf("redis://%s/%d", addr, db)
}

// Cluster starts a Redis Cluster of three masters and answers its URL.
func Cluster(t testing.TB) string {
	t.Helper()
	var addrs []string
	for range 3 {
		s, err := Start("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--databases", "1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		addrs = append(addrs, s.Addr())
	}
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatalf("queuetest: redis-cli makes the cluster: %v", err)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	out, err := exec.Command(cli, append(args, "--cluster-replicas", "0", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("queuetest: creating the cluster: %v\n%s", err, out)
	}
	awaitCluster(t, addrs)
	return "redis://" + strings.Join(addrs, ",")
}

func awaitCluster(t testing.TB, addrs []string) {
	t.Helper()
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		for {
			info, err := c.ClusterInfo(context.Background()).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") {
				break
			}
			select {
			case <-t.Context().Done():
				t.Fatalf("queuetest: the cluster did not form: %s %v", info, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
		_ = c.Close()
	}
}
