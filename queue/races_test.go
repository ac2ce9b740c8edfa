package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

const rounds = 200

// contest lets two calls race and answers how many of each kind took effect;
// every other answer must be one of the refusals.
func contest(t *testing.T, calls []func() error, refusals ...error) (won []int) {
	t.Helper()
	errs := make([]error, len(calls))
	together(len(calls), func(i int) { errs[i] = calls[i]() })
	for i, err := range errs {
		if err == nil {
			won = append(won, i)
			continue
		}
		refused := false
		for _, r := range refusals {
			refused = refused || errors.Is(err, r)
		}
		var word *engine.Error
		refused = refused || errors.As(err, &word) && word.Kind == engine.KindConflict
		require.True(t, refused, "call %d: %v", i, err)
	}
	return won
}

func TestRaces(t *testing.T) {
	for what, race := range map[string]func(*testing.T, *house, *house){
		"claim and claim":       raceClaims,
		"complete and complete": raceCompletes,
		"complete and fail":     raceFail,
		"cancel and complete":   raceCancel,
		"pause and claim":       racePause,
		"retry and retry":       raceRetries,
		"advance and advance":   raceAdvances,
		"release and expire":    raceRedispatch,
		"200 starts, 10 slots":  raceStarts,
		"ends and starts":       raceEnds,
		"starts in a session":   raceSessions,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			url := queuetest.URL(t)
			race(t, newHouse(t, url), newHouse(t, url))
		})
	}
}

var chain = &workflow.Definition{Name: "chain", Tasks: tasksOf("a", "b a")}

func raceClaims(t *testing.T, one, two *house) {
	for range rounds {
		x := one.start(chain)
		claim := func(h *house) func() error {
			return func() error {
				_, err := h.Claim(context.Background(), fenceOf(x.ID, "a"), "w")
				return err
			}
		}
		require.Len(t, contest(t, []func() error{claim(one), claim(two), claim(one)}, engine.ErrStale), 1)
		one.audit(x.ID, chain)
	}
}

func raceCompletes(t *testing.T, one, two *house) {
	for range rounds {
		x := one.start(chain)
		run := one.take(x.ID, "a")
		complete := func(h *house, output string) func() error {
			return func() error { return h.Complete(context.Background(), run, json.RawMessage(output)) }
		}
		won := contest(t, []func() error{complete(one, `0`), complete(two, `1`)}, engine.ErrStale)
		require.Len(t, won, 1)
		task, err := one.Task(t.Context(), x.ID, "a")
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(won[0]), string(task.Output), "the output is that of the one that was accepted")
		require.Equal(t, 1, one.now(x.ID).TasksSummary[workflow.TaskQueued])
		one.audit(x.ID, chain)
	}
}

func raceFail(t *testing.T, one, two *house) {
	for range rounds {
		x := one.start(chain)
		run := one.take(x.ID, "a")
		won := contest(t, []func() error{
			func() error { return one.Complete(context.Background(), run, json.RawMessage(`1`)) },
			func() error {
				_, err := two.Fail(context.Background(), run, &workflow.Error{Code: "boom"}, false)
				return err
			},
		}, engine.ErrStale)
		require.Len(t, won, 1)
		want := []workflow.ExecutionStatus{workflow.ExecutionRunning, workflow.ExecutionFailed}[won[0]]
		require.Equal(t, want, one.now(x.ID).Status)
		one.audit(x.ID, chain)
	}
}

func raceCancel(t *testing.T, one, two *house) {
	single := &workflow.Definition{Name: "single", Tasks: tasksOf("a")}
	for range rounds {
		x := one.start(single)
		run := one.take(x.ID, "a")
		won := contest(t, []func() error{
			func() error { return one.Complete(context.Background(), run, json.RawMessage(`1`)) },
			func() error {
				_, err := two.Cancel(context.Background(), x.ID, engine.Request{})
				return err
			},
		}, engine.ErrStale)
		require.Len(t, won, 1)
		want := []workflow.ExecutionStatus{workflow.ExecutionSucceeded, workflow.ExecutionCanceled}[won[0]]
		require.Equal(t, want, one.now(x.ID).Status)
		one.audit(x.ID, single)
	}
}

func racePause(t *testing.T, one, two *house) {
	for range rounds {
		x := one.start(chain)
		var run *engine.Run
		contest(t, []func() error{
			func() (err error) {
				run, err = one.Claim(context.Background(), fenceOf(x.ID, "a"), "w")
				return err
			},
			func() error {
				_, err := two.Pause(context.Background(), x.ID, engine.Request{})
				return err
			},
		}, engine.ErrPaused)
		one.audit(x.ID, chain)
		_, err := two.Resume(t.Context(), x.ID, engine.Request{})
		require.NoError(t, err)
		if run == nil {
			run = one.take(x.ID, "a")
			require.Equal(t, 2, run.Dispatch)
		}
		require.NoError(t, one.Complete(t.Context(), run, json.RawMessage(`1`)))
		one.audit(x.ID, chain)
	}
}

func raceRetries(t *testing.T, one, two *house) {
	for range rounds {
		x := one.start(chain)
		_, err := one.Fail(t.Context(), one.take(x.ID, "a"), &workflow.Error{Code: "boom"}, false)
		require.NoError(t, err)
		retry := func(h *house) func() error {
			return func() error {
				_, err := h.Redrive(context.Background(), x.ID, retrying())
				return err
			}
		}
		require.Len(t, contest(t, []func() error{retry(one), retry(two)}), 1)
		now := one.now(x.ID)
		require.Equal(t, 1, now.Redrives)
		require.Equal(t, 1, now.TasksSummary[workflow.TaskQueued])
		one.audit(x.ID, chain)
	}
}

// raceAdvances lets four processes decide what one of them left undone.
func raceAdvances(t *testing.T, one, two *house) {
	d := &workflow.Definition{Name: "conditions", Tasks: tasksOf("a", "b a", "c a", "d b c", "e d")}
	d.Tasks[1].If, d.Tasks[2].If, d.Tasks[3].If = "${tasks.a.output.v > 0}", "${tasks.a.output.v > 1}", "${tasks.a.output.v > 0}"
	for range rounds {
		x := one.start(d)
		run := one.take(x.ID, "a")
		_, err := one.bench.Complete(t.Context(), engine.Result{
			Fence: run.Fence, Output: json.RawMessage(`{"v":0}`),
			Successors: []engine.Successor{{Ref: "b", Decide: true}, {Ref: "c", Decide: true}},
		})
		require.NoError(t, err)
		together(4, func(i int) {
			if err := []*house{one, two}[i%2].Advance(context.Background(), x.ID); err != nil {
				t.Errorf("advance: %v", err)
			}
		})
		now := one.now(x.ID)
		require.Equal(t, workflow.ExecutionSucceeded, now.Status)
		require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 1, workflow.TaskSkipped: 4}, now.TasksSummary)
		one.audit(x.ID, d)
	}
}

func raceRedispatch(t *testing.T, one, two *house) {
	one.offset, two.offset = 0, lease // for two, every lease has ended
	for range rounds {
		x := one.start(chain)
		run := one.take(x.ID, "a")
		won := contest(t, []func() error{
			func() error { return one.Release(context.Background(), run) },
			func() error {
				_, _, err := two.Redispatch(context.Background(), run.Fence, engine.WhyExpire, 0)
				return err
			},
			func() error { return one.Complete(context.Background(), run, json.RawMessage(`1`)) },
		}, engine.ErrStale)
		require.Len(t, won, 1)
		one.audit(x.ID, chain)
	}
}

// TestFanIn completes a hundred parents at once; their child starts once.
func TestFanIn(t *testing.T) {
	t.Parallel()
	const parents = 100
	url := queuetest.URL(t)
	one, two := newHouse(t, url), newHouse(t, url)
	d := &workflow.Definition{Name: "in"}
	last := "join"
	for i := range parents {
		d.Tasks = append(d.Tasks, tasksOf(fmt.Sprintf("p%d", i))...)
		last += fmt.Sprintf(" p%d", i)
	}
	d.Tasks = append(d.Tasks, tasksOf(last)...)
	for range 20 {
		x := one.start(d)
		runs := make([]*engine.Run, parents)
		for i := range runs {
			runs[i] = one.take(x.ID, fmt.Sprintf("p%d", i))
		}
		var accepted atomic.Int64
		together(2*parents, func(i int) { // each of them twice
			h := []*house{one, two}[i%2]
			if err := h.Complete(context.Background(), runs[i/2], json.RawMessage(`1`)); err == nil {
				accepted.Add(1)
			}
		})
		require.EqualValues(t, parents, accepted.Load())
		join, err := one.Task(t.Context(), x.ID, "join")
		require.NoError(t, err)
		require.Equal(t, workflow.TaskQueued, join.Status)
		require.Equal(t, 1, join.Attempt)
		one.audit(x.ID, d)
		_, err = one.Cancel(t.Context(), x.ID, engine.Request{})
		require.NoError(t, err)
	}
}
