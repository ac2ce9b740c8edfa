package engine

import "context"

// Repair does what one shard has to do now, as a sweep does it.
func (e *Engine) Repair(ctx context.Context, d Due) error {
	looks := lookBudget
	return e.repair(ctx, d, &looks)
}

// FireRetry is what the timer of a back-off calls.
func (e *Engine) FireRetry(ctx context.Context, f Fence) { e.fireRetry(ctx, f) }

// Forget empties what the process remembers of executions, as a restart does.
func (e *Engine) Forget() { e.documents.Purge() }
