package queue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// fail ends a task for good.
func (h *house) failWith(id, ref, format string, args ...any) {
	h.t.Helper()
	_, err := h.Fail(h.t.Context(), h.take(id, ref), &workflow.Error{Code: "boom", Message: fmt.Sprintf(format, args...)}, false)
	require.NoError(h.t, err)
}

// failures are the groups as "task state open/executions", the last seen first, whatever the order within a millisecond.
func (h *house) failures(f engine.FailureFilter) []string {
	h.t.Helper()
	var lines []string
	open := map[engine.FailureState]int{engine.FailureOpen: 0, engine.FailureAcknowledged: 0, engine.FailureResolved: 0}
	for page := (engine.Page{Limit: 1}); ; {
		groups, next, err := h.FailureGroups(h.t.Context(), "default", f, page)
		require.NoError(h.t, err)
		for _, g := range groups {
			lines = append(lines, fmt.Sprintf("%s %s %d/%d", g.Task, g.State, g.Open, g.Executions))
			if g.Open > 0 {
				open[g.State]++
			}
		}
		if page.Cursor = next; next == "" {
			if f.Workflow == "" && len(f.State) == 0 {
				counted, err := h.Redis.Recovery(h.t.Context(), "default")
				require.NoError(h.t, err)
				require.Equal(h.t, open, counted.Groups)
			}
			slices.Sort(lines)
			return lines
		}
	}
}

func (h *house) fingerprintOf(id string) string {
	h.t.Helper()
	x := h.now(id)
	require.NotNil(h.t, x.Error)
	return x.Error.Fingerprint
}

func (h *house) redriveBy(id string, identity workflow.Identity) *engine.Execution {
	h.t.Helper()
	r := retrying()
	r.Identity = identity
	x, err := h.Redrive(h.t.Context(), id, r)
	require.NoError(h.t, err)
	return x
}

// failureGroups is a behaviour: what fails alike is in one group, and is open there until it succeeded.
func failureGroups(t *testing.T, h *house) {
	ctx := t.Context()
	two := &workflow.Definition{Name: "two", Tasks: tasksOf("a", "b")}
	one := &workflow.Definition{Name: "one", Tasks: tasksOf("a")}
	x, y, z := h.start(two), h.start(two), h.start(one)
	h.failWith(x.ID, "a", "user 17 not found at 10.0.0.7")
	h.complete(x.ID, "b")
	h.failWith(y.ID, "a", "user 4711 not found at 10.1.2.3")
	h.failWith(y.ID, "b", "disk full")
	h.failWith(z.ID, "a", "user 9 not found at 10.0.0.1")
	require.Equal(t, []string{"a open 3/3", "b open 1/1"}, h.failures(engine.FailureFilter{}), "one of two failed tasks is in both groups")
	require.Equal(t, []string{"a open 3/3"}, h.failures(engine.FailureFilter{Workflow: "one"}))
	require.Empty(t, h.failures(engine.FailureFilter{State: []engine.FailureState{engine.FailureResolved}}))
	fp := h.fingerprintOf(x.ID)
	g, err := h.FailureGroup(ctx, "default", fp)
	require.NoError(t, err)
	require.Equal(t, []string{z.ID, y.ID, x.ID}, g.Samples)
	require.ElementsMatch(t, []string{"one", "two"}, g.Workflows)
	require.Equal(t, "user 17 not found at 10.0.0.7", g.Message)
	require.Equal(t, 3, g.Trend[engine.FailureHours-1]+g.Trend[engine.FailureHours-2], "the hour may just have changed")
	found, _, err := h.Executions(ctx, "default", engine.ExecutionFilter{Fingerprint: fp, Workflow: "two"}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, found, 2)

	h.redriveBy(x.ID, workflow.InPlace)
	require.Equal(t, []string{"a open 2/3", "b open 1/1"}, h.failures(engine.FailureFilter{}), "what runs has not failed")
	h.complete(x.ID, "a")
	require.Equal(t, []string{"a open 2/3", "b open 1/1"}, h.failures(engine.FailureFilter{}))

	next := h.redriveBy(y.ID, workflow.NewExecution)
	h.complete(next.ID, "a")
	h.failWith(next.ID, "b", "disk full")
	require.Equal(t, []string{"a open 2/3", "b open 2/2"}, h.failures(engine.FailureFilter{}))
	last := h.redriveBy(next.ID, workflow.NewExecution)
	h.complete(last.ID, "b")
	require.Equal(t, []string{"a open 1/3", "b open 0/2"}, h.failures(engine.FailureFilter{}), "both that it comes from are superseded")
	h.redriveBy(y.ID, workflow.InPlace)
	h.complete(y.ID, "a")
	h.offset += time.Millisecond
	h.failWith(y.ID, "b", "disk full")
	require.Equal(t, []string{"a open 1/3", "b open 1/2"}, h.failures(engine.FailureFilter{}), "what fails again is open again")
	require.NoError(t, h.Client().HDel(ctx, "redrive:{p:default}:superseded", y.ID).Err())
	_, err = h.Index(ctx, []string{last.ID})
	require.NoError(t, err)
	require.Equal(t, []string{"a open 1/3", "b open 1/2"}, h.failures(engine.FailureFilter{}), "also when the success before is told only now")

	ids, cursor, err := h.OpenFailures(ctx, "default", fp, engine.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []string{z.ID}, ids)
	ids, cursor, err = h.OpenFailures(ctx, "default", fp, engine.Page{Limit: 1, Cursor: cursor})
	require.NoError(t, err)
	require.Empty(t, ids)
	require.Empty(t, cursor)
	open, err := h.StillOpen(ctx, "default", fp, []string{x.ID, z.ID, "none"})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, false}, open)

	h.offset += 72 * time.Hour // more than the trend shows
	for _, id := range []string{x.ID, y.ID, z.ID, next.ID, last.ID} {
		require.NoError(t, h.Purge(ctx, id, false))
	}
	for _, key := range []string{"failures", "failing", "superseded"} {
		keys, err := queuetest.Keys(ctx, h.Client(), "{p:default}:"+key)
		require.NoError(t, err)
		require.Empty(t, keys, "a group goes with its last execution")
	}
}

// judgedFailures is a behaviour: operators say what becomes of a group, and a new failure opens a resolved one.
func judgedFailures(t *testing.T, h *house) {
	ctx := t.Context()
	one := &workflow.Definition{Name: "one", Tasks: tasksOf("a")}
	x := h.start(one)
	h.failWith(x.ID, "a", "boom")
	fp := h.fingerprintOf(x.ID)
	judge := func(to engine.FailureState, note string) {
		h.offset += time.Millisecond
		g, err := h.JudgeFailures(ctx, "default", fp, to, "ann", note)
		require.NoError(t, err)
		require.Equal(t, []string{string(to), "ann", note}, []string{string(g.State), g.By, g.Note})
		h.offset += time.Millisecond
	}
	judge(engine.FailureAcknowledged, "known")
	y := h.start(one)
	h.failWith(y.ID, "a", "boom")
	require.Equal(t, []string{"a acknowledged 2/2"}, h.failures(engine.FailureFilter{}))
	judge(engine.FailureResolved, "fixed in 4.2")
	for _, id := range []string{x.ID, y.ID} { // delivered again
		_, err := h.Index(ctx, []string{id})
		require.NoError(t, err)
	}
	require.NoError(t, h.Client().ZRem(ctx, "redrive:{p:default}:failures:"+fp+":seen", y.ID).Err())
	require.NoError(t, h.Client().HDel(ctx, "redrive:{p:default}:indexed", y.ID).Err())
	_, err := h.Index(ctx, []string{y.ID})
	require.NoError(t, err)
	require.Equal(t, []string{"a resolved 2/2"}, h.failures(engine.FailureFilter{}), "a failure from before that is told only now opens nothing")
	h.redriveBy(x.ID, workflow.InPlace)
	h.complete(x.ID, "a")
	require.Equal(t, []string{"a resolved 1/2"}, h.failures(engine.FailureFilter{}), "a success opens nothing")
	h.redriveBy(y.ID, workflow.InPlace)
	h.failWith(y.ID, "a", "boom")
	require.Equal(t, []string{"a open 1/2"}, h.failures(engine.FailureFilter{}), "a new failure does")
	g, err := h.FailureGroup(ctx, "default", fp)
	require.NoError(t, err)
	require.NotNil(t, g.ReopenedAt)
	require.Equal(t, 4, g.Trend[engine.FailureHours-1]+g.Trend[engine.FailureHours-2], "each failure counts once, and the one that was forgotten here again")
	_, err = h.JudgeFailures(ctx, "default", "ffff", engine.FailureResolved, "", "")
	require.ErrorContains(t, err, "ffff")
}
