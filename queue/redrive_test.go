package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// errStopped ends a redrive that is made ready and not done.
var errStopped = errors.New("stopped before it came true")

// ready is a store that keeps what a redrive would do instead of doing it.
type ready struct {
	*queue.Redis
	commit   engine.Commit
	adoption *engine.Adoption // where it is to stop before that
}

func (r *ready) Commit(_ context.Context, c engine.Commit) ([]engine.Applied, int, error) {
	r.commit = c
	return nil, 0, errStopped
}

func (r *ready) Adopt(ctx context.Context, a engine.Adoption) error {
	if r.adoption == nil {
		return r.Redis.Adopt(ctx, a)
	}
	*r.adoption = a
	return errStopped
}

// planned answers what a redrive commits, its long lists of steps being written.
func (h *house) planned(id string, r engine.RedriveRequest) engine.Commit {
	h.t.Helper()
	return h.stopped(id, r, &ready{Redis: h.Redis}).commit
}

func (h *house) stopped(id string, r engine.RedriveRequest, store *ready) *ready {
	h.t.Helper()
	o := engine.DefaultOptions()
	o.Store, o.Logger, o.Catalog = store, quiet(), workflow.Catalog{"noop": nil}
	e, err := engine.New(o)
	require.NoError(h.t, err)
	_, err = e.Redrive(h.t.Context(), id, r)
	require.ErrorIs(h.t, err, errStopped)
	return store
}

func (h *house) commit(c engine.Commit) []engine.Applied {
	h.t.Helper()
	applied, before, err := h.Commit(h.t.Context(), c)
	require.NoError(h.t, err)
	require.Zero(h.t, before)
	require.Len(h.t, applied, len(c.Parts))
	return applied
}

// rerunning asks to run again from tasks.
func rerunning(from ...string) engine.RedriveRequest {
	return engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRerun, From: from}, By: "me", Reason: "because"}
}

func (h *house) fail(id, ref string) {
	h.t.Helper()
	final, err := h.Fail(h.t.Context(), h.take(id, ref), &workflow.Error{Code: "boom", Message: "it broke"}, false)
	require.NoError(h.t, err)
	require.True(h.t, final)
}

// hash is a key of an execution as it lies in Redis.
func (h *house) hash(id, letter string) map[string]string {
	h.t.Helper()
	v, err := h.Client().HGetAll(h.t.Context(), queuetest.ShardKey(id, letter+":"+id)).Result()
	require.NoError(h.t, err)
	return v
}

// contents is all that lies in Redis of executions.
func (h *house) contents() map[string]string {
	h.t.Helper()
	c, ctx := h.Client(), h.t.Context()
	keys, err := queuetest.Keys(ctx, c, "redrive:{s:")
	require.NoError(h.t, err)
	all := map[string]string{}
	for _, key := range keys {
		kind, err := c.Type(ctx, key).Result()
		require.NoError(h.t, err)
		var v any
		switch kind {
		case "hash":
			v, err = c.HGetAll(ctx, key).Result()
		case "set":
			members := c.SMembers(ctx, key)
			slices.Sort(members.Val())
			v, err = members.Val(), members.Err()
		case "zset":
			v, err = c.ZRangeWithScores(ctx, key, 0, -1).Result()
		default:
			v, err = c.LRange(ctx, key, 0, -1).Result()
		}
		require.NoError(h.t, err)
		all[key] = fmt.Sprint(v)
	}
	return all
}

// steps are the rows that are still to be applied, and those that were of all.
func (h *house) steps(id string) (left int64, applied, of int) {
	h.t.Helper()
	left, err := h.Client().LLen(h.t.Context(), queuetest.ShardKey(id, "q:"+id)).Result()
	require.NoError(h.t, err)
	if text := h.hash(id, "x")["applying"]; text != "" {
		_, err := fmt.Sscanf(text, "%d %d", &applied, &of)
		require.NoError(h.t, err, text)
	}
	return left, applied, of
}

// broken is an execution of which b failed, so that d was never reached.
func (h *house) broken() (*engine.Execution, *workflow.Definition) {
	h.t.Helper()
	d := &workflow.Definition{Name: "broken", Tasks: tasksOf("a", "b a", "c a", "d b c", "e")}
	x := h.start(d, func(r *engine.StartRequest) { r.Input = json.RawMessage(`{"n":  1}`) })
	h.complete(x.ID, "a")
	h.complete(x.ID, "c")
	h.complete(x.ID, "e")
	h.fail(x.ID, "b")
	require.Equal(h.t, workflow.ExecutionFailed, h.now(x.ID).Status)
	return h.now(x.ID), d
}

// aRedrive: few steps are applied in the script that commits them.
func aRedrive(t *testing.T, h *house) {
	x, d := h.broken()
	correlation := "c-2"
	r := retrying()
	r.Reason, r.CorrelationID, r.Metadata = "because", &correlation, map[string]string{"k": "v"}
	r.WorkflowInput, r.TaskInput = json.RawMessage(`{"n":2}`), map[string]json.RawMessage{"d": big(9000)}
	c := h.planned(x.ID, r)
	require.Len(t, c.Parts, 1)
	require.Zero(t, c.Parts[0].Written)
	was := h.hash(x.ID, "t")
	applied := h.commit(c)
	fence := engine.Fence{Execution: x.ID, Ref: "b", Attempt: 2, Dispatch: 1}
	require.Equal(t, []engine.Fence{fence}, applied[0].Relay)
	require.Empty(t, applied[0].Out)
	now := h.now(x.ID)
	require.Equal(t, workflow.ExecutionRunning, now.Status)
	require.False(t, now.Applying)
	require.Equal(t, 1, now.Redrives)
	require.Equal(t, x.Revision+1, now.Revision)
	require.Equal(t, `{"n":2}`, string(now.Input))
	require.Equal(t, "c-2", now.CorrelationID)
	require.Equal(t, map[string]string{"k": "v"}, now.Metadata)
	require.Equal(t, "because", now.Reason)
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 3, workflow.TaskQueued: 1, workflow.TaskPending: 1}, now.TasksSummary)
	is := h.hash(x.ID, "t")
	for _, ref := range []string{"a", "c", "e"} {
		require.Equal(t, was[ref], is[ref], "%s is kept", ref)
	}
	require.Equal(t, `{"n":  1}`, h.values(x.ID)["in#0"], "what it ran with before")
	given, err := h.Given(t.Context(), x.ID, "d")
	require.NoError(t, err)
	require.Equal(t, string(workflow.Give(big(9000), workflow.InputReplace)), string(given))
	h.counted(x.ID)
	h.audit(x.ID, d)
	records, times, err := h.RedriveRecords(t.Context(), x.ID, 1, 1)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), times[0], time.Minute)
	var told engine.Redriven
	require.NoError(t, json.Unmarshal(records[0], &told))
	require.Equal(t, workflow.OperationRetry, told.Operation)
	h.complete(x.ID, "b")
	h.complete(x.ID, "d")
	require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status)
	h.audit(x.ID, d)
	h.vanishes(x.ID)
}

// aRedriveOfWhatRuns: attempts that are superseded are told, and what they still say is refused.
func aRedriveOfWhatRuns(t *testing.T, h *house) {
	d := &workflow.Definition{Name: "runs", Tasks: tasksOf("a", "b a", "c a", "d b c", "e")}
	x := h.start(d)
	h.complete(x.ID, "a")
	b, e := h.take(x.ID, "b"), h.take(x.ID, "e")
	r := rerunning("a")
	r.Outputs = map[string]json.RawMessage{"c": json.RawMessage(`[ 7 ]`)}
	applied := h.commit(h.planned(x.ID, r))
	require.Equal(t, []engine.Fence{{Execution: x.ID, Ref: "a", Attempt: 2, Dispatch: 1}}, applied[0].Relay)
	require.ElementsMatch(t, []engine.Fence{b.Fence, {Execution: x.ID, Ref: "c", Attempt: 1, Dispatch: 1}}, applied[0].Out)
	h.audit(x.ID, d)
	require.ErrorIs(t, h.Complete(t.Context(), b, json.RawMessage(`"late"`)), engine.ErrStale)
	require.NoError(t, h.Complete(t.Context(), e, json.RawMessage(`1`)), "it was left alone")
	former, _, err := h.Attempts(t.Context(), x.ID, "b", engine.Page{})
	require.NoError(t, err)
	require.Equal(t, workflow.TaskCanceled, former[0].Status)
	outputs, err := h.Outputs(t.Context(), x.ID, []string{"c"}, 100)
	require.NoError(t, err)
	require.Equal(t, `[ 7 ]`, string(outputs[0]))
	h.complete(x.ID, "a")
	h.complete(x.ID, "b")
	h.complete(x.ID, "d")
	require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status)
	h.counted(x.ID)
	h.audit(x.ID, d)
	h.vanishes(x.ID)
}

// aRedriveOutOfDate: what the plan rests on is compared before anything is written.
func aRedriveOutOfDate(t *testing.T, h *house) {
	ctx := t.Context()
	ended, _ := h.broken()
	runs := h.start(&workflow.Definition{Name: "runs", Tasks: tasksOf("a", "b a")})
	h.complete(runs.ID, "a")
	plans := map[string]func() engine.Commit{
		"ended": func() engine.Commit { return h.planned(ended.ID, retrying()) },
		"runs":  func() engine.Commit { return h.planned(runs.ID, rerunning("a")) },
	}
	var status *engine.StatusError
	for what, c := range map[string]struct {
		plan   string
		change func(p *engine.CommitPart)
		want   error // nil = it is in another status
	}{
		"an older epoch":                {"ended", func(p *engine.CommitPart) { p.Epoch-- }, engine.ErrMoved},
		"a later epoch":                 {"runs", func(p *engine.CommitPart) { p.Epoch++ }, engine.ErrMoved},
		"an older revision":             {"ended", func(p *engine.CommitPart) { p.Revision-- }, engine.ErrMoved},
		"another attempt":               {"ended", func(p *engine.CommitPart) { p.Steps[len(p.Steps)-1].Attempt++ }, engine.ErrMoved},
		"another status":                {"runs", func(p *engine.CommitPart) { p.Steps[0].Status = workflow.TaskFailed }, engine.ErrMoved},
		"a task that is there":          {"runs", func(p *engine.CommitPart) { p.Steps[0].Status = "" }, engine.ErrMoved},
		"a task that is gone":           {"runs", func(p *engine.CommitPart) { p.Steps[0].Ref = "nowhere" }, engine.ErrMoved},
		"steps that nobody wrote":       {"ended", func(p *engine.CommitPart) { p.Steps, p.Written = nil, 7 }, engine.ErrMoved},
		"what was reserved is over":     {"ended", func(p *engine.CommitPart) { p.Till = time.Now().Add(-time.Minute) }, engine.ErrMoved},
		"it has ended, and is to run":   {"ended", func(p *engine.CommitPart) { p.Live = true }, nil},
		"it runs, and is to have ended": {"runs", func(p *engine.CommitPart) { p.Live = false }, nil},
		"too large values":              {"ended", func(p *engine.CommitPart) { p.Grows = engine.ValuesBytes }, engine.ErrValuesFull},
		"no such execution":             {"ended", func(p *engine.CommitPart) { p.Execution = uuid.NewString() }, engine.ErrGone},
	} {
		commit := plans[c.plan]()
		c.change(&commit.Parts[0])
		before := h.contents()
		_, _, err := h.Commit(ctx, commit)
		if c.want == nil {
			require.ErrorAs(t, err, &status, what)
		} else {
			require.ErrorIs(t, err, c.want, what)
		}
		require.Equal(t, before, h.contents(), "%s: a refusal writes nothing", what)
	}
	c := plans["runs"]()
	h.complete(runs.ID, "b") // it moved on, and ended
	before := h.contents()
	_, _, err := h.Commit(ctx, c)
	require.ErrorAs(t, err, &status)
	require.Equal(t, before, h.contents())
	h.commit(plans["ended"]())
	h.inOrder(ended.ID, runs.ID)
}

// aRedriveTwice: the same token, key or plan makes one redrive, however often and by whomever it is asked for.
func aRedriveTwice(t *testing.T, h *house) {
	ctx := t.Context()
	x, d := h.broken()
	c, other := h.planned(x.ID, retrying()), h.planned(x.ID, retrying())
	h.commit(c)
	before := h.contents()
	_, done, err := h.Commit(ctx, c)
	require.NoError(t, err)
	require.Equal(t, 1, done)
	_, _, err = h.Commit(ctx, other)
	require.Error(t, err, "it rests on what was")
	require.Equal(t, before, h.contents())
	n, err := h.RedriveOf(ctx, x.ID, c.Token)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = h.RedriveOf(ctx, x.ID, other.Token)
	require.NoError(t, err)
	require.Zero(t, n)
	h.fail(x.ID, "b")
	plan, err := h.Plan(ctx, x.ID, retrying())
	require.NoError(t, err)
	keyed, hashed := rerunning("a"), retrying()
	keyed.IdempotencyKey, hashed.PlanHash = "k", plan.PlanHash
	for i, r := range []engine.RedriveRequest{hashed, keyed} {
		const callers = 12
		errs := make([]error, callers)
		together(callers, func(i int) { _, errs[i] = h.Redrive(ctx, x.ID, r) })
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, 2+i, h.now(x.ID).Redrives)
		h.audit(x.ID, d)
	}
	keyed.Reason = "another one"
	_, err = h.Redrive(ctx, x.ID, keyed)
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "idempotency_key_reused", refused.Code)
	require.Equal(t, []string{"1", "2", "3"}, numbersOf(h.hash(x.ID, "r")))
}

// numbersOf are the redrives of which there is a record.
func numbersOf(redrives map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(redrives)), func(field string) bool { return strings.HasPrefix(field, "t:") })
}

// aHold: nothing starts while a redrive is planned, which alone may be committed.
func aHold(t *testing.T, h *house) {
	ctx := t.Context()
	d := &workflow.Definition{Name: "held", Tasks: tasksOf("a", "b a", "c")}
	x := h.start(d)
	a := h.take(x.ID, "a")
	require.NoError(t, h.Hold(ctx, x.ID, "mine", time.Minute))
	require.ErrorIs(t, h.Hold(ctx, x.ID, "another", time.Minute), engine.ErrMoved)
	require.NoError(t, h.Complete(ctx, a, json.RawMessage(`1`)))
	require.Equal(t, workflow.TaskQueued, h.records(x.ID)["b"].Status)
	require.NotContains(t, h.sweep().Jobs, engine.Fence{Execution: x.ID, Ref: "b", Attempt: 1, Dispatch: 1}, "it is kept aside")
	h.audit(x.ID, d)
	c := h.planned(x.ID, rerunning("a"))
	_, _, err := h.Commit(ctx, c)
	require.ErrorIs(t, err, engine.ErrMoved, "it is held by somebody else")
	c.Parts[0].Hold = "mine"
	applied := h.commit(c)
	require.Equal(t, "a", applied[0].Relay[0].Ref, "the hold ended with that")
	h.audit(x.ID, d)
	require.NoError(t, h.Hold(ctx, x.ID, "mine", time.Minute))
	h.offset += 2 * time.Minute
	require.NoError(t, h.Hold(ctx, x.ID, "another", time.Minute), "the former is over")
	require.ErrorIs(t, h.Hold(ctx, x.ID, "mine", 0), engine.ErrMoved)
	require.NoError(t, h.Hold(ctx, x.ID, "another", 0))
	h.complete(x.ID, "a")
	h.complete(x.ID, "b")
	h.complete(x.ID, "c")
	var status *engine.StatusError
	require.ErrorAs(t, h.Hold(ctx, x.ID, "late", time.Minute), &status)
	require.ErrorIs(t, h.Hold(ctx, uuid.NewString(), "none", time.Minute), engine.ErrGone)
	h.vanishes(x.ID)
}

func (h *house) records(id string) map[string]engine.Record {
	h.t.Helper()
	recs, err := h.Records(h.t.Context(), id, nil)
	require.NoError(h.t, err)
	return recs
}
