package e2e

import (
	"net/url"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

// A task that fails until its file is there.
const fragile = `
name: fragile
tasks:
  - name: read
    type: exec
    with: { command: [cat, "${workflow.input.file}"] }
  - { name: after, type: noop, needs: [read] }
`

// jobs is asynqmon's list of the jobs in one state, and the numbers beside it.
type jobs struct {
	Tasks []struct {
		ID    string `json:"id"`
		Type  string `json:"type"`
		Error string `json:"error_message"`
	} `json:"tasks"`
	Stats struct {
		Pending  int `json:"pending"`
		Active   int `json:"active"`
		Archived int `json:"archived"`
	} `json:"stats"`
}

func monitored(t *testing.T, f *fleet.Fleet, state string) jobs {
	t.Helper()
	status, text := call(t, f, "GET", "/monitoring/api/queues/default/"+state+"_tasks", "", "")
	require.Equal(t, 200, status, text)
	return decode[jobs](t, text)
}

func awaitMonitored(t *testing.T, f *fleet.Fleet, pending, active, archived int) {
	t.Helper()
	fleet.Await(t, patience, "asynqmon shows what there is", func() bool {
		s := monitored(t, f, "pending").Stats
		return s.Pending == pending && s.Active == active && s.Archived == archived
	})
}

func TestRunInMonitoringRetriesTheTask(t *testing.T) {
	f := start(t, "--allow-exec", "cat")
	f.Publish(fragile)
	inspector := asynq.NewInspectorFromRedisClient(f.Client())
	for name, run := range map[string]func(id string){
		"through the door": func(id string) {
			status, text := call(t, f, "POST", "/monitoring/api/queues/default/archived_tasks/"+url.PathEscape(id)+":run", "", "")
			require.Equal(t, 204, status, text)
		},
		"behind the door, with asynq's inspector": func(id string) {
			require.NoError(t, inspector.RunTask("default", id))
		},
	} {
		t.Log(name)
		cause := t.TempDir() + "/cause"
		id := f.Start("fragile", map[string]string{"file": cause})
		x := await(t, f, id)
		require.EqualValues(t, "failed", x.Status)
		require.Equal(t, "exit_1", x.Error.Code)
		awaitMonitored(t, f, 0, 0, 1)
		archived := monitored(t, f, "archived").Tasks
		require.Equal(t, id+":read:1:1", archived[0].ID)
		require.Equal(t, "exec", archived[0].Type)
		require.Contains(t, archived[0].Error, "exit_1")
		require.Contains(t, archived[0].Error, "No such file")

		// Run while the cause is there: it fails again, as another attempt.
		run(archived[0].ID)
		fleet.Await(t, patience, "the second attempt failed", func() bool {
			task, err := f.API.Task(t.Context(), id, "read")
			require.NoError(t, err)
			x, err := f.API.Execution(t.Context(), id)
			require.NoError(t, err)
			return task.Attempt == 2 && x.Status == "failed"
		})
		fleet.Await(t, patience, "only the job of the second attempt is archived", func() bool {
			archived = monitored(t, f, "archived").Tasks
			return len(archived) == 1 && archived[0].ID == id+":read:2:1"
		})

		open(t, cause)
		run(archived[0].ID)
		fleet.Await(t, patience, "the execution succeeded", func() bool {
			x, err := f.API.Execution(t.Context(), id)
			require.NoError(t, err)
			return x.Status == "succeeded" && x.Redrives == 2
		})
		awaitMonitored(t, f, 0, 0, 0)
		var attempts []client.Attempt
		for a, err := range f.API.Attempts(t.Context(), id, "read") {
			require.NoError(t, err)
			attempts = append(attempts, a)
		}
		require.Len(t, attempts, 3)
		require.EqualValues(t, "failed", attempts[1].Status)
		require.EqualValues(t, "succeeded", attempts[2].Status)
		require.Contains(t, history(t, f, id), "execution.redriven")
	}
}

func TestMonitoringTellsTheTruth(t *testing.T) {
	f := start(t, "--allow-exec", "sh", "--concurrency", "2")
	f.Publish(gated)
	gate := t.TempDir() + "/gate"
	var ids []string
	for range 7 {
		ids = append(ids, f.Start("gated", map[string]string{"file": gate}))
	}
	awaitMonitored(t, f, 3, 4, 0) // two workers with two slots each
	active := map[string]bool{}
	for _, j := range monitored(t, f, "active").Tasks {
		active[j.ID] = true
	}
	running := 0
	for _, id := range ids {
		task, err := f.API.Task(t.Context(), id, "gate")
		require.NoError(t, err)
		require.Equal(t, task.Status == client.TaskStatusRunning, active[id+":gate:1:1"])
		if active[id+":gate:1:1"] {
			running++
		}
	}
	require.Equal(t, 4, running)
	open(t, gate)
	for _, id := range ids {
		require.EqualValues(t, "succeeded", await(t, f, id).Status)
	}
	awaitMonitored(t, f, 0, 0, 0)
}

func TestMonitoringIsBehindTheKeys(t *testing.T) {
	f := start(t)
	f.Publish(greeting)
	reader, errOut, code := f.CLI("key", "create", "--name", "reader", "--scope", "read", "-o", "name")
	require.Zero(t, code, errOut)
	status, _ := call(t, f, "GET", "/monitoring/", "", "")
	require.Equal(t, 200, status)
	admin := f.Key
	f.Key = reader[:len(reader)-1]
	status, _ = call(t, f, "GET", "/monitoring/", "", "")
	require.Equal(t, 200, status)
	status, _ = call(t, f, "POST", "/monitoring/api/queues/default:pause", "", "")
	require.Equal(t, 403, status)
	f.Key = "rdr_wrong"
	status, _ = call(t, f, "GET", "/monitoring/", "", "")
	require.Equal(t, 401, status)
	f.Key = admin
}
