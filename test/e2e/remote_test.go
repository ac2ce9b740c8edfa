package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

const remoteExample = "../../examples/remote"

// python starts the example's worker, with a lease of 2 s.
func python(t *testing.T, f *fleet.Fleet, name string) *fleet.Process {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("skipped: python3 is not on PATH, and the example's worker is written in it")
	}
	return fleet.Launch(t, name, interpreter, []string{
		"REDRIVE_SERVER=" + f.URL, "REDRIVE_API_KEY=" + f.Key, "WORKER=" + name, "LEASE=2s",
	}, filepath.Join(remoteExample, "worker.py"))
}

type remoteParts struct {
	*fleet.Fleet
	server *fleet.Process
}

// remoteFleet is a server and a Go worker, which knows nothing of word.count.
func remoteFleet(t *testing.T) remoteParts {
	t.Helper()
	t.Parallel()
	f := remoteParts{Fleet: fleet.New(t, queuetest.URL(t))}
	f.server = f.Server()
	f.Worker()
	source, err := os.ReadFile(filepath.Join(remoteExample, "workflow.yaml"))
	require.NoError(t, err)
	f.Publish(string(source))
	return f
}

func TestAPythonWorkerTakesPart(t *testing.T) {
	f := remoteFleet(t)
	id := f.Start("word-count", map[string]any{"text": "to be or not to be to"})
	python(t, f.Fleet, "py-1")
	x := await(t, f.Fleet, id)
	require.Equal(t, client.ExecutionStatus("succeeded"), x.Status, "%v", x.Error)
	require.JSONEq(t, `{"words":{"to":3,"be":2,"or":1,"not":1},"top":"to"}`, string(x.Output))
	require.Regexp(t, `(?m)^py-1 +polling +- +default=1 +word\.count`, f.Must("worker", "list"))

	id = f.Start("word-count", map[string]any{"text": "stop here", "pause": 300})
	awaitTask(t, f.Fleet, id, "count", "running")
	f.Must("cancel", id) // the worker hears of it and takes the next task
	id = f.Start("word-count", map[string]any{"text": "go on"})
	require.Equal(t, client.ExecutionStatus("succeeded"), await(t, f.Fleet, id).Status)
}

// TestAKilledPythonWorkerCostsNoTry: a second one takes over when the lease of the first has ended.
func TestAKilledPythonWorkerCostsNoTry(t *testing.T) {
	f := remoteFleet(t)
	first := python(t, f.Fleet, "py-1")
	id := f.Start("word-count", map[string]any{"text": "a b a", "pause": 3})
	require.Equal(t, "py-1", awaitTask(t, f.Fleet, id, "count", "running").Worker)
	first.Kill()
	python(t, f.Fleet, "py-2")
	x := await(t, f.Fleet, id)
	require.Equal(t, client.ExecutionStatus("succeeded"), x.Status, "%v", x.Error)
	require.JSONEq(t, `{"words":{"a":2,"b":1},"top":"a"}`, string(x.Output))
	task, err := f.API.Task(t.Context(), id, "count")
	require.NoError(t, err)
	require.Equal(t, "py-2", task.Worker)
	require.Equal(t, []int{1, 2, 1}, []int{task.Attempt, task.Dispatch, task.Try})
	// The kill may come before the worker has read what it was given: the server sees that and hands it on at once.
	taken := history(t, f.Fleet, id)
	require.True(t, slices.Contains(taken, "task.lost count") || slices.Contains(taken, "task.released count"), taken)
}

// TestTheGoClientWorks runs a task through the client, whose server is killed
// while the task runs; another server takes the report.
func TestTheGoClientWorks(t *testing.T) {
	f := remoteFleet(t)
	ctx, stop := context.WithCancel(t.Context())
	began, killed := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		poll := client.PollRequest{Types: []string{"word.count"}, Worker: "go", Wait: "30s", Lease: "30s", Max: 2}
		done <- f.API.WorkRemote(ctx, poll, func(_ context.Context, run client.RemoteRun) (any, error) {
			if run.Attempt == 1 {
				return nil, client.RemoteError{Code: "not_yet", Message: "the first try fails"}
			}
			close(began)
			<-killed
			return map[string]int{"a": 1}, nil
		})
	}()
	id := f.Start("word-count", map[string]any{"text": "a"})
	<-began
	f.server.Kill()
	f.Server()
	close(killed)
	x := await(t, f.Fleet, id)
	require.Equal(t, client.ExecutionStatus("succeeded"), x.Status, "%v", x.Error)
	task, err := f.API.Task(t.Context(), id, "count")
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 2}, []int{task.Attempt, task.Dispatch, task.Try})
	stop()
	require.NoError(t, <-done)
}
