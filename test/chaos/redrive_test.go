package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue/queuetest"
)

// infirmary are executions that live at once, and how their lives went.
type infirmary struct {
	errs []error
	now  sync.Map      // patients that live
	done chan struct{} // closed when all have
}

// admit lets patients live, some at a time.
func admit(ctx context.Context, all []*patient, atOnce int) *infirmary {
	i := &infirmary{errs: make([]error, len(all)), done: make(chan struct{})}
	next := make(chan int)
	var beds sync.WaitGroup
	for range atOnce {
		beds.Go(func() {
			for n := range next {
				p := all[n]
				i.now.Store(n, p)
				if err := p.live(ctx); err != nil {
					i.errs[n] = fmt.Errorf("%s, %d: %w", p.what, p.number, err)
				}
				i.now.Delete(n)
			}
		})
	}
	go func() {
		for n := range all {
			next <- n
		}
		close(next)
		beds.Wait()
		close(i.done)
	}()
	return i
}

// suffer brings plagues over patients until all have lived, each at most so often.
func (l *load) suffer(i *infirmary, most []int, plagues ...plague) {
	due, counts := make([]time.Time, len(plagues)), make([]int, len(plagues))
	for n, p := range plagues {
		due[n] = time.Now().Add(p.every)
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-i.done:
			return
		case <-look.C:
		}
		for n, p := range plagues {
			if time.Now().After(due[n]) && counts[n] < most[n] {
				p.do(counts[n])
				due[n] = time.Now().Add(p.every)
				counts[n]++
			}
		}
		l.inspect(i)
	}
}

// inspect holds executions that live to the rules that hold between any two transitions.
func (l *load) inspect(i *infirmary) {
	looked := 0
	i.now.Range(func(_, one any) bool {
		id, ok := one.(*patient).named.Load().(string)
		if !ok {
			return true
		}
		problems, err := queuetest.Audit(l.t.Context(), l.client, id, nil)
		if err != nil || len(problems) > 0 {
			l.t.Errorf("%s: %v %q", id, err, problems)
		}
		l.audits++
		looked++
		return looked < 2
	})
}

// mend redrives executions in every way while workers and servers are killed: each redrive has one effect.
func mend(t *testing.T, redisURL string) {
	t.Helper()
	l := newLoad(t, redisURL, 0, form(20*time.Second, 30*time.Second))
	l.dynamic = true
	l.f.Publish(workshopPart)
	l.f.Publish(workshop)
	switches := t.TempDir()
	var all []*patient
	for range form(3, 100) {
		for what, m := range mendings {
			n := len(all)
			all = append(all, &patient{mending: m, what: what, number: n, api: l.f.API, file: filepath.Join(switches, strconv.Itoa(n))})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), form(patience, 10*patience))
	defer cancel()
	began, servers := time.Now(), 0
	i := admit(ctx, all, form(8, 12))
	l.suffer(i, []int{form(4, 1000), form(2, 1000)}, plague{form(800*time.Millisecond, 2*time.Second), l.killWorker}, plague{form(1500*time.Millisecond, 5*time.Second), func(int) {
		l.killServer()
		servers++
	}})
	took := time.Since(began)
	require.NoError(t, errors.Join(i.errs...))
	g := figures{executions: len(all), audits: l.audits, kills: len(l.kills)}
	ran := map[string]int{}
	for _, e := range l.entries() {
		if e.What == "start" {
			ran[e.attempt()]++
			g.starts++
		}
	}
	for _, p := range all {
		g.accepted += p.judge(t, ran)
	}
	require.Empty(t, ran, "what ran is of no task")
	require.LessOrEqual(t, g.starts, g.accepted+len(l.kills)*concurrency, "more handlers started than were in flight at the kills")
	require.Positive(t, g.kills)
	require.Positive(t, servers)
	l.settle()
	l.vanish()
	t.Logf("SUMMARY %s in %s: one redrive each, %d kills of servers; %s", t.Name(), round(took), servers, g)
}

func TestKillsUnderRedrives(t *testing.T) {
	parallel(t)
	mend(t, queuetest.URL(t))
}

func TestKillsUnderRedrivesOnCluster(t *testing.T) {
	parallel(t)
	mend(t, queuetest.Cluster(t))
}
