package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/redrive/redrive/queue/queuetest"
)

const (
	chainLength = 10
	fanWidth    = 100
	concurrency = 10
)

func main() {
	rounds := flag.Int("rounds", 7, "interleaved rounds of each comparison")
	chains := flag.Int("chains", 300, "chains of 10 in a round")
	fans := flag.Int("fans", 30, "fan-outs 1 -> 100 -> 1 in a round")
	hops := flag.Int("hops", 200, "idle hops to time")
	worker := flag.String("worker", "", "run as an idle worker of this Redis URL (used by the bench itself)")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	run := func() error { return measure(*rounds, *chains, *fans, *hops) }
	if *worker != "" {
		run = func() error { return idleWorker(*worker) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(rounds, chains, fans, hops int) error {
	server, err := queuetest.Start()
	if err != nil {
		return err
	}
	defer server.Stop()
	ctx := context.Background()
	url := func(db int) string { return fmt.Sprintf("redis://%s/%d", server.Addr(), db) }
	raw, err := newRaw(server.Addr(), 0)
	if err != nil {
		return err
	}
	defer raw.stop()
	ours, err := newFleet(ctx, url(1))
	if err != nil {
		return err
	}
	defer ours.stop()
	usage := &usage{addr: server.Addr()}
	if err := compare(usage, "chains of 10", rounds, chains*chainLength,
		func() error { return raw.chains(ctx, chains) }, func() error { return ours.run(ctx, "chain", chains) }); err != nil {
		return err
	}
	if err := compare(usage, "fan-out 1 -> 100 -> 1", rounds, fans*(fanWidth+2),
		func() error { return raw.fans(ctx, fans) }, func() error { return ours.run(ctx, "fan", fans) }); err != nil {
		return err
	}
	raw.stop()
	ours.stop()
	return idle(ctx, server, url(2), hops)
}

// compare runs both in turn, the order swapped each round, and prints medians.
func compare(u *usage, name string, rounds, tasks int, raw, ours func() error) error {
	var a, b side
	var ratios []float64
	if err := firstError(raw, ours); err != nil { // a round to warm up
		return err
	}
	for round := range rounds {
		first, second := func() error { return a.run(u, tasks, raw) }, func() error { return b.run(u, tasks, ours) }
		if round%2 == 1 {
			first, second = second, first
		}
		if err := firstError(first, second); err != nil {
			return err
		}
		ratios = append(ratios, b.rates[round]/a.rates[round])
	}
	fmt.Printf("%s, %d rounds of %d tasks\n", name, rounds, tasks)
	a.print("raw asynq")
	b.print("redrive")
	fmt.Printf("  ratio      %.2f  [quartiles %.2f - %.2f]\n", median(ratios), quantile(ratios, .25), quantile(ratios, .75))
	return nil
}

// side is what one of the two measured.
type side struct{ rates, redis, own []float64 }

func (s *side) run(u *usage, tasks int, call func() error) error {
	if err := u.start(); err != nil {
		return err
	}
	began := time.Now()
	if err := call(); err != nil {
		return err
	}
	s.rates = append(s.rates, float64(tasks)/time.Since(began).Seconds())
	redis, own, err := u.stop()
	s.redis, s.own = append(s.redis, redis*1e6/float64(tasks)), append(s.own, own*1e6/float64(tasks))
	return err
}

func (s *side) print(name string) {
	fmt.Printf("  %-10s %6.0f tasks/s   CPU per task: Redis %.0f us, Go %.0f us\n", name, median(s.rates), median(s.redis), median(s.own))
}

func firstError(calls ...func() error) error {
	for _, call := range calls {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

func median(v []float64) float64 { return quantile(v, .5) }

func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return s[min(int(q*float64(len(s))), len(s)-1)]
}
