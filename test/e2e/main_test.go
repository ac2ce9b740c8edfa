package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

// patience bounds what a test waits for; it is no measure of speed.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	code := queuetest.Run(m)
	if err := fleet.Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// start is a server and two workers on a Redis database of their own.
func start(t *testing.T, workerArgs ...string) *fleet.Fleet {
	t.Helper()
	t.Parallel()
	f := fleet.New(t, queuetest.URL(t))
	f.Server()
	f.Worker(workerArgs...)
	f.Worker(workerArgs...)
	return f
}

// call speaks HTTP to the server and answers the status and the body.
func call(t *testing.T, f *fleet.Fleet, method, path, mediaType, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+f.Key)
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	resp, err := f.HTTP.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// await waits for the end of an execution.
func await(t *testing.T, f *fleet.Fleet, id string) *client.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	x, err := f.API.Wait(ctx, id)
	require.NoError(t, err)
	return x
}

// awaitTask waits until a task has a status.
func awaitTask(t *testing.T, f *fleet.Fleet, id, ref string, status client.TaskStatus) *client.Task {
	t.Helper()
	var task *client.Task
	fleet.Await(t, patience, ref+" is "+string(status), func() bool {
		var err error
		task, err = f.API.Task(t.Context(), id, ref)
		require.NoError(t, err)
		return task.Status == status
	})
	return task
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// history lists the types of an execution's events, with refs.
func history(t *testing.T, f *fleet.Fleet, id string) []string {
	t.Helper()
	var all []string
	for e, err := range f.API.History(t.Context(), id) {
		require.NoError(t, err)
		all = append(all, strings.TrimSpace(e.Type+" "+e.Ref))
	}
	return all
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func readAll(r io.Reader) (string, error) {
	text, err := io.ReadAll(r)
	return string(text), err
}
