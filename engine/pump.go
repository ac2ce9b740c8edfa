package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	shardCount   = 256
	groupCount   = 8 // of shards, each led by one process
	leadTTL      = 3 * time.Second
	idleSweeps   = 5   // a shard that held nothing is looked at every so many sweeps
	dueLimit     = 100 // entries of each kind from one shard in one sweep
	fleetRefresh = 2 * time.Second
)

// Pump does what becomes due: every server and worker process runs one, and
// they share the shards among them by locks that expire. Whatever it does is
// fenced in the store, so that two leaders of one shard do no harm.
type Pump struct {
	e     *Engine
	owner string

	mu     sync.Mutex
	cancel context.CancelFunc
	wg     sync.WaitGroup
	led    atomic.Uint32 // the groups in leads, as bits

	// Owned by the loop.
	leads   [groupCount]bool
	idle    [shardCount]int // sweeps until the shard is looked at again
	looked  time.Time       // at the fleet, and which projects reserve
	lines   *lines
	renewed time.Time // the leads
}

// NewPump makes a pump for the engine of this process.
func NewPump(e *Engine) *Pump {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Pump{e: e, lines: &lines{}, owner: fmt.Sprintf("%s:%d:%s", host, os.Getpid(), uuid.NewString()[:8])}
}

// Start reads which workers live and begins to work. It returns at once.
func (p *Pump) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		return errors.New("engine: the pump was started before")
	}
	if err := p.e.lookAtFleet(ctx); err != nil {
		return fmt.Errorf("engine: starting the pump: %w", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.wg.Go(func() { p.e.timers.run(run) })
	p.wg.Go(func() { p.e.lister.run(run) })
	p.wg.Go(func() { p.e.usher.run(run) })
	p.wg.Go(func() { p.e.followOffers(run) })
	p.wg.Go(func() { p.loop(run) })
	p.wg.Go(func() { p.schedules(run) })
	p.wg.Go(func() { p.bulks(run) })
	return nil
}

// Stop ends the work and gives the leads up, until ctx ends. It may be called twice.
func (p *Pump) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel == nil {
		return nil
	}
	p.cancel()
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("engine: stopping the pump: %w", ctx.Err())
	}
	var errs []error
	for group, mine := range p.leads {
		if mine {
			errs = append(errs, p.e.store.Resign(ctx, group, p.owner))
			p.leads[group] = false
		}
	}
	return errors.Join(errs...)
}

func (p *Pump) loop(ctx context.Context) {
	for {
		began := time.Now()
		err := p.sweep(ctx)
		err = errors.Join(err, p.e.lookAtLines(ctx, p.lines.led(p.leads)))
		if err != nil && ctx.Err() == nil {
			p.e.log.Warn("a sweep could not be finished; the next one goes on", "error", err)
		}
		p.e.metrics.swept(time.Since(began))
		pause := time.Duration(float64(p.e.o.Sweep) * (0.9 + 0.2*rand.Float64()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (p *Pump) sweep(ctx context.Context) error {
	if time.Since(p.looked) >= fleetRefresh {
		if err := p.fleet(ctx); err != nil {
			return err
		}
		if err := p.lines.refresh(ctx, p.e); err != nil {
			return err
		}
		p.looked = time.Now()
	}
	if time.Since(p.renewed) >= leadTTL/3 {
		if err := p.lead(ctx); err != nil {
			return err
		}
		p.renewed = time.Now()
	}
	allowed := &allowance{looks: lookBudget, until: time.Now().Add(p.e.o.Sweep / 2)}
	for list := p.due(); len(list) > 0; {
		if time.Since(p.renewed) >= leadTTL/3 {
			if err := p.lead(ctx); err != nil {
				return err
			}
			p.renewed = time.Now()
		}
		all, err := p.e.store.Due(ctx, list, 2*idleSweeps*p.e.o.Sweep, dueLimit)
		if err != nil {
			return err
		}
		var again []int
		var errs []error
		for i := range all {
			if !all[i].Live {
				p.idle[list[i]] = idleSweeps
			}
			if full(all[i]) {
				again = append(again, list[i])
			}
			errs = append(errs, p.e.urgent(ctx, &all[i]))
		}
		first := rand.IntN(len(all)) // so that no shard is always the one for which nothing is left
		for i := range all {
			errs = append(errs, p.e.later(ctx, all[(first+i)%len(all)], allowed))
		}
		if allowed.spent() {
			again = nil
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		list = again
	}
	return nil
}

func full(d Due) bool {
	return len(d.Jobs) >= dueLimit || len(d.Decide) == dueLimit || len(d.Index) == dueLimit || len(d.Expire) == dueLimit
}

// due answers the shards to look at now: all that were not empty, and every so often the empty ones.
func (p *Pump) due() []int {
	var list []int
	for shard := range shardCount {
		if !p.leads[shard%groupCount] {
			continue
		}
		if p.idle[shard] > 0 {
			p.idle[shard]--
			continue
		}
		list = append(list, shard)
	}
	return list
}

func (p *Pump) lead(ctx context.Context) error {
	defer p.tellLeads()
	for group := range groupCount {
		mine, err := p.e.store.Lead(ctx, group, p.owner, leadTTL)
		if err != nil {
			p.leads[group] = false
			return fmt.Errorf("engine: leading shards: %w", err)
		}
		if mine && !p.leads[group] {
			for shard := group; shard < shardCount; shard += groupCount {
				p.idle[shard] = 0
			}
		}
		p.leads[group] = mine
	}
	return nil
}

// tellLeads lets the goroutine of the schedules know what this process leads.
func (p *Pump) tellLeads() {
	var led uint32
	for group, mine := range p.leads {
		if mine {
			led |= 1 << group
		}
	}
	p.led.Store(led)
}

// fleet refreshes what is known of the workers and repairs asynq's list of queues.
func (p *Pump) fleet(ctx context.Context) error {
	if err := p.e.lookAtFleet(ctx); err != nil {
		return err
	}
	p.e.fleet.mu.RLock()
	queues := slices.Clone(p.e.fleet.queues)
	p.e.fleet.mu.RUnlock()
	if !p.leads[0] {
		return nil
	}
	var all []string
	for _, q := range queues {
		all = append(all, Lanes(q)...)
	}
	return p.e.store.KeepQueues(ctx, all)
}
