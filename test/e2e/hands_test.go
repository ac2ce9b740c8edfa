package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

const asking = `
name: asking
tasks:
  - name: ask
    type: approval
    with:
      message: "Send ${workflow.input.n} mails?"
      input_schema: { type: object, required: [by], properties: { by: { type: string } }, additionalProperties: false }
  - { name: send, needs: [ask], type: noop, with: "${tasks.ask.output.by}" }
output: "${tasks.send.output}"
`

// TestOneOfManyAnswersWins races callers of REST and of the command line for one approval.
func TestOneOfManyAnswersWins(t *testing.T) {
	f := start(t)
	f.Publish(asking)
	const callers = 3 // of each kind
	for round := range 4 {
		id := f.Start("asking", map[string]int{"n": 3})
		awaitTask(t, f, id, "ask", client.TaskStatusWaiting)
		require.Contains(t, f.Must("execution", "get", id), "Send 3 mails?")
		status, text := call(t, f, "POST", "/v1/executions/"+id+"/resume", "application/json", `{"input":{"by":7}}`)
		require.Equal(t, 422, status, text)
		require.Equal(t, "input.by", decode[client.Problem](t, text).Errors[0].Field)

		var all sync.WaitGroup
		won := make(chan string, 2*callers)
		for i := range callers {
			name := strings.Repeat("i", i+1)
			all.Go(func() {
				_, errOut, code := f.CLI("resume", id, "--task", "ask", "--input", `{"by":"cli-`+name+`"}`)
				if code == 0 {
					won <- "cli-" + name
				} else if code != 4 || !strings.Contains(errOut, "gate_answered") {
					t.Errorf("exit code %d: %s", code, errOut)
				}
			})
			all.Go(func() {
				for range round * 10 { // programs take a while to start: let them win, too
					if _, err := f.API.Execution(t.Context(), id); err != nil {
						t.Error(err)
					}
				}
				_, err := f.API.Answer(t.Context(), id, client.ResumeRequest{Task: "ask", Input: client.JSON(`{"by":"rest-` + name + `"}`)})
				if err == nil {
					won <- "rest-" + name
				} else if !refusedWith(err, "gate_answered") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Len(t, won, 1)
		winner := <-won
		t.Log(winner, "won")
		require.JSONEq(t, `"`+winner+`"`, string(await(t, f, id).Output))
		attempts := decode[client.AttemptList](t, f.Must("task", "attempts", id, "ask", "-o", "json")).Items
		require.Len(t, attempts, 1)
	}
}

func refusedWith(err error, code string) bool {
	refusal, ok := errors.AsType[*client.Error](err)
	return ok && refusal.Code == code
}

const externals = `
name: externals
tasks:
  - name: each
    type: group
    for_each: { items: [a/b, c] }
    tasks:
      - { name: load, type: wait, with: { external: true } }
      - { name: use, needs: [load], type: noop, with: "${tasks.load.output}" }
output: "${tasks.each.output.map(e, e.use)}"
`

func TestAWaitIsCompletedOverREST(t *testing.T) {
	f := start(t)
	f.Publish(externals)
	id := f.Start("externals", nil)
	awaitTask(t, f, id, "each[a~2Fb].load", client.TaskStatusWaiting)
	awaitTask(t, f, id, "each[c].load", client.TaskStatusWaiting)
	each, err := f.API.Task(t.Context(), id, "each")
	require.NoError(t, err)
	require.Equal(t, 2, each.Size)
	svg := f.Must("execution", "graph", id, "-o", "svg")
	require.Contains(t, svg, "<title>each[a~2Fb].load: waiting</title>")
	path := "/v1/executions/" + id + "/tasks/each%5Ba~2Fb%5D.load/complete"
	status, text := call(t, f, "POST", path, "application/json", `{"output":{"n":12345678901234567890},"reason":"it came by mail"}`)
	require.Equal(t, 200, status, text)
	task := decode[client.Task](t, text)
	require.Equal(t, "each[a~2Fb].load", task.Ref)
	require.EqualValues(t, "succeeded", task.Status)
	status, text = call(t, f, "POST", path, "application/json", `{}`)
	require.Equal(t, 409, status, text)
	require.Equal(t, "task_ended", decode[client.Problem](t, text).Code)
	f.Must("task", "complete", id, "each[c].load")
	require.Equal(t, `[{"n":12345678901234567890},null]`, string(await(t, f, id).Output))
	require.Contains(t, f.Must("execution", "history", id), "it came by mail")
}

const busy = `
name: busy
tasks:
  - name: run
    type: exec
    with: { command: [sh, -c, 'echo $$ > "$0.new" && mv "$0.new" "$0"; sleep 300', "${workflow.input.file}"] }
  - { name: fetch, type: http, with: { url: "${workflow.input.url}" } }
  - { name: sum, needs: [run, fetch], type: noop, with: { run: "${tasks.run.output}", fetch: "${tasks.fetch.status}" } }
output: "${tasks.sum.output}"
`

func TestAnOperatorEndsWhatRuns(t *testing.T) {
	asked, hungUp := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(hungUp)
	}))
	t.Cleanup(slow.Close)
	f := start(t, "--allow-exec", "sh", "--allow-address", "127.0.0.1")
	f.Publish(busy)
	note := t.TempDir() + "/pid"
	id := f.Start("busy", map[string]string{"file": note, "url": slow.URL})
	var pid int
	fleet.Await(t, patience, "the command runs", func() bool {
		text, err := os.ReadFile(note)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		return true
	})
	happens(t, asked)

	_, err := f.API.CompleteTask(t.Context(), id, "run", client.CompleteRequest{Output: client.JSON(`7`), Reason: "done by hand"})
	require.NoError(t, err)
	answered := time.Now()
	fleet.Await(t, patience, "the command is gone", func() bool { return !fleet.Alive(pid) })
	took := time.Since(answered)
	t.Logf("completed; the command was gone %s after the answer", took.Round(time.Millisecond))
	require.Less(t, took, cancelBound)

	out := f.Must("task", "skip", id, "fetch", "-o", "json")
	answered = time.Now()
	require.EqualValues(t, "skipped", decode[client.Task](t, out).Status)
	happens(t, hungUp)
	took = time.Since(answered)
	t.Logf("skipped; the request was dropped %s after the answer", took.Round(time.Millisecond))
	require.Less(t, took, cancelBound)

	x := await(t, f, id)
	require.EqualValues(t, "succeeded", x.Status)
	require.JSONEq(t, `{"run":7,"fetch":"skipped"}`, string(x.Output))
	attempts := decode[client.AttemptList](t, f.Must("task", "attempts", id, "run", "-o", "json")).Items
	require.Len(t, attempts, 2, "what was under way stays")
	require.EqualValues(t, "canceled", attempts[0].Status)
	require.EqualValues(t, "succeeded", attempts[1].Status)
}

func happens(t *testing.T, what <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-what:
	case <-ctx.Done():
		t.Fatal("it did not happen in time")
	}
}

const (
	upper = `
name: upper
tasks:
  - { name: sub, type: workflow, with: { name: lower } }
  - { name: after, needs: [sub], type: noop }
`
	lower = `
name: lower
tasks:
  - { name: sleep, type: exec, with: { command: [sleep, "300"] } }
`
)

func TestASubWorkflowIsCanceledThroughItsParent(t *testing.T) {
	f := start(t, "--allow-exec", "sleep")
	f.Publish(lower)
	f.Publish(upper)
	id := f.Start("upper", nil)
	fleet.Await(t, patience, "the sub-workflow has an execution", func() bool {
		task, err := f.API.Task(t.Context(), id, "sub")
		require.NoError(t, err)
		if task.Child == "" {
			return false
		}
		_, err = f.API.Execution(t.Context(), task.Child)
		return err == nil
	})
	sub, err := f.API.Task(t.Context(), id, "sub")
	require.NoError(t, err)
	awaitTask(t, f, sub.Child, "sleep", client.TaskStatusRunning)
	require.Contains(t, f.Must("execution", "get", id), sub.Child)
	require.Contains(t, f.Must("execution", "get", sub.Child), id)

	f.Must("cancel", id, "--reason", "enough")
	require.EqualValues(t, "canceled", await(t, f, id).Status)
	inner := await(t, f, sub.Child)
	require.EqualValues(t, "canceled", inner.Status)
	require.Equal(t, &client.Parent{Execution: id, Task: "sub"}, inner.Parent)
	require.Equal(t, id, inner.Lineage.Root)
	require.Equal(t, id, *inner.Lineage.Parent)
	require.EqualValues(t, "sub_workflow", *inner.Lineage.Relation)
	fleet.Await(t, patience, "no worker runs anything", func() bool {
		workers, err := f.API.Workers(t.Context())
		require.NoError(t, err)
		return workers[0].Running+workers[1].Running == 0
	})
	outer, err := f.API.Execution(t.Context(), id)
	require.NoError(t, err)
	require.Nil(t, outer.Parent)
	require.Equal(t, client.Lineage{Root: id}, outer.Lineage)
}

func TestAPauseEndsAtItsDeadline(t *testing.T) {
	f := start(t)
	f.Publish(asking)
	left, lifted := f.Start("asking", map[string]int{"n": 1}), f.Start("asking", map[string]int{"n": 2})
	require.Contains(t, f.Must("pause", left, lifted, "--for", "2s", "--reason", "to look"), "paused")
	f.Must("resume", lifted)
	x := await(t, f, left)
	require.EqualValues(t, "failed", x.Status)
	require.Equal(t, "pause_expired", x.Error.Code)
	require.Contains(t, x.Error.Message, "to look")
	awaitTask(t, f, lifted, "ask", client.TaskStatusWaiting)
	f.Must("resume", lifted, "--input", `{"by":"ann"}`)
	require.EqualValues(t, "succeeded", await(t, f, lifted).Status, "a pause that was lifted has no deadline")
}
