package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

// entry is a line of the journal.
type entry struct {
	At        int64  `json:"at"`
	What      string `json:"what"`
	PID       int    `json:"pid"`
	Execution string `json:"execution"`
	Ref       string `json:"ref"`
	Attempt   int    `json:"attempt"`
}

func (e entry) attempt() string { return fmt.Sprintf("%s:%s:%d", e.Execution, e.Ref, e.Attempt) }

// entries reads the journal. A worker that was killed while it wrote may have
// left half a line, which the next one continued.
func (l *load) entries() []entry {
	l.t.Helper()
	file, err := os.Open(l.journal)
	require.NoError(l.t, err)
	defer func() { require.NoError(l.t, file.Close()) }()
	var all []entry
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e entry
		require.NoError(l.t, json.Unmarshal(lines.Bytes(), &e), lines.Text())
		all = append(all, e)
	}
	return all
}

// figures sum up what happened.
type figures struct {
	executions, audits, kills, starts, accepted, lost, released, resent int
	takeovers                                                           []time.Duration
}

func (g figures) String() string {
	slices.Sort(g.takeovers)
	s := fmt.Sprintf("%d executions, audited %d times while they ran, %d kills of workers, %d handlers started for %d accepted results, %d runs taken over, %d handed back, %d jobs sent again",
		g.executions, g.audits, g.kills, g.starts, g.accepted, g.lost, g.released, g.resent)
	if n := len(g.takeovers); n > 0 {
		s += fmt.Sprintf("; a killed worker's task ran again after %s to %s (median %s, %d measured)",
			round(g.takeovers[0]), round(g.takeovers[n-1]), round(g.takeovers[n/2]), n)
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// check holds everything that was recorded to the promises: every execution
// succeeded at its first attempt, no delivery was claimed twice, and each task
// had one result accepted.
func (l *load) check() figures {
	l.t.Helper()
	require.Len(l.t, l.collected, l.planned)
	g := figures{executions: l.planned, audits: l.audits, kills: len(l.kills)}
	claims := map[string]int{}
	for id, e := range l.collected {
		require.EqualValues(l.t, "succeeded", e.execution.Status, "%s: %+v", id, e.execution.Error)
		require.Len(l.t, e.tasks, graphTasks)
		histories := map[string][]string{}
		for _, event := range e.events {
			if event.Ref != "" {
				histories[event.Ref] = append(histories[event.Ref], event.Type)
			}
		}
		for _, task := range e.tasks {
			events := histories[task.Ref]
			what := fmt.Sprintf("%s %s: %v", id, task.Ref, events)
			require.EqualValues(l.t, "succeeded", task.Status, what)
			require.Equal(l.t, []int{1, 1}, []int{task.Attempt, task.Try}, "a crash costs no try: %s", what)
			// Claim, then what took the run away, ..., claim, the one accepted result.
			require.Equal(l.t, 0, len(events)%2, what)
			for i := 0; i < len(events); i += 2 {
				require.Equal(l.t, "task.running", events[i], what)
				switch last := i == len(events)-2; {
				case last:
					require.Equal(l.t, "task.succeeded", events[i+1], what)
				case events[i+1] == "task.lost":
					g.lost++
				default:
					require.Equal(l.t, "task.released", events[i+1], what)
					g.released++
				}
			}
			n := len(events) / 2
			require.GreaterOrEqual(l.t, task.Dispatch, n, "each claim has a delivery of its own: %s", what)
			g.resent += task.Dispatch - 1
			claims[id+":"+task.Ref+":1"] = n
		}
	}
	l.checkJournal(&g, claims)
	return g
}

// slowest describes the executions that took longest, with the gaps in their histories.
func (l *load) slowest(n int) string {
	all := slices.Collect(maps.Values(l.collected))
	took := func(e *evidence) time.Duration { return e.execution.EndedAt.Sub(e.execution.CreatedAt) }
	slices.SortFunc(all, func(a, b *evidence) int { return int(took(b) - took(a)) })
	var b strings.Builder
	for _, e := range all[:min(n, len(all))] {
		fmt.Fprintf(&b, "\n%s took %s", e.execution.ID, took(e))
		last := e.execution.CreatedAt
		for _, event := range e.events {
			if gap := event.At.Sub(last); gap > 2*time.Second {
				fmt.Fprintf(&b, "; %s before %s %s at %s", gap, event.Type, event.Ref, event.At.Format("05.000"))
			}
			last = event.At
		}
	}
	return b.String()
}

// checkJournal holds what the handlers themselves wrote to what was claimed.
func (l *load) checkJournal(g *figures, claims map[string]int) {
	l.t.Helper()
	began, ended := map[string][]entry{}, map[string]int{}
	for _, e := range l.entries() {
		if e.What == "start" {
			began[e.attempt()] = append(began[e.attempt()], e)
			g.starts++
		} else {
			ended[e.attempt()]++
		}
	}
	for _, e := range l.collected {
		for _, task := range e.tasks {
			if task.Type != "journal" {
				continue
			}
			g.accepted++
			key := e.execution.ID + ":" + task.Ref + ":1"
			require.GreaterOrEqual(l.t, ended[key], 1, "%s succeeded and no handler ended", key)
			require.LessOrEqual(l.t, len(began[key]), claims[key], "%s: handlers started without a claim", key)
		}
	}
	for key, list := range began {
		require.NotZero(l.t, claims[key], "%s ran and is of no execution", key)
		for i, e := range list {
			if at, killed := l.kills[e.PID]; killed && i+1 < len(list) && at.UnixNano() >= e.At {
				g.takeovers = append(g.takeovers, time.Unix(0, list[i+1].At).Sub(at))
			}
		}
	}
	require.LessOrEqual(l.t, g.starts, g.accepted+(len(l.kills)+g.released+2*l.outages)*concurrency, "more handlers started than crashes explain")
}

// audit holds executions that run now to the rules that hold between any two transitions.
func (l *load) audit() {
	l.t.Helper()
	const most = 5
	audited := 0
	for _, id := range l.ids {
		if l.collected[id] != nil {
			continue
		}
		needs, err := l.needs(id)
		require.NoError(l.t, err)
		ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
		problems, err := queuetest.Audit(ctx, l.client, id, needs)
		cancel()
		if err != nil {
			return // Redis is being killed
		}
		require.Empty(l.t, problems, id)
		l.audits++
		if audited++; audited == most {
			return
		}
	}
}

// settle waits until Redis holds nothing contradictory and nothing to do.
func (l *load) settle() {
	l.t.Helper()
	l.await("Redis is in order and at rest", func(ctx context.Context) ([]string, error) {
		return Fsck(ctx, l.client, l.needs, true, true)
	})
}

// vanish waits until retention has removed all of every execution.
func (l *load) vanish() {
	l.t.Helper()
	l.await("nothing of any execution is left", func(ctx context.Context) ([]string, error) {
		return Left(ctx, l.client, !soak)
	})
}

func (l *load) await(what string, ask func(context.Context) ([]string, error)) {
	l.t.Helper()
	began := time.Now()
	defer func() { l.t.Logf("after %s: %s", round(time.Since(began)), what) }()
	var left []string
	ok := fleet.AwaitQuiet(l.t.Context(), patience, func() bool {
		var err error
		left, err = ask(l.t.Context())
		require.NoError(l.t, err)
		return len(left) == 0
	})
	require.True(l.t, ok, "not within %s: %s; %d are in the way:\n%s", patience, what, len(left), strings.Join(left[:min(len(left), 30)], "\n"))
}
