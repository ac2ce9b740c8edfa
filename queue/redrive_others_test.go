package queue_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func anew() engine.RedriveRequest {
	r := retrying()
	r.Identity = workflow.NewExecution
	return r
}

// worn is an execution of 252 tasks, one of which failed; the others keep what they gave.
func (h *house) worn() (*engine.Execution, *workflow.Definition) {
	h.t.Helper()
	d := &workflow.Definition{Name: "worn", Tasks: tasksOf("first", "bad first", "last bad")}
	for i := range 249 {
		d.Tasks = append(d.Tasks, tasksOf(fmt.Sprintf("m%d first", i))...)
	}
	x := h.start(d)
	require.NoError(h.t, h.Complete(h.t.Context(), h.take(x.ID, "first"), big(20<<10)))
	for i := range 249 {
		require.NoError(h.t, h.Complete(h.t.Context(), h.take(x.ID, fmt.Sprintf("m%d", i)), json.RawMessage(fmt.Sprintf(`[ %d ]`, i))))
	}
	h.fail(x.ID, "bad")
	require.Equal(h.t, workflow.ExecutionFailed, h.now(x.ID).Status)
	_, err := h.Index(h.t.Context(), []string{x.ID})
	require.NoError(h.t, err)
	return h.now(x.ID), d
}

// owned are the keys of one execution, and what they hold.
func owned(contents map[string]string, id string) map[string]string {
	own := map[string]string{}
	for key, value := range contents {
		if strings.Contains(key, id) {
			own[key] = value
		}
	}
	return own
}

// aNewExecution: results that are kept are carried over byte for byte, and the former execution stays as it is.
func aNewExecution(t *testing.T, h *house) {
	ctx := t.Context()
	x, d := h.worn()
	was := owned(h.contents(), x.ID)
	c := h.planned(x.ID, anew())
	id := c.Parts[0].Execution
	require.NotEqual(t, x.ID, id)
	h.inOrder(id) // it waits to be let run, or to be purged
	list, _, err := h.Executions(ctx, "default", engine.ExecutionFilter{}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, list, 1, "it is not listed yet")
	before := h.contents()
	require.NoError(t, h.Adopt(ctx, engine.Adoption{Execution: engine.Execution{ID: id, Project: "default"}, From: x.ID}))
	require.Equal(t, before, h.contents(), "it was made already")
	applied := h.commit(c)
	require.Equal(t, []engine.Fence{{Execution: id, Ref: "bad", Attempt: 1, Dispatch: 1}}, applied[0].Relay)
	before = h.contents()
	_, _, err = h.Commit(ctx, c)
	require.NoError(t, err)
	require.Equal(t, before, h.contents())
	require.Equal(t, was, owned(h.contents(), x.ID), "the former one is as it was")
	now := h.now(id)
	require.Equal(t, workflow.ExecutionRunning, now.Status)
	require.Zero(t, now.Redrives)
	require.Equal(t, &engine.Origin{Execution: x.ID, Relation: engine.RelationRetry}, now.Origin)
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 250, workflow.TaskQueued: 1, workflow.TaskPending: 1}, now.TasksSummary)
	h.audit(id, d)
	h.counted(id)
	refs := []string{"first", "m0", "m248"}
	outputs, err := h.Outputs(ctx, id, refs, 1<<20)
	require.NoError(t, err)
	require.Equal(t, []string{string(big(20 << 10)), "[ 0 ]", "[ 248 ]"}, []string{string(outputs[0]), string(outputs[1]), string(outputs[2])})
	require.Equal(t, 1, h.records(id)["m7"].Attempt)
	_, err = h.Index(ctx, []string{id})
	require.NoError(t, err)
	require.Equal(t, []string{id}, h.family(x.ID, 10))
	h.complete(id, "bad")
	h.complete(id, "last")
	require.Equal(t, workflow.ExecutionSucceeded, h.now(id).Status)
	h.audit(id, d)
}

// aNewExecutionIsLost: whatever a process leaves that dies while it makes one is taken up by another, or swept away.
func aNewExecutionIsLost(t *testing.T, h *house) {
	ctx := t.Context()
	x, d := h.worn()
	was := owned(h.contents(), x.ID)
	before := h.contents()
	a := h.stopped(x.ID, anew(), &ready{Redis: h.Redis, adoption: &engine.Adoption{}}).adoption
	require.Equal(t, before, h.contents())
	dies := newBench(t, h.url(), func(o *queue.Options) { o.Embedded = h.options.Embedded })
	faults := &queuetest.Faults{}
	dies.Client().AddHook(faults)
	for trips := 1; ; trips++ {
		faults.Arm(trips, trips%2 == 0)
		err := dies.Adopt(ctx, *a)
		if !faults.Disarm() {
			require.NoError(t, err)
			break
		}
		if x, err := h.bench.Execution(ctx, a.ID, false); err == nil {
			require.Equal(t, -1, x.Redrives)
			h.inOrder(a.ID)
		} else if trips > 3 {
			require.Contains(t, buildings(h, 10*time.Minute), a.ID, "a sweep finds what is half made")
		}
	}
	require.Equal(t, was, owned(h.contents(), x.ID))
	require.Empty(t, buildings(h, 10*time.Minute))
	require.NotContains(t, h.sweep().Expire, a.ID, "it has a moment to be let run")
	h.offset += 11 * time.Minute
	require.Equal(t, []string{a.ID}, h.sweep().Expire)
	require.NoError(t, h.Purge(ctx, a.ID, false))
	require.Empty(t, owned(h.contents(), a.ID))

	r := anew()
	r.IdempotencyKey = "once"
	const callers = 8
	ids, errs := make([]string, callers), make([]error, callers)
	together(callers, func(i int) {
		var made *engine.Execution
		if made, errs[i] = h.Redrive(ctx, x.ID, r); errs[i] == nil {
			ids[i] = made.ID
		}
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(ids))), 1)
	require.Equal(t, ids[:1], h.family(x.ID, 10))
	h.audit(ids[0], d)
	require.Equal(t, was, owned(h.contents(), x.ID))
	h.complete(ids[0], "bad")
	h.complete(ids[0], "last")
	_, err := h.Index(ctx, ids[:1])
	require.NoError(t, err)
	h.offset += 2 * time.Hour
	for _, id := range []string{x.ID, ids[0]} {
		require.NoError(t, h.Purge(ctx, id, false))
	}
	require.Empty(t, h.contents())
}

// buildings are the executions that are swept away as half made a while from now.
func buildings(h *house, later time.Duration) []string {
	h.offset += later
	defer func() { h.offset -= later }()
	return h.sweep().Building
}

// aSubExecutionGoesOn: its steps are written before, and kept for as long as its task has not begun.
func aSubExecutionGoesOn(t *testing.T, h *house) {
	for _, width := range []int{3, 700} {
		ctx := t.Context()
		x, child := h.parted(width)
		c := h.planned(x.ID, rerunning("sub/bad"))
		require.Len(t, c.Parts, 1, "the sub-execution goes on later")
		drafts := h.drafts(child)
		require.Len(t, drafts, 1)
		for key, ttl := range drafts {
			require.Positive(t, ttl, "%s ends by itself until it is committed", key)
		}
		h.inOrder(x.ID, child)
		h.commit(c)
		h.lasts(child)
		h.inOrder(x.ID, child)
		require.Zero(t, h.now(child).Redrives)
		require.Equal(t, workflow.ExecutionFailed, h.now(child).Status)

		var refused *engine.Error
		_, err := h.Redrive(ctx, x.ID, rerunning("sub/bad")) // before it is its turn
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "about_to_run", refused.Code)
		h.lasts(child)

		_, err = h.Resume(ctx, x.ID, engine.Request{})
		require.NoError(t, err)
		now := h.now(child)
		require.Equal(t, workflow.ExecutionRunning, now.Status)
		require.Equal(t, 1, now.Redrives)
		require.False(t, now.Applying)
		require.Empty(t, h.drafts(child))
		require.Empty(t, h.hash(child, "r")["next"])
		require.Equal(t, width, now.TasksSummary[workflow.TaskPending])
		h.inOrder(x.ID, child)
		h.complete(x.ID, "other")
		h.drain(x)
		require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status)
		require.Equal(t, []int{1, 2}, []int{h.records(child)["good"].Attempt, h.records(child)["bad"].Attempt})
		h.inOrder(x.ID, child)
		h.vanishes(child, x.ID)
	}
}

// parted is a paused execution whose sub-execution failed, which has so many tasks behind the bad one.
func (h *house) parted(width int) (x *engine.Execution, child string) {
	h.t.Helper()
	part := &workflow.Definition{Name: fmt.Sprintf("part-%d", width), Tasks: tasksOf("good", "bad good")}
	for i := range width {
		part.Tasks = append(part.Tasks, tasksOf(fmt.Sprintf("m%d bad", i))...)
	}
	h.publish(part)
	x = h.start(&workflow.Definition{Name: "whole", Tasks: []workflow.Task{
		tasksOf("other")[0], {Name: "sub", Type: workflow.TypeWorkflow, With: json.RawMessage(`{"name":"` + part.Name + `"}`)},
	}})
	child = h.records(x.ID)["sub"].Child
	h.complete(child, "good")
	h.fail(child, "bad")
	require.Equal(h.t, workflow.TaskFailed, h.records(x.ID)["sub"].Status)
	_, err := h.Pause(h.t.Context(), x.ID, engine.Request{})
	require.NoError(h.t, err)
	return x, child
}

// lasts expects one list of steps of an execution, which does not end by itself.
func (h *house) lasts(id string) {
	h.t.Helper()
	drafts := h.drafts(id)
	require.Len(h.t, drafts, 1)
	for key, ttl := range drafts {
		require.Equal(h.t, time.Duration(-1), ttl, "%s stays", key)
		require.Equal(h.t, h.hash(id, "r")["next"], key[strings.LastIndex(key, ":")+1:])
	}
}

// aSubExecutionNeverGoesOn: steps that it does not go on with any more are gone, at the latest with it.
func aSubExecutionNeverGoesOn(t *testing.T, h *house) {
	ctx := t.Context()
	x, child := h.parted(3)
	_, err := h.Redrive(ctx, x.ID, rerunning("sub/bad"))
	require.NoError(t, err)
	h.lasts(child)
	first := h.hash(child, "r")["next"]
	_, err = h.Cancel(ctx, x.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionCanceled, h.now(x.ID).Status)
	h.inOrder(x.ID, child)
	h.commit(h.planned(x.ID, retrying())) // its process dies before the task begins
	h.lasts(child)
	require.NotEqual(t, first, h.hash(child, "r")["next"], "other ones took their place")
	h.inOrder(x.ID, child)
	_, err = h.Cancel(ctx, x.ID, engine.Request{})
	require.NoError(t, err)
	h.lasts(child)
	h.inOrder(x.ID, child)

	c := h.planned(x.ID, rerunning("other"))
	_, err = h.Index(ctx, []string{x.ID, child})
	require.NoError(t, err)
	h.offset += 2 * time.Hour
	require.NoError(t, h.Doom(ctx, x.ID, false))
	before := h.contents()
	_, _, err = h.Commit(ctx, c)
	require.ErrorIs(t, err, engine.ErrGone, "its retention is over")
	require.Equal(t, before, h.contents())
	require.NoError(t, h.Purge(ctx, child, true))
	require.NoError(t, h.Purge(ctx, x.ID, false))
	require.Empty(t, h.contents())
}
