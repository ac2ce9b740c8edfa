package engine

import (
	"context"
	"errors"

	"github.com/redrive/redrive/workflow"
)

// Remove takes an execution away that has ended, with all that belongs to it, before its retention
// is over. KindConflict not_ended, part_of_another.
func (e *Engine) Remove(ctx context.Context, id string) error {
	x, err := e.Execution(ctx, id)
	switch {
	case err != nil:
		return err
	case x.Parent != nil:
		return Conflict("part_of_another", "execution %s is a part of %s: it is removed together with that", x.ID, x.Parent.Execution)
	case !x.Status.Ended():
		return notEndedYet(x.ID, x.Status)
	}
	err = e.purgeTree(ctx, x.ID, true)
	if errors.Is(err, errGoing) {
		return Conflict("not_ended", "a part of execution %s has not ended; try again", x.ID)
	}
	return err
}

func notEndedYet(id string, s workflow.ExecutionStatus) error {
	return Conflict("not_ended", "execution %s is %s; it can be removed when it has ended: cancel it first", id, s)
}
