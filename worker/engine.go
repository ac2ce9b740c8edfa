package worker

import (
	"context"
	"encoding/json"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Engine is what a worker needs of *engine.Engine.
type Engine interface {
	Runs
	Fleet
}

// Runs is the life of one delivery. Claim refuses with engine.ErrStale,
// ErrPaused, ErrGone or *engine.FailedBefore; what reports a result with ErrStale.
type Runs interface {
	Claim(ctx context.Context, f engine.Fence, worker string) (*engine.Run, error)
	// Complete also checks the output; it answers a *workflow.Error when that failed the task for good.
	Complete(ctx context.Context, r *engine.Run, output json.RawMessage) error
	// Fail answers final = false when a retry follows.
	Fail(ctx context.Context, r *engine.Run, f *workflow.Error, timedOut bool) (final bool, err error)
	// Release hands the run back without using up a try.
	Release(ctx context.Context, r *engine.Run) error
	// Heartbeat answers for each run nil, ErrStale or why Redis could not be asked.
	Heartbeat(ctx context.Context, runs []*engine.Run) []error
	// WriteLog keeps a batch of a run's log; full says that nothing more will be.
	WriteLog(ctx context.Context, b engine.LogBatch) (full bool, err error)
	// RetryJob is for the archived job of a failed attempt that somebody ran again.
	RetryJob(ctx context.Context, f engine.Fence, by string) error
	// Decline hands on a job whose type this worker does not have.
	Decline(ctx context.Context, f engine.Fence) error
}

// Fleet is how worker processes are known to each other.
type Fleet interface {
	Announce(ctx context.Context, w engine.Worker) error
	Retire(ctx context.Context, id string) error
	Workers(ctx context.Context) ([]engine.Worker, error)
	// Cancellations sends the ids of executions whose runs are to be heartbeaten at once.
	Cancellations(ctx context.Context) (<-chan string, error)
}
