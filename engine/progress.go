package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redrive/redrive/workflow"
)

// Progress keeps what a run, or a task that waits, has given so far, in place of what it gave before. It is shown with its
// attempt, however that ends; no expression reads it. KindConflict stale when another attempt or delivery has taken its place.
func (e *Engine) Progress(ctx context.Context, f Fence, progress json.RawMessage) error {
	_, p, err := e.document(ctx, f.Execution)
	if err != nil {
		return err
	}
	at, ok := p.Place(f.Ref)
	if !ok {
		return errStaleRun(f)
	}
	if most := e.o.Limits.TaskValueBytes; len(progress) > most {
		return progressTooLarge(fmt.Sprintf("has %d bytes", len(progress)), fmt.Sprintf("at most %d bytes; hand on a reference instead", most))
	}
	err = e.store.Progress(ctx, f, e.cleanOutput(at.Node, progress))
	switch {
	case errors.Is(err, ErrValuesFull):
		return progressTooLarge(fmt.Sprintf("has %d bytes, and with it the execution would hold too many", len(progress)), fmt.Sprintf("%d MiB in all of an execution", ValuesBytes>>20))
	case errors.Is(err, ErrStale), errors.Is(err, ErrGone):
		e.metrics.fenced("progress")
		return errStaleRun(f)
	}
	return err
}

func progressTooLarge(message, allowed string) error {
	return Invalid("request_invalid", "the progress cannot be kept", workflow.Problem{Field: "progress", Code: "too_large", Message: message, Allowed: allowed})
}

// RemoteProgress is Progress of a remote run.
func (e *Engine) RemoteProgress(ctx context.Context, id, ref, token string, progress json.RawMessage) error {
	t, err := e.openToken(ctx, id, ref, token)
	if err != nil {
		return err
	}
	return e.Progress(ctx, t.Fence, progress)
}
