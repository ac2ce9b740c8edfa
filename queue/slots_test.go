package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func limitedTo(most int) *workflow.Definition {
	return &workflow.Definition{Name: "w", Tasks: tasksOf("a"), Concurrency: &workflow.Concurrency{MaxRunning: most}}
}

func (h *house) auditSlots() {
	h.t.Helper()
	problems, err := queuetest.AuditSlots(h.t.Context(), h.Client(), "default")
	require.NoError(h.t, err)
	require.Empty(h.t, problems)
}

// aLine is a behaviour: two run, the others wait, one of them is redriven, all end, and nothing is left of them.
func aLine(t *testing.T, h *house) {
	ctx := t.Context()
	d := limitedTo(2)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var all []*engine.Execution
	for i := range 5 {
		x := h.start(d, func(r *engine.StartRequest) { r.SessionTime, r.AttemptName = at, fmt.Sprintf("try %d", i) })
		all = append(all, x)
		require.Equal(t, []workflow.ExecutionStatus{workflow.ExecutionRunning, workflow.ExecutionQueued}[min(i/2, 1)], x.Status)
		require.Equal(t, i+1, x.Session.Attempt)
	}
	h.auditSlots()
	_, err := h.Fail(ctx, h.take(all[0].ID, "a"), &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionRunning, h.now(all[2].ID).Status)
	again, err := h.Redrive(ctx, all[0].ID, retrying())
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionQueued, again.Status)
	h.audit(all[0].ID, d)
	h.auditSlots()
	for _, i := range []int{1, 2, 3, 4, 0} {
		h.complete(all[i].ID, "a")
		require.Equal(t, workflow.ExecutionSucceeded, h.now(all[i].ID).Status)
		h.auditSlots()
	}
	h.offset += 30 * time.Minute
	named, err := h.Redis.AttemptNamed(ctx, "default", "w", "try 4", append(make([]time.Time, 1000), at)) // more than one trip asks
	require.NoError(t, err)
	require.Equal(t, append(make([]bool, 1000), true), named)
	list, _, err := h.Sessions(ctx, "default", engine.SessionFilter{}, engine.Page{})
	require.NoError(t, err)
	require.Equal(t, all[4].ID, list[0].Last.ID)
	h.offset += time.Hour
	for i, x := range all {
		require.NoError(t, h.Purge(ctx, x.ID, false))
		if i < 4 {
			h.auditSlots()
		}
	}
	for _, key := range []string{"session", "slots:", "waiting:", ":due"} {
		keys, err := queuetest.Keys(ctx, h.Client(), "{p:default}:"+key)
		require.NoError(t, err)
		require.Empty(t, keys, "nothing is left of a session whose executions are gone")
	}
}

// raceStarts lets 200 starts meet a limit of 10.
func raceStarts(t *testing.T, one, two *house) {
	one.publish(limitedTo(10))
	houses := []*house{one, two, newHouse(t, one.url()), newHouse(t, one.url())}
	var mu sync.Mutex
	count := map[workflow.ExecutionStatus]int{}
	together(200, func(i int) {
		x, _, err := houses[i%len(houses)].Start(context.Background(), "default", engine.StartRequest{Workflow: "w"})
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
		count[x.Status]++
	})
	require.Equal(t, map[workflow.ExecutionStatus]int{workflow.ExecutionRunning: 10, workflow.ExecutionQueued: 190}, count)
	one.auditSlots()
}

// raceEnds lets everything that runs end at once, again and again, while as many come.
func raceEnds(t *testing.T, one, two *house) {
	one.publish(limitedTo(10))
	for range 20 {
		one.begin()
	}
	for range 10 {
		running, _, err := one.Executions(t.Context(), "default", engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionRunning}}, engine.Page{})
		require.NoError(t, err)
		require.Len(t, running, 10, "as many run as may")
		var runs []*engine.Run
		for _, x := range running {
			runs = append(runs, one.take(x.ID, "a"))
		}
		together(20, func(i int) {
			h := []*house{one, two}[i%4/2]
			if i%2 == 0 {
				if err := h.Complete(context.Background(), runs[i/2], json.RawMessage(`1`)); err != nil {
					t.Error(err)
				}
				return
			}
			if _, _, err := h.Start(context.Background(), "default", engine.StartRequest{Workflow: "w"}); err != nil {
				t.Error(err)
			}
		})
		one.auditSlots()
	}
}

func (h *house) begin() *engine.Execution {
	h.t.Helper()
	x, _, err := h.Start(h.t.Context(), "default", engine.StartRequest{Workflow: "w"})
	require.NoError(h.t, err)
	return x
}

// raceSessions lets starts meet in a session: one unnamed attempt, one of each name, and every index once.
func raceSessions(t *testing.T, one, two *house) {
	one.publish(&workflow.Definition{Name: "w", Tasks: tasksOf("a")})
	for round := range 20 {
		at := time.Unix(int64(round)*60, 0)
		var mu sync.Mutex
		won, index := map[string]int{}, map[int]bool{}
		together(24, func(i int) {
			r := engine.StartRequest{Workflow: "w", SessionTime: at, AttemptName: []string{"", "", "", "x", "y", "z"}[i%6]}
			x, _, err := []*house{one, two}[i%2].Start(context.Background(), "default", r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if refused, ok := errors.AsType[*engine.Error](err); !ok || refused.Code != "session_exists" || refused.Existing.ID == "" || refused.Existing.Number == 0 {
					t.Error(err)
				}
				return
			}
			won[r.AttemptName]++
			index[x.Session.Attempt] = true
		})
		require.Equal(t, map[string]int{"": 1, "x": 1, "y": 1, "z": 1}, won)
		require.Equal(t, map[int]bool{1: true, 2: true, 3: true, 4: true}, index)
		one.auditSlots()
	}
}

func newID(t *testing.T) string {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return id.String()
}

func entryOf(id string, epoch int) engine.Entry {
	return engine.Entry{
		Project: "default", Workflow: "w", Execution: id, Number: 7, Epoch: epoch,
		Session: &engine.SessionPlace{Number: 1, Time: time.Unix(60, 0)},
	}
}

func (b *bench) overdue() []engine.Look {
	b.t.Helper()
	all, err := b.Overdue(b.t.Context(), []string{"default"}, 100)
	require.NoError(b.t, err)
	return all
}

// A reservation that is over creates nothing: its slot may be somebody else's.
func TestALateCreationIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	id := newID(t)
	got, err := b.Enter(t.Context(), entryOf(id, 0))
	require.NoError(t, err)
	require.Empty(t, b.overdue())
	b.offset += 12 * time.Second
	before := b.dump()
	_, _, err = b.Create(t.Context(), engine.NewExecution{
		Execution: engine.Execution{ID: id, Project: "default", Workflow: "w"}, Till: got.Till,
		Tasks: []engine.NewTask{{Ref: "a"}}, Roots: []engine.Successor{{Ref: "a"}},
	})
	require.ErrorIs(t, err, engine.ErrMoved)
	require.Equal(t, before, b.dump())
	require.Empty(t, b.overdue(), "it is looked at when nobody can use it any more")
	b.offset += 12 * time.Second
	require.Len(t, b.overdue(), 2)
}

// Whoever looks at a reservation that was made anew meanwhile leaves it alone.
func TestALookIsVoidAfterANewReservation(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	ctx, id := t.Context(), newID(t)
	_, err := b.Enter(ctx, entryOf(id, 0))
	require.NoError(t, err)
	b.offset += time.Minute
	looks := b.overdue()
	require.Len(t, looks, 2)
	again, err := b.Enter(ctx, entryOf(id, 0))
	require.NoError(t, err)
	require.False(t, again.Waits)
	require.Equal(t, 1, again.Attempt)
	before := b.dump()
	for _, l := range looks {
		if l.Kind == engine.LookSession {
			require.ErrorIs(t, b.Detach(ctx, l), engine.ErrStale)
			continue
		}
		_, err := b.Leave(ctx, l, l.Due)
		require.ErrorIs(t, err, engine.ErrStale)
	}
	require.Equal(t, before, b.dump())
	b.offset += time.Minute
	for _, l := range b.overdue() {
		if l.Kind == engine.LookSession {
			require.NoError(t, b.Detach(ctx, l))
			continue
		}
		_, err := b.Leave(ctx, l, l.Due)
		require.NoError(t, err)
	}
	keys, err := queuetest.Keys(ctx, b.Client(), "{p:default}")
	require.NoError(t, err)
	require.Empty(t, keys)
}

// What still happens on behalf of a run that ended does not touch the slot of the next one.
func TestALateEndLeavesTheNextRunItsSlot(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	ctx := t.Context()
	id := b.attain(workflow.ExecutionFailed)
	holds := func(epoch float64) {
		t.Helper()
		score, err := b.Client().ZScore(ctx, "redrive:{p:default}:slots:w", id).Result()
		require.NoError(t, err)
		require.InDelta(t, epoch, score, 0)
	}
	next := entryOf(id, 1)
	next.Session = nil
	_, err := b.Enter(ctx, next)
	require.NoError(t, err)
	holds(1)
	_, err = b.Index(ctx, []string{id}) // of its end
	require.NoError(t, err)
	holds(1)
	_, err = b.Leave(ctx, engine.Look{Project: "default", Workflow: "w", Execution: id}, 0)
	require.NoError(t, err)
	holds(1)
	former := entryOf(id, 0)
	former.Session = nil
	_, err = b.Enter(ctx, former)
	require.NoError(t, err)
	holds(1)
}

// Who comes when somebody's time has come waits behind them, even while a slot is free.
func TestNobodyOvertakesTheLine(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	enter := func(later time.Duration) (string, engine.Entered) {
		x := engine.Entry{Project: "default", Workflow: "w", Execution: newID(t)}
		if later > 0 {
			now, err := b.Time(t.Context())
			require.NoError(t, err)
			x.StartAt = now.Add(later)
		}
		got, err := b.Enter(t.Context(), x)
		require.NoError(t, err)
		return x.Execution, got
	}
	first, got := enter(time.Minute)
	require.True(t, got.Waits)
	_, got = enter(0)
	require.False(t, got.Waits, "the time of the other has not come")
	b.offset += 2 * time.Minute
	second, got := enter(0)
	require.True(t, got.Waits)
	turns, more, err := b.Fill(t.Context(), "default", "w", 1)
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, first, turns[0].Execution)
	turns, more, err = b.Fill(t.Context(), "default", "w", 1)
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, second, turns[0].Execution)
}

// Those of one millisecond have an order, too: that in which they came.
func TestTheLineKeepsTheOrderOfOneMillisecond(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	require.NoError(t, b.Client().HSet(t.Context(), "redrive:{p:default}:workflow:w", "limit", "1 queue").Err())
	var came []string
	for range 300 {
		id := newID(t)
		came = append([]string{id}, came...) // so that the ids fall
	}
	for _, id := range came {
		_, err := b.Enter(t.Context(), engine.Entry{Project: "default", Workflow: "w", Execution: id})
		require.NoError(t, err)
	}
	require.NoError(t, b.Client().HDel(t.Context(), "redrive:{p:default}:workflow:w", "limit").Err())
	b.offset += time.Second
	turns, _, err := b.Fill(t.Context(), "default", "w", 1000)
	require.NoError(t, err)
	require.Len(t, turns, 299)
	for i, turn := range turns {
		require.Equal(t, came[i+1], turn.Execution)
	}
}
