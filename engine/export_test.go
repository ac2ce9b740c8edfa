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

// Forget empties what the process remembers of executions, as a restart does.
func (e *Engine) Forget() { e.documents.Purge() }

// Fire is what a timer that is due calls.
func (e *Engine) Fire(ctx context.Context, kind TimerKind, f Fence) { e.fire(ctx, kind, f) }

// SweepSchedules does what schedules have to do now, in every project.
func (e *Engine) SweepSchedules(ctx context.Context) error {
	_, err := e.sweepSchedules(ctx, func(string) bool { return true })
	return err
}
