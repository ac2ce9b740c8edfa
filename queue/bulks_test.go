package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func bulkOf(id string, pace engine.BulkPace) engine.BulkRecord {
	return engine.BulkRecord{Project: "default", ID: id, Spec: []byte(`{"a":[9007199254740993]}`), BulkPace: pace}
}

// flying are the next entries, all to be taken in flight.
func flying(from int, ids ...string) (next []engine.BulkEntry) {
	for i, id := range ids {
		next = append(next, engine.BulkEntry{Place: from + i, Execution: id, Flight: &engine.Flight{Execution: id, Token: id, Before: "failed"}})
	}
	return next
}

// bulkOperations: what is collected is taken in its order, each gets one result, and nothing is left behind.
func bulkOperations(t *testing.T, h *house) {
	ctx := t.Context()
	n := engine.BulkName{Project: "default", ID: uuid.Must(uuid.NewV7()).String()}
	rec := bulkOf(n.ID, engine.BulkPace{Rate: 0.5, Most: 10, Canary: 1, Tolerated: 0.05})
	require.NoError(t, h.CreateBulk(ctx, rec, time.Minute))
	require.NoError(t, h.CreateBulk(ctx, rec, time.Minute), "it is idempotent")
	all := func(string) bool { return true }
	due, err := h.DueBulks(ctx, all, 10)
	require.NoError(t, err)
	require.Empty(t, due, "it has a minute to be made")

	require.NoError(t, h.AddToBulk(ctx, n, engine.BulkAdd{To: "1", IDs: []string{"a", "b"}}, time.Minute))
	require.ErrorIs(t, h.AddToBulk(ctx, n, engine.BulkAdd{To: "1", IDs: []string{"a", "b"}}, time.Minute), engine.ErrMoved)
	_, _, err = h.TakeBulk(ctx, n, 0, flying(0, "a"))
	var status *engine.StatusError
	require.ErrorAs(t, err, &status, "it is not made")
	require.ErrorIs(t, h.DropBulk(ctx, n), engine.ErrStale)
	require.NoError(t, h.AddToBulk(ctx, n, engine.BulkAdd{From: "1", To: "2", IDs: []string{"c"}, Last: true}, time.Minute))
	due, err = h.DueBulks(ctx, all, 10)
	require.NoError(t, err)
	require.Equal(t, []engine.BulkName{n}, due)

	got, err := h.Redis.Bulk(ctx, n)
	require.NoError(t, err)
	require.Equal(t, engine.BulkCanary, got.State)
	require.Equal(t, engine.BulkCounts{Total: 3, Pending: 3}, got.Counts)
	require.Equal(t, rec.BulkPace, got.BulkPace)
	require.Equal(t, rec.Spec, got.Spec)

	taken, _, err := h.TakeBulk(ctx, n, 0, flying(0, "a", "b", "c"))
	require.NoError(t, err)
	require.Equal(t, 1, taken, "the canary is one")
	state, err := h.SettleBulk(ctx, n, []engine.BulkResult{{Place: 0, Outcome: engine.OutcomeSucceeded}, {Place: 2, Outcome: engine.OutcomeFailed}})
	require.NoError(t, err)
	require.Equal(t, engine.BulkRunning, state)
	skips := flying(1, "b", "c")
	skips[0].Flight, skips[0].Result = nil, &engine.BulkResult{Outcome: engine.OutcomeSkipped, Code: "x"}
	taken, wait, err := h.TakeBulk(ctx, n, 1, skips)
	require.NoError(t, err)
	require.Equal(t, 1, taken, "what is skipped costs nothing, and the rate allows nothing else")
	require.Positive(t, wait)
	h.offset += 2 * time.Second
	taken, _, err = h.TakeBulk(ctx, n, 2, skips[1:])
	require.NoError(t, err)
	require.Equal(t, 1, taken)
	flights, err := h.Flights(ctx, n)
	require.NoError(t, err)
	require.Equal(t, []engine.Flight{{Place: 2, Execution: "c", Token: "c", Before: "failed"}}, flights)
	require.NoError(t, h.Redis.ControlBulk(ctx, n, engine.BulkHold, "enough"))
	entries, err := h.BulkEntries(ctx, n, 0, 10)
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, engine.OutcomeSucceeded, entries[0].Result.Outcome)
	require.Equal(t, "x", entries[1].Result.Code)
	require.NotNil(t, entries[2].Flight)
	state, err = h.SettleBulk(ctx, n, []engine.BulkResult{{Place: 2, Outcome: engine.OutcomeSucceeded}})
	require.NoError(t, err)
	require.Equal(t, engine.BulkCompleted, state, "nothing is left to go on with")
	require.ErrorAs(t, h.Redis.ControlBulk(ctx, n, engine.BulkAbort, ""), &status)

	page, next, err := h.Redis.Bulks(ctx, "default", engine.Page{Limit: 1})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Empty(t, next)
	require.ErrorIs(t, h.DropBulk(ctx, n), engine.ErrStale)
	h.offset += 25 * time.Hour
	require.NoError(t, h.DropBulk(ctx, n))
	keys, err := queuetest.Keys(ctx, h.Client(), "bulk")
	require.NoError(t, err)
	require.Equal(t, []string{"redrive:{bulks}:projects", "redrive:{p:default}:bulks:looks:outcomes"}, keys, "what was counted stays")
	require.ErrorIs(t, h.Redis.ControlBulk(ctx, n, engine.BulkAbort, ""), engine.ErrGone)
	_, err = h.SettleBulk(ctx, n, nil)
	require.ErrorIs(t, err, engine.ErrGone)

	// What a filter chooses is found oldest first, and pages add up to the list.
	var want []string
	for range 5 {
		want = append(want, h.start(&workflow.Definition{Name: "w", Tasks: tasksOf("a")}).ID)
		h.start(&workflow.Definition{Name: "other", Tasks: tasksOf("a")})
	}
	var found []string
	for p := (engine.Page{Limit: 2}); ; {
		part, next, err := h.Choose(ctx, "default", engine.ExecutionFilter{Workflow: "w", Version: 1}, p)
		require.NoError(t, err)
		for _, x := range part {
			found = append(found, x.ID)
		}
		if next == "" {
			break
		}
		p.Cursor = next
	}
	require.Equal(t, want, found)
}

// bulkModel is what a bulk operation is to be, told without its scripts.
type bulkModel struct {
	pace    engine.BulkPace
	state   engine.BulkState
	goesOn  engine.BulkState
	cursor  string
	total   int
	taken   int
	flight  map[int]bool
	results map[int]engine.BulkOutcome
	good    int
	bad     int
}

func (m *bulkModel) count(o engine.BulkOutcome) (n int) {
	for _, got := range m.results {
		if got == o {
			n++
		}
	}
	return n
}

func (m *bulkModel) room() int {
	room := m.pace.Most - len(m.flight)
	if m.state == engine.BulkCanary {
		room = min(room, m.pace.Canary-m.good-m.bad-len(m.flight))
	}
	return max(room, 0)
}

// follow is the state that follows from the counts.
func (m *bulkModel) follow() {
	seen := m.good + m.bad
	tooMany := func(of int) bool { return m.pace.Tolerated >= 0 && float64(m.bad) > m.pace.Tolerated*float64(of) }
	switch {
	case m.state == engine.BulkCanary && tooMany(m.pace.Canary), m.state == engine.BulkRunning && seen >= 20 && tooMany(seen):
		m.goesOn, m.state = m.state, engine.BulkHeld
	case m.state == engine.BulkCanary && seen >= m.pace.Canary:
		m.state, m.good, m.bad = engine.BulkRunning, 0, 0
	case m.state == engine.BulkRunning && seen >= 200:
		m.good, m.bad = m.good/2, m.bad/2
	}
	if m.taken == m.total && len(m.flight) == 0 && slices.Contains([]engine.BulkState{engine.BulkRunning, engine.BulkCanary, engine.BulkHeld}, m.state) {
		m.state = engine.BulkCompleted
	}
}

// TestBulkScripts drives bulk operations with random calls, of which some crash before or after Redis did what was
// asked and are made again, and holds counts, states and results to a model.
func TestBulkScripts(t *testing.T) {
	b := newBench(t, queuetest.URL(t))
	faults := &queuetest.Faults{}
	b.Client().AddHook(faults)
	ended := map[engine.BulkState]int{}
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		m := &bulkModel{state: engine.BulkCreating, flight: map[int]bool{}, results: map[int]engine.BulkOutcome{}}
		m.pace = engine.BulkPace{
			Most: rapid.IntRange(1, 40).Draw(t, "most"), Canary: rapid.IntRange(0, 10).Draw(t, "canary"),
			Tolerated: rapid.SampledFrom([]float64{-1, 0, 0.05, 0.5, 1}).Draw(t, "tolerated"),
		}
		n := engine.BulkName{Project: "default", ID: uuid.Must(uuid.NewV7()).String()}
		// call makes a call, which may crash; the same again must not do it twice.
		call := func(what string, f func() error) error {
			var first error
			done := false
			if crash := rapid.IntRange(0, 3).Draw(t, "crash"); crash > 1 {
				faults.Arm(0, crash == 3)
				first = f()
				faults.Disarm()
				require.ErrorIs(t, first, queuetest.ErrCrashed, what)
				done = crash == 3
			}
			err := f()
			var status *engine.StatusError
			if done && (errors.Is(err, engine.ErrMoved) || errors.As(err, &status)) {
				return nil // it was done the first time
			}
			return err
		}
		require.NoError(t, call("create", func() error { return b.CreateBulk(ctx, bulkOf(n.ID, m.pace), 0) }))
		check := func() {
			got, err := b.Bulk(ctx, n)
			require.NoError(t, err)
			require.Equal(t, m.state, got.State)
			c := got.Counts
			require.Equal(t, engine.BulkCounts{
				Total: m.total, Pending: m.total - m.taken, InFlight: len(m.flight),
				Succeeded: m.count(engine.OutcomeSucceeded), Failed: m.count(engine.OutcomeFailed), Skipped: m.count(engine.OutcomeSkipped),
			}, c)
			require.Equal(t, c.Total, c.Pending+c.InFlight+c.Succeeded+c.Failed+c.Skipped)
			require.Equal(t, m.state.Over() && len(m.flight) == 0, got.EndedAt != nil)
			flights, err := b.Flights(ctx, n)
			require.NoError(t, err)
			require.Len(t, flights, len(m.flight))
			for _, f := range flights {
				require.True(t, m.flight[f.Place])
				require.Equal(t, "x"+strconv.Itoa(f.Place), f.Execution, "it is the one of that place")
			}
			due, err := b.DueBulks(ctx, func(string) bool { return true }, 1000)
			require.NoError(t, err)
			waits := m.state == engine.BulkHeld && len(m.flight) == 0 || m.state.Over() && len(m.flight) == 0
			require.Equal(t, !waits, slices.Contains(due, n), "what has something to do is looked at")
			counted, err := b.Recovery(ctx, n.Project)
			require.NoError(t, err)
			live := map[engine.BulkState]int{m.state: 1}
			if m.state.Over() && len(m.flight) == 0 {
				live = map[engine.BulkState]int{}
			}
			require.Equal(t, live, counted.Bulks)
			for _, o := range []engine.BulkOutcome{engine.OutcomeSucceeded, engine.OutcomeFailed, engine.OutcomeSkipped} {
				require.Equal(t, m.count(o), counted.Outcomes[o], o)
			}
		}
		add := func(t *rapid.T) {
			var ids []string
			for i := range rapid.IntRange(0, 60).Draw(t, "ids") {
				ids = append(ids, fmt.Sprintf("x%d", m.total+i))
			}
			a := engine.BulkAdd{From: m.cursor, To: uuid.NewString(), IDs: ids, Last: rapid.Bool().Draw(t, "last")}
			stale := m.cursor != "" && rapid.IntRange(0, 3).Draw(t, "stale") == 0
			if stale {
				a.From = "elsewhere"
			}
			err := call("add", func() error { return b.AddToBulk(ctx, n, a, 0) })
			if stale || m.state != engine.BulkCreating {
				return // refused, or taken for the second call of one that was done: nothing changed, as check sees
			}
			require.NoError(t, err)
			m.total += len(ids)
			m.cursor = a.To
			if a.Last {
				m.state = engine.BulkRunning
				if m.pace.Canary > 0 {
					m.state = engine.BulkCanary
				}
				m.follow()
			}
		}
		take := func(t *rapid.T) {
			var next []engine.BulkEntry
			want := m.taken
			room, goes := m.room(), m.state == engine.BulkRunning || m.state == engine.BulkCanary
			for i := range min(rapid.IntRange(0, 50).Draw(t, "next"), m.total-m.taken) {
				e := flying(m.taken+i, "x"+strconv.Itoa(m.taken+i))[0]
				if rapid.IntRange(0, 5).Draw(t, "skip") == 0 {
					e.Flight, e.Result = nil, &engine.BulkResult{Outcome: engine.OutcomeSkipped}
				}
				next = append(next, e)
			}
			from := m.taken
			if goes {
				for _, e := range next {
					if e.Result != nil {
						m.results[want] = engine.OutcomeSkipped
					} else if room > 0 {
						m.flight[want] = true
						room--
					} else {
						break
					}
					want++
				}
			}
			if rapid.IntRange(0, 5).Draw(t, "behind") == 0 && from > 0 {
				_, _, err := b.TakeBulk(ctx, n, from-1, next)
				require.Error(t, err, "others were taken from there")
			}
			err := call("take", func() error { _, _, err := b.TakeBulk(ctx, n, from, next); return err })
			if !goes {
				return
			}
			if want > from || err != nil {
				require.NoError(t, err)
			}
			m.taken = want
			m.follow()
		}
		settle := func(t *rapid.T) {
			var results []engine.BulkResult
			outcome := rapid.SampledFrom([]engine.BulkOutcome{engine.OutcomeSucceeded, engine.OutcomeSucceeded, engine.OutcomeFailed, engine.OutcomeSkipped})
			for range rapid.IntRange(0, 30).Draw(t, "results") {
				results = append(results, engine.BulkResult{Place: rapid.IntRange(0, m.taken+3).Draw(t, "place"), Outcome: outcome.Draw(t, "outcome")})
			}
			if len(results) == 0 {
				return
			}
			require.NoError(t, call("settle", func() error { _, err := b.SettleBulk(ctx, n, results); return err }))
			for _, r := range results {
				if !m.flight[r.Place] {
					continue
				}
				delete(m.flight, r.Place)
				m.results[r.Place] = r.Outcome
				switch r.Outcome {
				case engine.OutcomeSucceeded:
					m.good++
				case engine.OutcomeFailed:
					m.bad++
				}
			}
			m.follow()
		}
		control := func(t *rapid.T) {
			action := rapid.SampledFrom([]engine.BulkAction{engine.BulkHold, engine.BulkContinue, engine.BulkContinue, engine.BulkAbort}).Draw(t, "action")
			if action == engine.BulkAbort && rapid.IntRange(0, 4).Draw(t, "really") > 0 {
				return
			}
			goes := m.state == engine.BulkRunning || m.state == engine.BulkCanary
			err := call(string(action), func() error { return b.ControlBulk(ctx, n, action, "why") })
			switch {
			case action == engine.BulkHold && goes:
				m.goesOn, m.state = m.state, engine.BulkHeld
			case action == engine.BulkContinue && m.state == engine.BulkHeld:
				m.state, m.good, m.bad = m.goesOn, 0, 0
			case action == engine.BulkAbort && (goes || m.state == engine.BulkHeld || m.state == engine.BulkCreating):
				m.state = engine.BulkAborted
			default:
				return
			}
			require.NoError(t, err)
			m.follow()
		}
		t.Repeat(map[string]func(*rapid.T){"": func(*rapid.T) { check() }, "add": add, "take": take, "take more": take, "settle": settle, "settle more": settle, "control": control})
		entries, err := b.BulkEntries(ctx, n, 0, m.total+1)
		require.NoError(t, err)
		require.Len(t, entries, m.total)
		for i, e := range entries {
			require.Equal(t, "x"+strconv.Itoa(i), e.Execution)
			require.Equal(t, m.flight[i], e.Flight != nil)
			if o := m.results[i]; o != "" {
				require.Equal(t, o, e.Result.Outcome, "the first result stands")
			} else {
				require.Nil(t, e.Result)
			}
		}
		ended[m.state]++
		// Each is alone with what is due.
		require.NoError(t, b.Client().FlushDB(ctx).Err())
	})
	t.Logf("they ended as %v", ended)
	require.Greater(t, len(ended), 3)
}
