package e2e

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

func status(t *testing.T, f *fleet.Fleet, path string) int {
	t.Helper()
	code, _ := call(t, f, "GET", path, "", "")
	return code
}

func TestReadyFollowsRedis(t *testing.T) {
	t.Parallel()
	own, err := queuetest.Start("--appendonly", "yes", "--appendfsync", "always")
	require.NoError(t, err)
	t.Cleanup(func() { own.Stop() })
	f := fleet.New(t, "redis://"+own.Addr()+"/0")
	f.Server()
	f.Worker()
	f.Publish(greeting)
	require.Equal(t, 200, status(t, f, "/readyz"))
	require.EqualValues(t, "succeeded", await(t, f, f.Start("greeting", map[string]string{"name": "Ada"})).Status)

	own.Kill()
	fleet.Await(t, patience, "/readyz is red", func() bool { return status(t, f, "/readyz") == 503 })
	require.Equal(t, 200, status(t, f, "/healthz"), "the process lives")
	code, text := call(t, f, "POST", "/v1/projects/default/executions", "application/json", `{"workflow":"greeting","input":{"name":"Ada"}}`)
	require.Equal(t, 503, code, text)
	require.NotContains(t, text, "dial tcp", "internals stay inside")

	require.NoError(t, own.Restart("--appendonly", "yes", "--appendfsync", "always"))
	fleet.Await(t, patience, "/readyz is green", func() bool { return status(t, f, "/readyz") == 200 })
	var id string
	fleet.Await(t, patience, "executions are accepted again", func() bool {
		x, _, err := f.API.Start(t.Context(), "default", client.StartRequest{Workflow: "greeting", Input: client.JSON(`{"name":"Eve"}`)})
		if err == nil {
			id = x.ID
		}
		return err == nil
	})
	require.EqualValues(t, "succeeded", await(t, f, id).Status, "the worker found its way back")
}

func TestMetrics(t *testing.T) {
	f := start(t, "--listen", "127.0.0.1:0")
	f.Publish(greeting)
	await(t, f, f.Start("greeting", map[string]string{"name": "Ada"}))
	fleet.Await(t, patience, "the metrics count the execution", func() bool {
		code, text := call(t, f, "GET", "/metrics", "", "")
		require.Equal(t, 200, code)
		return strings.Contains(text, "redrive_executions_started_total 1") &&
			strings.Contains(text, `redrive_executions{project="default",status="succeeded"} 1`) &&
			strings.Contains(text, "redrive_http_request_duration_seconds_count")
	})
}

// sse reads events from a stream until it ends, or until limit events came.
func sse(t *testing.T, f *fleet.Fleet, id, after string, limit int) (ids, kinds []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", f.URL+"/v1/executions/"+id+"/events", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+f.Key)
	r.Header.Set("Accept", "text/event-stream")
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	resp, err := f.HTTP.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, resp.Header.Get("Content-Type"), "text/event-stream")
	for lines := bufio.NewScanner(resp.Body); lines.Scan() && len(kinds) < limit; {
		if v, ok := strings.CutPrefix(lines.Text(), "id:"); ok {
			ids = append(ids, strings.TrimSpace(v))
		}
		if v, ok := strings.CutPrefix(lines.Text(), "event:"); ok {
			kinds = append(kinds, strings.TrimSpace(v))
			if kinds[len(kinds)-1] == "end" {
				return ids, kinds
			}
		}
	}
	return ids, kinds
}

func TestEventsOverHTTP(t *testing.T) {
	f := start(t, "--allow-exec", "sh")
	f.Publish(gated)
	gate := t.TempDir() + "/gate"
	id := f.Start("gated", map[string]string{"file": gate})
	ids, kinds := sse(t, f, id, "", 2) // while it runs
	require.Equal(t, []string{"execution.started", "task.running"}, kinds)
	open(t, gate)
	_, rest := sse(t, f, id, ids[1], 100)
	require.Equal(t, []string{"task.succeeded", "task.running", "task.succeeded", "execution.succeeded", "end"}, rest)
	_, all := sse(t, f, id, "", 100)
	require.Equal(t, append(kinds, rest...), all)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, queuetest.URL(t))
	config := file(t, "worker.yaml", "redis: "+f.Redis+"\nconcurrency: 3\nqueues: { default: 2, reports: 1 }\nallow_exec: [cat, sort]\nlog_level: info\n")
	binary, err := fleet.Build(fleet.Redrive)
	require.NoError(t, err)
	f.Server()
	worker := func(env []string, args ...string) client.Worker {
		p := fleet.Launch(t, "worker", binary, env, append([]string{"worker", "--config", config}, args...)...)
		var found client.Worker
		fleet.Await(t, patience, "the worker is announced", func() bool {
			workers, err := f.API.Workers(t.Context())
			require.NoError(t, err)
			for _, w := range workers {
				if w.Pid == p.PID() {
					found = w
				}
			}
			return found.ID != ""
		})
		return found
	}
	w := worker(nil)
	require.Equal(t, 3, w.Concurrency)
	require.Equal(t, map[string]int{"default": 2, "reports": 1}, w.Queues)
	w = worker([]string{"REDRIVE_CONCURRENCY=4", "REDRIVE_QUEUES=default=7"})
	require.Equal(t, 4, w.Concurrency, "the environment beats the file")
	require.Equal(t, map[string]int{"default": 7}, w.Queues)
	w = worker([]string{"REDRIVE_CONCURRENCY=4"}, "--concurrency", "5")
	require.Equal(t, 5, w.Concurrency, "a flag beats both")

	for _, command := range []string{"worker", "server"} {
		for _, c := range []struct{ file, env, arg, want string }{
			{file: "redis: " + f.Redis + "\nlog_levle: info\n", want: `"log_levle" is unknown; did you mean log_level?`},
			{file: "redis: [" + f.Redis, want: "no YAML"},
			{file: "retention: soon\n", want: "--retention"},
			{env: "REDRIVE_RETENTOIN=1h", want: "REDRIVE_RETENTION"},
			{env: "REDRIVE_RETENTION=1", want: "a duration"},
			{arg: "--retention=-1s", want: "1s to"},
			{arg: "--no-such", want: "no-such"},
			{arg: "--redis=localhost", want: "no scheme"},
		} {
			args := []string{command, "--redis", f.Redis}
			if c.file != "" {
				args = append(args, "--config", file(t, "bad.yaml", c.file))
			}
			if c.arg != "" {
				args = append(args, c.arg)
			}
			p := fleet.Launch(t, command, binary, []string{c.env}, args...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			code, err := p.Wait(ctx)
			cancel()
			require.NoError(t, err, "%s started with %+v", command, c)
			require.Contains(t, p.Log(), c.want)
			require.Equal(t, 2, code, p.Log())
		}
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, queuetest.URL(t))
	f.Server()
	f.Publish(gated)
	stop := func(p *fleet.Process) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		code, err := p.Wait(ctx)
		require.NoError(t, err)
		require.Zero(t, code, p.Log())
	}
	run := func() (id, gate string) {
		gate = t.TempDir() + "/gate"
		id = f.Start("gated", map[string]string{"file": gate})
		awaitTask(t, f, id, "gate", client.TaskStatusRunning)
		return id, gate
	}

	patient := f.Worker("--allow-exec", "sh", "--drain", "1m")
	id, gate := run()
	require.NoError(t, patient.Terminate())
	fleet.Await(t, patience, "the worker drains", func() bool { return strings.Contains(patient.Log(), `"msg":"worker drains"`) })
	open(t, gate)
	stop(patient)
	task := awaitTask(t, f, id, "gate", client.TaskStatusSucceeded)
	require.Equal(t, []int{1, 1, 1}, []int{task.Attempt, task.Try, task.Dispatch}, "it finished where it ran")

	hasty := f.Worker("--allow-exec", "sh", "--drain", "100ms")
	second, gate := run()
	require.NoError(t, hasty.Terminate())
	stop(hasty)
	task, err := f.API.Task(t.Context(), second, "gate")
	require.NoError(t, err)
	require.EqualValues(t, "queued", task.Status)
	require.Equal(t, []int{1, 1, 2}, []int{task.Attempt, task.Try, task.Dispatch}, "handed over: no try was used")
	f.Worker("--allow-exec", "sh")
	awaitTask(t, f, second, "gate", client.TaskStatusRunning)
	open(t, gate)
	require.EqualValues(t, "succeeded", await(t, f, second).Status)
	require.EqualValues(t, "succeeded", await(t, f, id).Status)
	task, err = f.API.Task(t.Context(), second, "gate")
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{task.Attempt, task.Try})
	require.Contains(t, history(t, f, second), "task.released gate")
	workers, err := f.API.Workers(t.Context())
	require.NoError(t, err)
	require.Len(t, workers, 1, "those that drained said good-bye")
	_, err = os.Stat(gate)
	require.NoError(t, err)
}
