package engine_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func capped(c engine.Cap) engine.Poll {
	c.Project, c.Type = "default", "render"
	return engine.Poll{Max: 10, Cap: &c}
}

// TestACapIsHeldAndGivenFree: as many runs as a cap says are held at once, and each end of one makes room for another, told or not.
func TestACapIsHeldAndGivenFree(t *testing.T) {
	t.Parallel()
	ctx, ended := t.Context(), workflow.Error{Code: "c"}
	for name, end := range map[string]func(t *testing.T, p *process, c *clock, r engine.RemoteRun){
		"completed": func(t *testing.T, p *process, _ *clock, r engine.RemoteRun) {
			_, err := p.RemoteComplete(ctx, r.Execution, r.Ref, r.Token, json.RawMessage(`{}`))
			require.NoError(t, err)
		},
		"failed": func(t *testing.T, p *process, _ *clock, r engine.RemoteRun) {
			_, err := p.RemoteFail(ctx, r.Execution, r.Ref, r.Token, ended)
			require.NoError(t, err)
		},
		"canceled": func(t *testing.T, p *process, _ *clock, r engine.RemoteRun) {
			_, err := p.Cancel(ctx, r.Execution, engine.Request{})
			require.NoError(t, err)
			_, err = p.RemoteFail(ctx, r.Execution, r.Ref, r.Token, ended) // its worker stops
			if err != nil {
				requireStale(t, err)
			}
		},
		"handed back": func(t *testing.T, p *process, _ *clock, r engine.RemoteRun) {
			require.NoError(t, p.RemotePostpone(ctx, r.Execution, r.Ref, r.Token, time.Hour))
		},
		"by hand": func(t *testing.T, p *process, _ *clock, r engine.RemoteRun) {
			_, err := p.SettleByHand(ctx, r.Execution, r.Ref, engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage(`{}`)})
			require.NoError(t, err)
		},
		"silent":      func(t *testing.T, p *process, c *clock, _ engine.RemoteRun) { sweepAll(ctx, t, p, c, 31*time.Second) },
		"timed out":   func(t *testing.T, p *process, c *clock, _ engine.RemoteRun) { sweepAll(ctx, t, p, c, 101*time.Second) },
		"its process": func(t *testing.T, p *process, _ *clock, r engine.RemoteRun) { p.GiveBack(ctx, []engine.RemoteRun{r}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, c := queuetest.URL(t), &clock{}
			p := newServer(t, url, c)
			q := capped(engine.Cap{Running: 2})
			for range 4 {
				startOn(t, p, "default", renders)
			}
			runs := poll(t, p, q)
			require.Len(t, runs, 2)
			require.Empty(t, poll(t, p, q))
			other := newServer(t, url, c) // another process counts the same
			require.Empty(t, poll(t, other, q))
			end(t, p, c, runs[0])
			var next []engine.RemoteRun
			for range 3 { // what a sweep sent out again may be stale
				if next = append(next, poll(t, other, q)...); len(next) > 0 {
					break
				}
			}
			require.NotEmpty(t, next)
			require.LessOrEqual(t, len(next), 2)
			require.Empty(t, poll(t, other, capped(engine.Cap{Running: len(next)})))
		})
	}
}

// TestACapCountsNoOtherProject: what a poll for all projects is given of another one holds no place.
func TestACapCountsNoOtherProject(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	q := capped(engine.Cap{Running: 1})
	q.Max = 1
	_, _, err := p.PutProject(t.Context(), engine.Project{Name: "other"})
	require.NoError(t, err)
	startOn(t, p, "other", renders)
	require.Equal(t, "other", poll(t, p, q)[0].Project)
	startOn(t, p, "default", renders)
	require.Equal(t, "default", poll(t, p, q)[0].Project)
	startOn(t, p, "default", renders)
	require.Empty(t, poll(t, p, q))
}

// TestACapOfStarts: only so many are handed out in a time.
func TestACapOfStarts(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p := newServer(t, queuetest.URL(t), c)
	q := capped(engine.Cap{Starts: 2, Per: 20 * time.Second})
	for range 5 {
		startOn(t, p, "default", renders)
	}
	for _, r := range poll(t, p, q) {
		_, err := p.RemoteComplete(t.Context(), r.Execution, r.Ref, r.Token, json.RawMessage(`{}`))
		require.NoError(t, err)
	}
	require.Empty(t, poll(t, p, q), "the first two are done, and still of the same time")
	c.offset += 19 * time.Second
	require.Empty(t, poll(t, p, q))
	c.offset += 2 * time.Second
	require.Len(t, poll(t, p, q), 2)
	require.Empty(t, poll(t, p, q))
}

// TestPollsAtOnceKeepACap: however many ask at once, no more than the cap run.
func TestPollsAtOnceKeepACap(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	for range 12 {
		startOn(t, p, "default", renders)
	}
	q := capped(engine.Cap{Running: 3})
	q.Worker, q.Types, q.Max = "py", []string{"render"}, 2
	_, err := p.Poll(t.Context(), engine.Poll{Worker: "py", Types: []string{"other"}})
	require.NoError(t, err)
	var mu sync.Mutex
	var all []engine.RemoteRun
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			runs, err := p.Poll(t.Context(), q)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			all = append(all, runs...)
		})
	}
	group.Wait()
	require.LessOrEqual(t, len(all), 3)
	all = append(all, poll(t, p, q)...) // those that were given back make room
	all = append(all, poll(t, p, q)...)
	require.Len(t, all, 3)
}

// TestAPollWaitsForAPlace: it is given what a cap held back when a place is free.
func TestAPollWaitsForAPlace(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	p.WakeOnly()
	startOn(t, p, "default", renders)
	startOn(t, p, "default", renders)
	q := capped(engine.Cap{Running: 1})
	first := poll(t, p, q)
	require.Len(t, first, 1)
	got := pollAside(t, p, q)
	require.Eventually(t, func() bool { _, capped := p.Polls(); return capped == 1 }, 20*time.Second, time.Millisecond)
	_, err := p.RemoteComplete(t.Context(), first[0].Execution, "a", first[0].Token, json.RawMessage(`{}`))
	require.NoError(t, err)
	require.Len(t, <-got, 1)
}

// pollAside waits for runs as a worker does.
func pollAside(t *testing.T, p *process, q engine.Poll) <-chan []engine.RemoteRun {
	q.Worker, q.Types, q.Wait = "py", []string{"render"}, time.Minute
	got := make(chan []engine.RemoteRun, 1)
	go func() {
		runs, _ := p.Poll(t.Context(), q)
		got <- runs
	}()
	return got
}

// TestAPollAtItsCapTakesNobodysWakeUp: what it may not take goes to one that has no cap, although nobody looks without being woken.
func TestAPollAtItsCapTakesNobodysWakeUp(t *testing.T) {
	t.Parallel()
	p := pumped(t, newServer(t, queuetest.URL(t), &clock{}))
	p.WakeOnly()
	startOn(t, p, "default", renders)
	q := capped(engine.Cap{Running: 1})
	require.Len(t, poll(t, p, q), 1)
	for i := range 5 { // whom an offer wakes is chance
		first, free := pollAside(t, p, q), pollAside(t, p, engine.Poll{})
		require.Eventually(t, func() bool { waiting, _ := p.Polls(); return waiting == 2+i }, 20*time.Second, time.Millisecond)
		startOn(t, p, "default", renders)
		require.Len(t, <-free, 1)
		select {
		case runs := <-first:
			require.Empty(t, runs, "no place is free")
		default:
		}
	}
}

// TestWhoHoldsAPlaceIsAskedNowAndThen: polls that wait at a cap do not each read, at each look, who holds its places.
func TestWhoHoldsAPlaceIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	startOn(t, p, "default", renders)
	q := capped(engine.Cap{Running: 1})
	first := poll(t, p, q)
	require.Len(t, first, 1)
	p.AskedUntil(*q.Cap, time.Now().Add(time.Hour))
	_, err := p.RemoteComplete(t.Context(), first[0].Execution, "a", first[0].Token, json.RawMessage(`{}`))
	require.NoError(t, err)
	require.Zero(t, places(t, p, q, false), "another poll asked a moment ago")
	p.AskedUntil(*q.Cap, time.Time{})
	require.Equal(t, 1, places(t, p, q, false))
}

// TestTheFirstLookOfAPollAsks who holds the places, so that one which does not wait gets what is free.
func TestTheFirstLookOfAPollAsks(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	startOn(t, p, "default", renders)
	q := capped(engine.Cap{Running: 1})
	first := poll(t, p, q)
	require.Len(t, first, 1)
	p.AskedUntil(*q.Cap, time.Now().Add(time.Hour))
	_, err := p.RemoteComplete(t.Context(), first[0].Execution, "a", first[0].Token, json.RawMessage(`{}`))
	require.NoError(t, err)
	require.Equal(t, 1, places(t, p, q, true))
}

func places(t *testing.T, p *process, q engine.Poll, first bool) int {
	t.Helper()
	free, err := p.Places(t.Context(), q.Cap, first)
	require.NoError(t, err)
	return free
}

// TestOneUnreadableRecordKeepsOnePlace: the others are given free, and what is no run holds none.
func TestOneUnreadableRecordKeepsOnePlace(t *testing.T) {
	t.Parallel()
	p := newServer(t, queuetest.URL(t), &clock{})
	ctx := t.Context()
	for range 4 {
		startOn(t, p, "default", renders)
	}
	q := capped(engine.Cap{Running: 3})
	runs := poll(t, p, q)
	require.Len(t, runs, 3)
	_, err := p.RemoteComplete(ctx, runs[1].Execution, "a", runs[1].Token, json.RawMessage(`{}`))
	require.NoError(t, err)
	client := p.store.Client()
	key := func(like string) string {
		keys, err := client.Keys(ctx, like).Result()
		require.NoError(t, err)
		require.Len(t, keys, 1)
		return keys[0]
	}
	require.NoError(t, client.HSet(ctx, key("*t:"+runs[0].Execution), "a", "no record").Err())
	require.Len(t, poll(t, p, q), 1)

	held := key("*:held")
	require.NoError(t, client.ZAdd(ctx, held, redis.Z{Member: "no run"}).Err())
	startOn(t, p, "default", renders)
	require.Len(t, poll(t, p, capped(engine.Cap{Running: 4})), 1)
	require.ErrorIs(t, client.ZScore(ctx, held, "no run").Err(), redis.Nil)
}
