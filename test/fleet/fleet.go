package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue"
)

// patience bounds what a test waits for; it is no measure of speed.
const patience = 60 * time.Second

// Fleet is processes over one Redis, and the ways a user reaches them.
type Fleet struct {
	URL   string // of the server, after Server
	Key   string // an API key with scope admin
	Redis string
	API   *client.Client
	HTTP  *http.Client

	t       testing.TB
	binary  string
	process []string // arguments of every server and worker
}

// New makes an admin key in an empty Redis. args are for every server and worker.
func New(t testing.TB, redisURL string, args ...string) *Fleet {
	t.Helper()
	binary, err := Build(Redrive)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	f := &Fleet{Redis: redisURL, t: t, binary: binary, process: args, HTTP: &http.Client{Transport: transport}}
	t.Cleanup(transport.CloseIdleConnections)
	out, errOut, code := f.CLI("key", "create", "--name", "test", "--scope", "admin", "--redis", redisURL, "-o", "name")
	if code != 0 {
		t.Fatalf("redrive key create: exit code %d: %s", code, errOut)
	}
	f.Key = strings.TrimSpace(out)
	return f
}

// Server starts `redrive server` and waits until it is ready. The first one
// picks a port, and later ones take the same, as after a crash.
func (f *Fleet) Server(args ...string) *Process {
	f.t.Helper()
	listen := "127.0.0.1:0"
	if f.URL != "" {
		listen = strings.TrimPrefix(f.URL, "http://")
	}
	all := append([]string{"server", "--redis", f.Redis, "--listen", listen}, f.process...)
	p := Launch(f.t, "server", f.binary, nil, append(all, args...)...)
	Await(f.t, patience, "the server is ready", func() bool {
		url := ready(p)
		if url != "" && f.URL == "" {
			f.URL = url
		}
		return url != "" || ended(p)
	})
	if ended(p) {
		f.t.Fatalf("the server did not start:\n%s", p.Log())
	}
	api, err := client.New(f.URL, client.Options{APIKey: f.Key, HTTPClient: f.HTTP})
	if err != nil {
		f.t.Fatal(err)
	}
	f.API = api
	return p
}

func ended(p *Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// ready reads the URL that a server logs when it is up.
func ready(p *Process) string {
	for line := range strings.Lines(p.Log()) {
		var entry struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "the server is ready" {
			return entry.URL
		}
	}
	return ""
}

// Worker starts `redrive worker` and waits until it takes jobs.
func (f *Fleet) Worker(args ...string) *Process {
	f.t.Helper()
	return f.started(f.LaunchWorker(f.binary, nil, append([]string{"worker"}, args...)...))
}

// OwnWorker starts another worker binary and waits until it takes jobs.
func (f *Fleet) OwnWorker(binary string, env []string, args ...string) *Process {
	f.t.Helper()
	return f.started(f.LaunchWorker(binary, env, args...))
}

// LaunchWorker starts a worker and does not wait.
func (f *Fleet) LaunchWorker(binary string, env []string, args ...string) *Process {
	f.t.Helper()
	args = append(append(args, "--redis", f.Redis), f.process...)
	return Launch(f.t, "worker", binary, env, args...)
}

func (f *Fleet) started(p *Process) *Process {
	f.t.Helper()
	Await(f.t, patience, "the worker has started", func() bool {
		return strings.Contains(p.Log(), `"msg":"worker started"`) || ended(p)
	})
	if ended(p) {
		f.t.Fatalf("the worker did not start:\n%s", p.Log())
	}
	return p
}

// CLI runs a command of redrive as a user does, and answers its output and exit code.
func (f *Fleet) CLI(args ...string) (out, errOut string, code int) {
	return f.CLIWith("", args...)
}

// CLIWith is CLI with an input.
func (f *Fleet) CLIWith(input string, args ...string) (out, errOut string, code int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.binary, args...)
	cmd.Env = append(cleanEnvironment(), "NO_COLOR=1")
	if f.URL != "" {
		cmd.Env = append(cmd.Env, "REDRIVE_SERVER="+f.URL, "REDRIVE_API_KEY="+f.Key)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatalf("redrive %s: %v", strings.Join(args, " "), err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// Must is CLI for a command that succeeds; it answers what was printed.
func (f *Fleet) Must(args ...string) string {
	f.t.Helper()
	out, errOut, code := f.CLI(args...)
	if code != 0 {
		f.t.Fatalf("redrive %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// Publish publishes a definition over the API.
func (f *Fleet) Publish(source string) {
	f.t.Helper()
	if _, err := f.API.Publish(f.t.Context(), "default", []byte(source), false); err != nil {
		f.t.Fatalf("publishing: %v\n%s", err, source)
	}
}

// Start starts an execution and answers its id.
func (f *Fleet) Start(workflow string, input any) string {
	f.t.Helper()
	r := client.StartRequest{Workflow: workflow}
	if input != nil {
		b, err := json.Marshal(input)
		if err != nil {
			f.t.Fatal(err)
		}
		r.Input = b
	}
	x, _, err := f.API.Start(f.t.Context(), "default", r)
	if err != nil {
		f.t.Fatalf("starting %s: %v", workflow, err)
	}
	return x.ID
}

// Client opens a connection to the fleet's Redis.
func (f *Fleet) Client() redis.UniversalClient {
	f.t.Helper()
	return Connect(f.t, f.Redis)
}

// Connect opens a connection to a Redis, a Cluster too, for the time of the test.
func Connect(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	o, err := queue.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
