package queue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// startSource starts a definition from its source.
func (h *house) startSource(source, input string) *engine.Execution {
	h.t.Helper()
	r, err := h.Publish(h.t.Context(), "default", []byte(source), false)
	require.NoError(h.t, err)
	x, _, err := h.Start(h.t.Context(), "default", engine.StartRequest{Workflow: r.Workflow.Name, Input: json.RawMessage(input)})
	require.NoError(h.t, err)
	return x
}

// drain runs every job of an execution and of its sub-executions, which share its shard; each gives its input.
func (h *house) drain(x *engine.Execution) (starts map[string]int) {
	h.t.Helper()
	starts = map[string]int{}
	for {
		jobs, err := h.Client().ZRange(h.t.Context(), queuetest.ShardKey(x.ID, "jobs"), 0, -1).Result()
		require.NoError(h.t, err)
		if len(jobs) == 0 {
			return starts
		}
		for _, job := range jobs {
			f, err := engine.ParseJobID(job)
			require.NoError(h.t, err)
			run := h.take(f.Execution, f.Ref)
			starts[f.Ref]++
			require.Nil(h.t, run.Err)
			require.NoError(h.t, h.Complete(h.t.Context(), run, run.Input))
		}
	}
}

func (h *house) inOrder(ids ...string) {
	h.t.Helper()
	for _, id := range ids {
		problems, err := queuetest.Audit(h.t.Context(), h.Client(), id, nil)
		require.NoError(h.t, err)
		require.Empty(h.t, problems)
	}
}

// vanishes expects retention to leave nothing of executions, the last of which holds the others.
func (h *house) vanishes(ids ...string) {
	h.t.Helper()
	_, err := h.Index(h.t.Context(), ids)
	require.NoError(h.t, err)
	h.offset += 2 * time.Hour
	require.Equal(h.t, ids[len(ids)-1:], h.sweep().Expire, "a tree is purged from its root")
	for i, id := range ids {
		require.NoError(h.t, h.Purge(h.t.Context(), id, i < len(ids)-1))
	}
	keys, err := queuetest.Keys(h.t.Context(), h.Client(), "redrive:")
	require.NoError(h.t, err)
	for _, key := range keys {
		require.False(h.t, strings.HasPrefix(key, "redrive:{s:"), key)
	}
	due := h.sweep()
	require.Empty(h.t, due.Timers)
}

func manyItems(t *testing.T, h *house) {
	x := h.startSource(`
name: items
tasks:
  - { name: each, type: noop, for_each: { items: "${lists.range(1100)}", max_parallel: 600 }, with: "${item}" }
  - { name: sum, type: noop, needs: [each], with: "${tasks.each.output.size()}" }
`, `{}`)
	require.Equal(t, 600, h.now(x.ID).TasksSummary[workflow.TaskQueued])
	require.Len(t, h.jobs(), 600)
	h.inOrder(x.ID)
	h.complete(x.ID, "each[7]")
	require.Equal(t, 600, h.now(x.ID).TasksSummary[workflow.TaskQueued], "the next one took its place")
	h.inOrder(x.ID)
	starts := h.drain(x)
	require.Len(t, starts, 1100)
	require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status)
	task, err := h.Task(t.Context(), x.ID, "sum")
	require.NoError(t, err)
	require.Equal(t, "1100", string(task.Output))
	h.inOrder(x.ID)
	h.vanishes(x.ID)
}

func nested(t *testing.T, h *house) {
	_, err := h.Publish(t.Context(), "default", []byte(`
name: inner
tasks: [{ name: double, type: noop, with: "${workflow.input.n * 2}" }]
output: "${tasks.double.output}"
`), false)
	require.NoError(t, err)
	x := h.startSource(`
name: nest
tasks:
  - name: each
    type: group
    for_each: { items: [1, 2, 3], max_parallel: 2 }
    tasks:
      - name: poll
        type: loop
        until: "${iteration.number >= 2}"
        tasks: [{ name: step, type: noop, with: "${iteration.number}" }]
      - { name: sub, needs: [poll], type: workflow, with: { name: inner, input: { n: "${item}" } } }
      - { name: city, needs: [sub], type: noop, for_each: { items: [7, 8] }, with: "${item + tasks.sub.output}" }
output: "${tasks.each.output.map(e, e.city)}"
`, `{}`)
	h.inOrder(x.ID)
	h.drain(x)
	now := h.now(x.ID)
	require.Equal(t, workflow.ExecutionSucceeded, now.Status, now.Error)
	require.JSONEq(t, `[[9, 10], [11, 12], [13, 14]]`, string(now.Output))
	children, err := h.Children(t.Context(), x.ID)
	require.NoError(t, err)
	require.Len(t, children, 3)
	all := append(children, x.ID)
	h.inOrder(all...)
	h.vanishes(all...)
}

func groupIsCutOff(t *testing.T, h *house) {
	_, err := h.Publish(t.Context(), "default", []byte("name: inner\ntasks: [{ name: a, type: noop }]"), false)
	require.NoError(t, err)
	x := h.startSource(`
name: cut
tasks:
  - name: g
    type: group
    tasks:
      - { name: each, type: noop, for_each: { items: "${lists.range(700)}", max_parallel: 650 } }
      - { name: sub, type: workflow, with: { name: inner } }
      - { name: w, type: wait, with: { duration: 1h } }
  - { name: after, needs: [g], type: noop, with: "${tasks.g.status}" }
`, `{}`)
	h.inOrder(x.ID)
	_, err = h.SettleByHand(t.Context(), x.ID, "g", engine.HandRequest{To: workflow.TaskSkipped, Reason: "not today"})
	require.NoError(t, err)
	children, err := h.Children(t.Context(), x.ID)
	require.NoError(t, err)
	require.Len(t, children, 1)
	require.Equal(t, workflow.ExecutionCanceled, h.now(children[0]).Status)
	require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status, "what needs only what was skipped is skipped")
	require.Empty(t, h.jobs(), "canceled jobs leave asynq")
	h.inOrder(children[0], x.ID)
	h.vanishes(children[0], x.ID)
}

func gates(t *testing.T, h *house) {
	x := h.startSource(`
name: gates
tasks:
  - { name: wait, type: wait, with: { duration: 1h } }
  - { name: late, type: wait, with: { external: true, timeout: 2h } }
  - { name: ask, type: approval, with: { message: "Go?", input_schema: { type: object } } }
  - { name: after, needs: [ask], type: noop, with: "${tasks.ask.output.n}" }
`, `{}`)
	require.Equal(t, 3, h.now(x.ID).TasksSummary[workflow.TaskWaiting])
	h.inOrder(x.ID)
	_, err := h.AnswerGate(t.Context(), x.ID, engine.Answer{Task: "ask", Input: json.RawMessage(`{"n": 1}`)})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"after": 1}, h.drain(x))
	h.offset += 3 * time.Hour
	timers := map[string]engine.TimerKind{}
	for _, timer := range h.sweep().Timers {
		timers[timer.Ref] = timer.Kind
	}
	require.Equal(t, map[string]engine.TimerKind{"wait": engine.TimerWake, "late": engine.TimerLimit}, timers)
	_, err = h.Cancel(t.Context(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.Empty(t, h.sweep().Timers, "they end with their tasks")
	h.inOrder(x.ID)
	h.vanishes(x.ID)
}
