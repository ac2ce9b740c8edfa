package engine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// TestProgressIsOfAnAttempt: what a run has given so far stays with its attempt, and only whoever holds that may say it.
func TestProgressIsOfAnAttempt(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	x := startOn(t, p, "default", `{name: w, tasks: [{ name: a, type: render, retry: { max_attempts: 2, delay: 0s } }, { name: b, type: wait, needs: [a], with: { external: true } }]}`)
	ctx := t.Context()
	say := func(f engine.Fence, progress string) error { return p.Progress(ctx, f, json.RawMessage(progress)) }
	run := one(t, p)
	require.NoError(t, p.RemoteProgress(ctx, x.ID, "a", run.Token, json.RawMessage(`{"rows":1}`)))
	require.NoError(t, p.RemoteProgress(ctx, x.ID, "a", run.Token, json.RawMessage(`{"rows":2}`)))
	require.JSONEq(t, `{"rows":2}`, string(task(t, p, x, "a").Progress))
	require.Nil(t, task(t, p, x, "a").Output)
	require.NoError(t, p.RemotePostpone(ctx, x.ID, "a", run.Token, 0))
	requireStale(t, p.RemoteProgress(ctx, x.ID, "a", run.Token, json.RawMessage(`{"rows":3}`)))
	again := one(t, p)
	require.Equal(t, 1, again.Attempt)
	require.JSONEq(t, `{"rows":2}`, string(task(t, p, x, "a").Progress), "the same attempt")
	requireStale(t, say(run.Fence, `{"rows":3}`))

	var refused *engine.Error
	require.ErrorAs(t, say(again.Fence, `"`+strings.Repeat("x", 256<<10)+`"`), &refused)
	require.Equal(t, []any{engine.KindInvalid, "progress"}, []any{refused.Kind, refused.Problems[0].Field})
	_, err := p.RemoteFail(ctx, x.ID, "a", again.Token, workflow.Error{Code: "c", Retryable: true})
	require.NoError(t, err)
	sweepAll(ctx, t, p, &clock{}, 0)
	second := one(t, p)
	require.Equal(t, 2, second.Attempt)
	require.Nil(t, task(t, p, x, "a").Progress)
	_, err = p.RemoteComplete(ctx, x.ID, "a", second.Token, json.RawMessage(`{"rows":9}`))
	require.NoError(t, err)
	requireStale(t, say(second.Fence, `{}`))
	all, _, err := p.Attempts(ctx, x.ID, "a", engine.Page{})
	require.NoError(t, err)
	require.JSONEq(t, `{"rows":2}`, string(all[0].Progress))
	require.Nil(t, all[1].Progress)

	// A task that waits has some, too.
	sweepAll(ctx, t, p, &clock{}, 0)
	f := engine.Fence{Execution: x.ID, Ref: "b", Attempt: 1, Dispatch: 1}
	require.NoError(t, say(f, `"half"`))
	require.JSONEq(t, `"half"`, string(task(t, p, x, "b").Progress))
	f.Attempt = 2
	requireStale(t, say(f, `"half"`))
}

// TestAnAttemptIsTakenByItsName: what waits to be handed out is claimed once, and a report that it failed costs a try as any other.
func TestAnAttemptIsTakenByItsName(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	x := startOn(t, p, "default", `{name: w, tasks: [{ name: a, type: render, retry: { max_attempts: 2, delay: 0s } }]}`)
	ctx, f := t.Context(), engine.Fence{Execution: x.ID, Ref: "a", Attempt: 1}
	run, err := p.RemoteTake(ctx, f, "elsewhere")
	require.NoError(t, err)
	require.Equal(t, "elsewhere", task(t, p, x, "a").Worker)
	none, err := p.RemoteTake(ctx, f, "another")
	require.NoError(t, err)
	require.Nil(t, none)
	require.Empty(t, poll(t, p, engine.Poll{}))
	result, err := p.RemoteFail(ctx, x.ID, "a", run.Token, workflow.Error{Code: "c", Retryable: true})
	require.NoError(t, err)
	require.Equal(t, workflow.TaskRetrying, result.Status)
}
