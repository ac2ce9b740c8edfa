package engine

import (
	"context"
	"errors"
	"time"
)

// Repair does what one shard has to do now, as a sweep does it.
func (e *Engine) Repair(ctx context.Context, d Due) error {
	return errors.Join(e.urgent(ctx, &d), e.later(ctx, d, &allowance{looks: lookBudget, until: time.Now().Add(time.Minute)}))
}

// FireRetry is what the timer of a back-off calls.
func (e *Engine) FireRetry(ctx context.Context, f Fence) { e.fire(ctx, TimerRetry, f) }

// WakeOnly keeps pollers from looking unless they are woken.
func (e *Engine) WakeOnly() { e.remote.safety = time.Hour }

// Polls counts the polls that wait, and those of them whose last look was at their cap.
func (e *Engine) Polls() (waiting, capped int) {
	p := &e.remote.pollers
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[*poller]bool{}
	for _, at := range p.waiting {
		for w := range at {
			seen[w] = w.capped
		}
	}
	for _, c := range seen {
		if c {
			capped++
		}
	}
	return len(seen), capped
}

// Places answers how many runs a poll may be given.
func (e *Engine) Places(ctx context.Context, c *Cap, first bool) (int, error) {
	return e.places(ctx, c, 1, first)
}

// AskedUntil makes the process believe that somebody asked who holds the places of a cap.
func (e *Engine) AskedUntil(c Cap, t time.Time) {
	e.remote.asks(c)
	e.remote.mu.Lock()
	defer e.remote.mu.Unlock()
	e.remote.asked[c.Project+"\x00"+c.Type] = t
}

// Forget empties what the process remembers of executions and definitions, as a restart does.
func (e *Engine) Forget() {
	e.documents.Purge()
	e.programs.Purge()
}

// Fire is what a timer that is due calls.
func (e *Engine) Fire(ctx context.Context, kind TimerKind, f Fence) { e.fire(ctx, kind, f) }

// SweepSchedules does what schedules have to do now, in every project.
func (e *Engine) SweepSchedules(ctx context.Context) error {
	_, err := e.sweepSchedules(ctx, func(string) bool { return true })
	return err
}

// BulkDriver is a process that drives bulk operations.
type BulkDriver struct{ d *bulks }

// BulkTries is how often it is tried to act on an execution.
const BulkTries = bulkTries

// NewBulkDriver makes one that remembers nothing, as after a restart.
func (e *Engine) NewBulkDriver() *BulkDriver {
	return &BulkDriver{&bulks{e: e, sent: map[BulkName]map[int]sending{}}}
}

// Sweep does what bulk operations have to do now, in every project.
func (b *BulkDriver) Sweep(ctx context.Context) error {
	_, err := b.d.sweep(ctx, func(string) bool { return true })
	return err
}

// LookAtLines does what is due in the lines of projects, as a sweep does it.
func (e *Engine) LookAtLines(ctx context.Context, projects ...string) error {
	return e.lookAtLines(ctx, projects)
}

// AdvanceOn is Advance by a process that read the agenda a while ago.
func (e *Engine) AdvanceOn(ctx context.Context, a *Agenda) error {
	_, err := e.advance(ctx, a)
	return err
}

// RunTimers answers when a timer fired that was added several times, within a while.
func RunTimers(ctx context.Context, fill func(add func(in time.Duration)), within time.Duration) []time.Duration {
	start := time.Now()
	var fired []time.Duration
	t := newTimers(func(context.Context, TimerKind, Fence) { fired = append(fired, time.Since(start)) })
	fill(func(in time.Duration) { t.add(TimerWake, Fence{Execution: "x", Ref: "w", Attempt: 1}, in) })
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	t.run(ctx)
	return fired
}

// Pending are the kinds of timers that are due in this process.
func (e *Engine) Pending() (kinds []TimerKind) {
	now, _ := e.timers.due()
	for _, key := range now {
		kinds = append(kinds, key.kind)
	}
	return kinds
}

// PreviewWithin is how long previews of bulk operations count.
func (e *Engine) PreviewWithin(d time.Duration) { e.previewTime = d }
