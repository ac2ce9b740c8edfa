package queue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

const width = 950

func isGiven(i int) bool { return i%3 != 0 }

// longRedrive is a rerun of 952 tasks of a running execution, many of which are given an
// input, so that steps are read whose row behind them is not yet.
func (h *house) longRedrive() (*engine.Execution, *workflow.Definition, engine.Commit) {
	h.t.Helper()
	d := fanOut(width)
	x := h.start(d)
	h.complete(x.ID, "first")
	require.Equal(h.t, width+1, h.now(x.ID).TasksSummary[workflow.TaskQueued])
	r := rerunning("first")
	r.TaskInput = map[string]json.RawMessage{}
	for i := range width {
		if isGiven(i) {
			r.TaskInput[fmt.Sprintf("m%d", i)] = fmt.Appendf(nil, `{"n":%d}`, i)
		}
	}
	c := h.planned(x.ID, r)
	require.Len(h.t, c.Parts, 1)
	require.Equal(h.t, 1+len(c.Parts[0].Steps)+len(r.TaskInput), c.Parts[0].Written, "a header, the steps, and the inputs behind theirs")
	require.Len(h.t, c.Parts[0].Steps, width+2)
	return h.now(x.ID), d, c
}

// aLongRedrive: the steps that a commit found written are applied in parts, each once, by whoever comes.
func aLongRedrive(t *testing.T, h *house) {
	ctx := t.Context()
	x, d, c := h.longRedrive()
	other := h.take(x.ID, "other")
	c = h.again(c, x.ID)
	applied := h.commit(c)
	require.Empty(t, applied[0].Relay)
	require.True(t, h.now(x.ID).Applying)
	h.audit(x.ID, d)
	before := h.contents()
	_, done, err := h.Commit(ctx, c)
	require.NoError(t, err)
	require.Equal(t, 1, done)
	for _, epoch := range []int{0, 2} {
		_, _, err = h.Apply(ctx, x.ID, epoch)
		require.ErrorIs(t, err, engine.ErrMoved)
	}
	require.ErrorIs(t, h.Hold(ctx, x.ID, "plan", time.Minute), engine.ErrMoved, "a plan rests on the whole of the redrive before")
	require.Equal(t, before, h.contents())
	require.NoError(t, h.Complete(ctx, other, json.RawMessage(`1`)), "what was left running is stored")
	require.Equal(t, workflow.TaskSucceeded, h.records(x.ID)["other"].Status)
	superseded, parts := h.applyAll(x.ID, d)
	require.GreaterOrEqual(t, parts, 2)
	delete(superseded, engine.Fence{Execution: x.ID, Ref: "join", Attempt: 1, Dispatch: 1}) // reached by what was left running
	require.Len(t, superseded, width, "each job once")
	now, recs := h.now(x.ID), h.records(x.ID)
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 1, workflow.TaskQueued: 1, workflow.TaskPending: width + 1}, now.TasksSummary)
	for i := range width {
		ref := fmt.Sprintf("m%d", i)
		require.Equal(t, isGiven(i), recs[ref].Given != "", ref)
		given, err := h.Given(ctx, x.ID, ref)
		require.NoError(t, err)
		if isGiven(i) {
			require.Equal(t, string(workflow.Give(fmt.Appendf(nil, `{"n":%d}`, i), workflow.InputReplace)), string(given))
		}
	}
	require.NoError(t, h.Advance(ctx, x.ID))
	h.complete(x.ID, "first")
	require.Equal(t, width+1, h.now(x.ID).TasksSummary[workflow.TaskQueued], "all of them, and the join")
	require.Equal(t, 2, h.records(x.ID)["m77"].Attempt)
	h.audit(x.ID, d)
	h.counted(x.ID)
	_, err = h.Cancel(ctx, x.ID, engine.Request{})
	require.NoError(t, err)
	h.audit(x.ID, d)
	h.vanishes(x.ID)
}

// aLongRedriveIsNotOvertaken: what runs and is superseded is so before anything is reset that waits for it.
func aLongRedriveIsNotOvertaken(t *testing.T, h *house) {
	ctx := t.Context()
	d := fanOut(width)
	x := h.start(d)
	first := h.take(x.ID, "first")
	c := h.planned(x.ID, rerunning("first"))
	require.Positive(t, c.Parts[0].Written)
	h.commit(c)
	_, more, err := h.Apply(ctx, x.ID, 1)
	require.NoError(t, err)
	require.True(t, more)
	require.ErrorIs(t, h.Complete(ctx, first, json.RawMessage(`1`)), engine.ErrStale)
	h.audit(x.ID, d)
	h.applyAll(x.ID, d)
	require.NoError(t, h.Advance(ctx, x.ID))
	require.Equal(t, 2, h.now(x.ID).TasksSummary[workflow.TaskQueued], "it and the one beside it, and nothing that needs it")
	h.complete(x.ID, "first")
	require.Equal(t, 1, h.records(x.ID)["m77"].Attempt)
	h.audit(x.ID, d)
	_, err = h.Cancel(ctx, x.ID, engine.Request{})
	require.NoError(t, err)
	h.vanishes(x.ID)
}

// again plans a long redrive of an execution that moved on, as it was asked for.
func (h *house) again(c engine.Commit, id string) engine.Commit {
	h.t.Helper()
	var told engine.Redriven
	require.NoError(h.t, json.Unmarshal(c.Parts[0].Record, &told))
	var r engine.RedriveRequest
	require.NoError(h.t, json.Unmarshal(told.Request, &r.Redrive))
	before := h.contents()
	_, _, err := h.Commit(h.t.Context(), c)
	require.ErrorIs(h.t, err, engine.ErrMoved, "a long plan rests on the whole revision")
	require.Equal(h.t, before, h.contents())
	for key, ttl := range h.drafts(id) {
		require.Positive(h.t, ttl, "what nobody commits ends by itself")
		require.NoError(h.t, h.Client().Del(h.t.Context(), key).Err())
	}
	return h.planned(id, r)
}

// applyAll lets one process, then two at once, apply what is left, and holds what lies there to the rules after each part.
func (h *house) applyAll(id string, d *workflow.Definition) (superseded map[engine.Fence]bool, parts int) {
	h.t.Helper()
	other := newBench(h.t, h.url(), func(o *queue.Options) { o.Embedded = h.options.Embedded })
	superseded = map[engine.Fence]bool{}
	for more := true; more; parts++ {
		_, from, _ := h.steps(id)
		var mu sync.Mutex
		together(1+parts%2, func(i int) {
			a, _, err := []engine.RedriveStore{h.Redis, other.Redis}[i].Apply(h.t.Context(), id, 1)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, engine.ErrMoved) {
				h.t.Errorf("applying: %v", err)
			}
			for _, f := range a.Out {
				if superseded[f] {
					h.t.Errorf("%s was superseded before", f.Ref)
				}
				superseded[f] = true
			}
		})
		left, till, of := h.steps(id)
		more = left > 0
		if more {
			require.EqualValues(h.t, of, left)
			require.LessOrEqual(h.t, till-from, 2*(1+parts%2)*engine.StepSize, "a part is no longer, with a row behind each step")
			require.Greater(h.t, till, from)
		}
		h.audit(id, d)
	}
	require.False(h.t, h.now(id).Applying)
	before := h.contents()
	_, _, err := h.Apply(h.t.Context(), id, 1)
	require.ErrorIs(h.t, err, engine.ErrMoved, "all of it is")
	require.Equal(h.t, before, h.contents())
	return superseded, parts
}

// aLongRedriveIsCut: one that is applied in parts may be canceled in between, or go on in another process.
func aLongRedriveIsCut(t *testing.T, h *house) {
	ctx := t.Context()
	x, d, c := h.longRedrive()
	h.commit(c)
	_, more, err := h.Apply(ctx, x.ID, 1)
	require.NoError(t, err)
	require.True(t, more)
	_, err = h.Cancel(ctx, x.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionCanceled, h.now(x.ID).Status)
	left, _, of := h.steps(x.ID)
	require.Zero(t, left)
	require.Zero(t, of)
	h.audit(x.ID, d)
	h.commit(h.planned(x.ID, retrying()))
	_, _, err = h.Apply(ctx, x.ID, 2)
	require.NoError(t, err)
	h.audit(x.ID, d)
	require.NoError(t, h.Advance(ctx, x.ID), "a sweep finds it")
	require.False(t, h.now(x.ID).Applying)
	require.Equal(t, width+1, h.now(x.ID).TasksSummary[workflow.TaskQueued], "first was not superseded yet")
	h.audit(x.ID, d)
	_, err = h.Cancel(ctx, x.ID, engine.Request{})
	require.NoError(t, err)
	h.vanishes(x.ID)
}

// drafts are the steps that were written for an execution, with their time to live.
func (h *house) drafts(id string) map[string]time.Duration {
	h.t.Helper()
	keys, err := queuetest.Keys(h.t.Context(), h.Client(), ":q:"+id+":")
	require.NoError(h.t, err)
	all := map[string]time.Duration{}
	for _, key := range keys {
		all[key], err = h.Client().PTTL(h.t.Context(), key).Result()
		require.NoError(h.t, err)
	}
	return all
}
