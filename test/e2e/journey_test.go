package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

const greeting = `
name: greeting
input_schema:
  type: object
  required: [name]
  additionalProperties: false
  properties:
    name: { type: string, minLength: 2 }
    times: { type: integer, minimum: 1 }
tasks:
  - name: hello
    type: transform
    with: { value: "${workflow.input.name}", jq: '"Hello, " + . + "!"' }
  - name: shout
    type: transform
    needs: [hello]
    with: { value: "${tasks.hello.output}", jq: ascii_upcase }
  - name: done
    type: noop
    needs: [hello, shout]
output: "${tasks.shout.output}"
`

func TestJourney(t *testing.T) {
	f := start(t)
	require.Contains(t, f.Must("workflow", "publish", file(t, "greeting.yaml", greeting)), "greeting")
	require.Contains(t, f.Must("workflow", "list", "-o", "name"), "greeting")

	out, errOut, code := f.CLI("run", "greeting", "--set", "name=Ada", "--wait", "-o", "json")
	require.Zero(t, code, errOut)
	x := decode[client.Execution](t, out)
	require.EqualValues(t, "succeeded", x.Status)
	require.JSONEq(t, `"HELLO, ADA!"`, string(x.Output))
	require.Equal(t, map[string]int{"succeeded": 3}, present(x.TasksSummary))

	require.Contains(t, f.Must("execution", "watch", x.ID), "succeeded")
	require.Contains(t, f.Must("execution", "get", "1"), "greeting")
	watched := f.Must("execution", "watch", x.ID, "-o", "jsonl")
	require.Contains(t, watched, `"type":"task.succeeded"`)
	require.Equal(t, []string{
		"execution.started", "task.running hello", "task.succeeded hello", "task.running shout", "task.succeeded shout",
		"task.running done", "task.succeeded done", "execution.succeeded",
	}, history(t, f, x.ID))
	require.Contains(t, f.Must("execution", "history", x.ID), "task.succeeded")
	require.Contains(t, f.Must("execution", "graph", x.ID), "hello")
	require.Contains(t, f.Must("execution", "graph", x.ID, "-o", "dot"), "digraph")
	graph, err := f.API.Graph(t.Context(), x.ID)
	require.NoError(t, err)
	require.Len(t, graph.Nodes, 3)
	require.Len(t, graph.Edges, 3)
	require.Contains(t, f.Must("execution", "tasks", x.ID), "shout")
	attempts := decode[client.AttemptList](t, f.Must("task", "attempts", x.ID, "hello", "-o", "json")).Items
	require.Len(t, attempts, 1)
	require.Equal(t, 1, attempts[0].Attempt)
	require.Equal(t, 1, attempts[0].Dispatch)
	require.JSONEq(t, `"Hello, Ada!"`, string(attempts[0].Output))
	require.NotEmpty(t, attempts[0].Worker)
	require.Contains(t, f.Must("task", "get", x.ID, "shout"), "HELLO, ADA!")

	workers := decode[client.WorkerList](t, f.Must("worker", "list", "-o", "json")).Items
	require.Len(t, workers, 2)
	require.NotEqual(t, workers[0].Pid, workers[1].Pid)
}

// present drops the zeros of a summary.
func present(summary map[string]int) map[string]int {
	out := map[string]int{}
	for k, v := range summary {
		if v != 0 {
			out[k] = v
		}
	}
	return out
}

func TestInputIsCheckedWithFieldPaths(t *testing.T) {
	f := start(t)
	f.Publish(greeting)
	before := stored(t, f)
	for body, want := range map[string]string{
		`{"workflow":"greeting"}`:                                     "input.name",
		`{"workflow":"greeting","input":{}}`:                          "input.name",
		`{"workflow":"greeting","input":{"name":7}}`:                  "input.name",
		`{"workflow":"greeting","input":{"name":"A"}}`:                "input.name",
		`{"workflow":"greeting","input":{"name":"Ada","times":0}}`:    "input.times",
		`{"workflow":"greeting","input":{"name":"Ada","times":1.5}}`:  "input.times",
		`{"workflow":"greeting","input":{"name":"Ada","nmae":"Ada"}}`: "input.nmae",
		`{"workflow":"greeting","input":[]}`:                          "input",
	} {
		status, text := call(t, f, "POST", "/v1/projects/default/executions", "application/json", body)
		require.Equal(t, 422, status, body)
		p := decode[client.Problem](t, text)
		require.NotEmpty(t, p.Errors, text)
		require.Equal(t, want, p.Errors[0].Field, text)
		require.NotEmpty(t, p.Errors[0].Message)
	}
	require.Empty(t, changed(before, stored(t, f)), "refused requests stored something")
	_, errOut, code := f.CLI("run", "greeting", "--set", "times=0")
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "input.name")
	require.Contains(t, errOut, "input.times")
}

func TestIdempotencyKey(t *testing.T) {
	f := start(t)
	f.Publish(greeting)
	const path, media = "/v1/projects/default/executions", "application/json"
	body := `{"workflow":"greeting","input":{"name":"Ada"},"idempotency_key":"k1"}`
	status, text := call(t, f, "POST", path, media, body)
	require.Equal(t, 201, status, text)
	first := decode[client.Execution](t, text)
	for range 3 {
		status, text = call(t, f, "POST", path, media, body)
		require.Equal(t, 200, status, text)
		require.Equal(t, first.ID, decode[client.Execution](t, text).ID)
	}
	status, text = call(t, f, "POST", path, media, strings.Replace(body, "Ada", "Eve", 1))
	require.Equal(t, 422, status, text)
	require.Contains(t, text, "idempotency_key")
	await(t, f, first.ID)
	status, text = call(t, f, "POST", path, media, body)
	require.Equal(t, 200, status, "an ended one, too: %s", text)
	require.Equal(t, first.ID, decode[client.Execution](t, text).ID)
}

const gated = `
name: gated
tasks:
  - name: gate
    type: exec
    with: { command: [sh, -c, 'while [ ! -f "$0" ]; do sleep 0.02; done', "${workflow.input.file}"] }
  - { name: after, type: noop, needs: [gate] }
`

func TestPauseAndResume(t *testing.T) {
	f := start(t, "--allow-exec", "sh")
	f.Publish(gated)
	gate := t.TempDir() + "/gate"
	id := f.Start("gated", map[string]string{"file": gate})
	awaitTask(t, f, id, "gate", client.TaskStatusRunning)
	require.Contains(t, f.Must("pause", id, "--reason", "to look"), "paused")
	open(t, gate)
	awaitTask(t, f, id, "gate", client.TaskStatusSucceeded)
	x, err := f.API.Execution(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, "paused", x.Status, "what ran has ended, and nothing new starts")
	after, err := f.API.Task(t.Context(), id, "after")
	require.NoError(t, err)
	require.NotEqual(t, client.TaskStatusRunning, after.Status)
	require.Zero(t, after.StartedAt)
	f.Must("resume", id)
	require.EqualValues(t, "succeeded", await(t, f, id).Status)
	require.Contains(t, f.Must("execution", "history", id), "to look")
	_, errOut, code := f.CLI("pause", id)
	require.Equal(t, 4, code, errOut)
}

func open(t *testing.T, gate string) {
	t.Helper()
	require.NoError(t, writeFile(gate))
}

func TestQueuePause(t *testing.T) {
	f := start(t)
	f.Publish(greeting)
	await(t, f, f.Start("greeting", map[string]string{"name": "Ada"})) // now asynq knows the queue
	require.Contains(t, f.Must("queue", "pause", "default"), "paused")
	id := f.Start("greeting", map[string]string{"name": "Eve"})
	fleet.Await(t, patience, "the job waits in the paused queue", func() bool {
		queues, err := f.API.Queues(t.Context())
		require.NoError(t, err)
		return queues[0].Paused && queues[0].Pending == 1
	})
	x, err := f.API.Execution(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 1, x.TasksSummary["queued"])
	f.Must("queue", "resume", "default")
	require.EqualValues(t, "succeeded", await(t, f, id).Status)
}
