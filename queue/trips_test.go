package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// gate holds up the first trip of several commands after it was closed, and
// notes how many scripts each trip ran.
type gate struct {
	mu      sync.Mutex
	open    chan struct{}
	arrived chan struct{}
	trips   []int
}

func (g *gate) close() (arrived <-chan struct{}, open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trips = nil
	g.open, g.arrived = make(chan struct{}), make(chan struct{})
	return g.arrived, sync.OnceFunc(func() { close(g.open) })
}

func (g *gate) count() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.trips)
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.mu.Lock()
		open, arrived := g.open, g.arrived
		g.trips, g.arrived = append(g.trips, len(cmds)), nil
		g.mu.Unlock()
		if arrived != nil {
			close(arrived)
			<-open
		}
		return next(ctx, cmds)
	}
}

// tripHouse is a house with a gate, and n claimed runs of as many executions of chain.
func tripHouse(t *testing.T, n int) (*house, *gate, []*engine.Run) {
	t.Helper()
	h := newHouse(t, queuetest.URL(t))
	h.SetPatience(time.Hour)
	h.complete(h.start(chain).ID, "a") // Redis knows the scripts now
	var runs []*engine.Run
	for range n {
		runs = append(runs, h.take(h.start(chain).ID, "a"))
	}
	g := &gate{}
	h.Client().AddHook(g)
	return h, g, runs
}

// completeTogether completes the first run and, while its trip is held up, the others.
func completeTogether(t *testing.T, h *house, g *gate, runs []*engine.Run, meanwhile func()) []error {
	t.Helper()
	errs := make([]error, len(runs))
	arrived, open := g.close()
	defer open()
	var wg sync.WaitGroup
	done := func(i int) {
		wg.Go(func() { errs[i] = h.Complete(context.Background(), runs[i], json.RawMessage(fmt.Sprint(i))) })
	}
	done(0)
	<-arrived
	for i := 1; i < len(runs); i++ {
		done(i)
	}
	require.Eventually(t, func() bool { return h.Waiting() == len(runs)-1 }, 30*time.Second, time.Millisecond)
	meanwhile()
	open()
	wg.Wait()
	return errs
}

func requireCompleted(t *testing.T, h *house, r *engine.Run, output int) {
	t.Helper()
	x, err := h.Task(t.Context(), r.Execution, "a")
	require.NoError(t, err)
	require.Equal(t, workflow.TaskSucceeded, x.Status)
	require.JSONEq(t, fmt.Sprint(output), string(x.Output))
	recs, err := h.Records(t.Context(), r.Execution, []string{"b"})
	require.NoError(t, err)
	require.Equal(t, workflow.TaskQueued, recs["b"].Status)
	require.Contains(t, h.jobs(), engine.Fence{Execution: r.Execution, Ref: "b", Attempt: 1, Dispatch: 1}.JobID())
	h.audit(r.Execution, chain)
}

func TestWhatGathersDuringATripSharesTheNext(t *testing.T) {
	t.Parallel()
	h, g, runs := tripHouse(t, 6)
	for _, err := range completeTogether(t, h, g, runs, func() {}) {
		require.NoError(t, err)
	}
	require.Equal(t, []int{2, 10}, g.count(), "each caller has a transition and a job")
	for i, r := range runs {
		requireCompleted(t, h, r, i)
	}
}

func TestARefusalInASharedTripHarmsNoOther(t *testing.T) {
	t.Parallel()
	h, g, runs := tripHouse(t, 5)
	require.NoError(t, h.Release(t.Context(), runs[2])) // its result comes too late now
	errs := completeTogether(t, h, g, runs, func() {})
	for i, r := range runs {
		if i == 2 {
			require.ErrorIs(t, errs[i], engine.ErrStale)
			h.audit(r.Execution, chain)
			continue
		}
		require.NoError(t, errs[i])
		requireCompleted(t, h, r, i)
	}
}

func TestASharedTripWithoutItsScripts(t *testing.T) {
	t.Parallel()
	h, g, runs := tripHouse(t, 5)
	for _, err := range completeTogether(t, h, g, runs, func() { require.NoError(t, h.Client().ScriptFlush(t.Context()).Err()) }) {
		require.NoError(t, err)
	}
	for i, r := range runs {
		requireCompleted(t, h, r, i)
	}
}

// A reply that gets lost is everybody's: none of them knows, and none of them is told that it failed.
func TestALostReplyOfASharedTrip(t *testing.T) {
	t.Parallel()
	h, g, runs := tripHouse(t, 5)
	faults := &queuetest.Faults{}
	h.Client().AddHook(faults)
	errs := completeTogether(t, h, g, runs, func() { faults.Arm(1, true) }) // the trip that is held up arrives
	require.True(t, faults.Disarm())
	require.NoError(t, errs[0])
	for i, r := range runs[1:] {
		require.ErrorIs(t, errs[i+1], queuetest.ErrCrashed)
		require.NotErrorIs(t, errs[i+1], engine.ErrStale)
		requireCompleted(t, h, r, i+1)
		require.ErrorIs(t, h.Complete(t.Context(), r, json.RawMessage(`"again"`)), engine.ErrStale, "it was accepted once")
	}
}

func TestACallerThatGivesUpHarmsNoOther(t *testing.T) {
	t.Parallel()
	h, g, runs := tripHouse(t, 5)
	gone, cancel := context.WithCancel(t.Context())
	left := h.take(h.start(chain).ID, "a")
	errs := completeTogether(t, h, g, runs, func() {
		answer := make(chan error)
		go func() { answer <- h.Complete(gone, left, json.RawMessage(`9`)) }()
		require.Eventually(t, func() bool { return h.Waiting() == len(runs) }, 30*time.Second, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-answer, context.Canceled)
	})
	for i, r := range runs {
		require.NoError(t, errs[i])
		requireCompleted(t, h, r, i)
	}
	require.NoError(t, h.Complete(t.Context(), left, json.RawMessage(`10`)), "it was not on the trip")
}

// A trip whose connection hangs holds nobody else up.
func TestATripThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	h, g, runs := tripHouse(t, 3)
	h.SetPatience(time.Millisecond)
	arrived, open := g.close()
	defer open()
	hung := make(chan error, 1)
	go func() { hung <- h.Complete(context.Background(), runs[0], json.RawMessage(`0`)) }()
	<-arrived
	for i, r := range runs[1:] {
		require.NoError(t, h.Complete(t.Context(), r, json.RawMessage(fmt.Sprint(i+1))))
		requireCompleted(t, h, r, i+1)
	}
	open()
	require.NoError(t, <-hung)
	requireCompleted(t, h, runs[0], 0)
	require.Zero(t, h.Waiting())
}

// A new execution is in the lists when Create returns, and nothing is left to do about it.
func TestANewExecutionIsListedAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, queuetest.URL(t))
	h.start(chain) // Redis knows the scripts now
	require.NoError(t, h.Client().ScriptFlush(t.Context()).Err())
	for range 2 { // without the scripts, and with them
		x := h.start(chain, func(r *engine.StartRequest) { r.Labels = map[string]string{"a": "b"} })
		page, _, err := h.List(t.Context(), "default", engine.ExecutionFilter{LabelKey: "a", LabelValue: "b"}, engine.Page{Limit: 1})
		require.NoError(t, err)
		require.Len(t, page, 1)
		require.Equal(t, x.ID, page[0].ID)
		found, err := h.FindNumber(t.Context(), x.Number)
		require.NoError(t, err)
		require.Equal(t, x.ID, found)
		marked, err := h.Client().ZScore(t.Context(), queuetest.ShardKey(x.ID, "index"), x.ID).Result()
		require.ErrorIs(t, err, redis.Nil, "%v", marked)
	}
}

// One that moved on before it was listed is left to Index, and one that is not there leaves nothing in the lists.
func TestOnlyWhatWasJustMadeIsListedWithItsCreation(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	create := func(id string) engine.Settled {
		s, _, err := b.Create(t.Context(), engine.NewExecution{
			Execution: engine.Execution{ID: id, Number: 7, Project: "default", Workflow: "w", Version: 1, DefinitionHash: "h", Root: id, Input: json.RawMessage(`{}`)},
			Tasks:     []engine.NewTask{{Ref: "t"}}, Roots: []engine.Successor{{Ref: "t"}},
		})
		require.NoError(t, err)
		return s
	}
	create("01a206ad-f7a7-702c-9d3d-acdcbd03f400") // Redis knows the scripts now
	id := "01a206ad-f7a7-702c-9d3d-acdcbd03f477"
	require.True(t, create(id).Listed)
	_, err := b.Claim(t.Context(), fenceOf(id, "t"), "w", lease, 0, nil)
	require.NoError(t, err)
	require.False(t, create(id).Listed, "it exists already")
	revision, err := b.Client().HGet(t.Context(), "redrive:{p:default}:indexed", id).Result()
	require.NoError(t, err)
	require.Equal(t, "1 running", revision)
}
