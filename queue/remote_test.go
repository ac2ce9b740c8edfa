package queue_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// remoteWork is the way of a task through a remote worker, every script of it.
func remoteWork(t *testing.T, h *house) {
	ctx := t.Context()
	ask := engine.Poll{Worker: "py", Types: []string{"render"}, Max: 10}
	_, err := h.Poll(ctx, ask)
	require.NoError(t, err)
	offers, err := h.Offers(ctx)
	require.NoError(t, err)
	d := &workflow.Definition{Name: "remote", Tasks: []workflow.Task{{Name: "a", Type: "render"}, {Name: "b", Type: "render", Needs: []string{"a"}}}}
	x := h.start(d)
	for o := range offers {
		if o.Lane != "" { // one without a lane: anything may be there
			require.Equal(t, engine.Offered{Shelf: engine.Shelf{Lane: "default", Type: "render"}, Project: "default"}, o)
			break
		}
	}
	limited := ask
	limited.Projects, limited.Key = []string{"other", "another"}, "key_1"
	runs, err := h.Poll(ctx, limited)
	require.NoError(t, err)
	require.Empty(t, runs)
	limited.Projects = []string{"other", "default"}
	runs, err = h.Poll(ctx, limited)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	h.audit(x.ID, d)
	beat, err := h.RemoteHeartbeat(ctx, x.ID, "a", runs[0].Token)
	require.NoError(t, err)
	require.Equal(t, engine.Beat{Lease: 30 * time.Second}, beat)
	require.NoError(t, h.RemoteProgress(ctx, x.ID, "a", runs[0].Token, json.RawMessage(`{"rows":1}`)))
	_, err = h.RemoteComplete(ctx, x.ID, "a", runs[0].Token, json.RawMessage(`[]`))
	require.NoError(t, err)
	runs, err = h.Poll(ctx, ask)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, "b", runs[0].Ref)
	_, err = h.RemoteComplete(ctx, x.ID, "b", runs[0].Token, nil)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status)
	h.audit(x.ID, d)
	workers, err := h.Workers(ctx)
	require.NoError(t, err)
	require.Len(t, workers, 3, "a Go worker and two remote ones")
}

func manyOffers(t *testing.T, h *house) {
	ctx := t.Context()
	at := engine.Shelf{Lane: "default", Type: "render"}
	var jobs []engine.Job
	for i := range 600 {
		f := engine.Fence{Execution: uuid.Must(uuid.NewV7()).String(), Ref: "a", Attempt: 1, Dispatch: 1}
		jobs = append(jobs, engine.Job{Fence: f, Type: at.Type, Queue: at.Lane, Project: []string{"one", "two"}[i%2]})
	}
	fresh, err := h.Offer(ctx, jobs)
	require.NoError(t, err)
	require.NotContains(t, fresh, false)
	fresh, err = h.Offer(ctx, jobs[:3])
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, false}, fresh, "they wait already")
	require.NoError(t, h.Withdraw(ctx, jobs[0]))
	for _, c := range []struct {
		projects []string
		want     int
	}{{nil, 599}, {[]string{"one"}, 299}, {[]string{"one", "two"}, 599}, {[]string{"three"}, 0}} {
		n, err := h.OnOffer(ctx, []engine.Shelf{at, {Lane: "default.high", Type: "render"}}, c.projects)
		require.NoError(t, err)
		require.Equal(t, []int{c.want, 0}, n)
	}
	taken, left, err := h.Take(ctx, at, []string{"two"}, 10)
	require.NoError(t, err)
	require.Len(t, taken, 10)
	require.Equal(t, 290, left)
	seen := map[engine.Fence]bool{}
	for _, f := range taken {
		seen[f] = true
	}
	for len(seen) < 599 {
		taken, left, err = h.Take(ctx, at, nil, 100)
		require.NoError(t, err)
		require.NotEmpty(t, taken)
		for _, f := range taken {
			require.False(t, seen[f], "taken twice")
			seen[f] = true
		}
		require.Equal(t, 599-len(seen), left)
	}
	require.False(t, seen[jobs[0].Fence], "it was withdrawn")
	keys, err := queuetest.Keys(ctx, h.Client(), "{r:")
	require.NoError(t, err)
	require.Empty(t, keys)
}
