package client

import (
	"context"
	"iter"
)

// Tasks walks the tasks of an execution, nested ones included.
func (c *Client) Tasks(ctx context.Context, id string) iter.Seq2[Task, error] {
	return all(func(cursor *string) ([]Task, *string, error) {
		list, _, err := read[TaskList](c.api.ListTasks(ctx, id, &ListTasksParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Task reads a task by its ref, as each[eu].load.
func (c *Client) Task(ctx context.Context, id, ref string) (*Task, error) {
	t, _, err := read[Task](c.api.GetTask(ctx, id, ref))
	return t, err
}

// Attempts walks the attempts of a task, oldest first.
func (c *Client) Attempts(ctx context.Context, id, ref string) iter.Seq2[Attempt, error] {
	return all(func(cursor *string) ([]Attempt, *string, error) {
		list, _, err := read[AttemptList](c.api.ListAttempts(ctx, id, ref, &ListAttemptsParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// CompleteTask ends a task as succeeded, by hand; a run that is under way is
// told to stop and its result refused. Of a task that ended it is a redrive. An
// Output left out is null.
func (c *Client) CompleteTask(ctx context.Context, id, ref string, r CompleteRequest) (*Task, error) {
	t, _, err := read[Task](c.api.CompleteTask(ctx, id, ref, &CompleteTaskParams{}, r))
	return t, err
}

// PlanComplete answers what CompleteTask would do to a task that ended.
func (c *Client) PlanComplete(ctx context.Context, id, ref string, r CompleteRequest) (*Plan, error) {
	p, _, err := read[Plan](c.api.CompleteTask(ctx, id, ref, &CompleteTaskParams{DryRun: dryRun()}, r))
	return p, err
}

// FailTask ends a task as failed, by hand.
func (c *Client) FailTask(ctx context.Context, id, ref string, r FailRequest) (*Task, error) {
	t, _, err := read[Task](c.api.FailTask(ctx, id, ref, r))
	return t, err
}

// SkipTask skips a task, by hand. Of a task that ended it is a redrive.
func (c *Client) SkipTask(ctx context.Context, id, ref string, r SkipRequest) (*Task, error) {
	t, _, err := read[Task](c.api.SkipTask(ctx, id, ref, &SkipTaskParams{}, r))
	return t, err
}

// PlanSkip answers what SkipTask would do to a task that ended.
func (c *Client) PlanSkip(ctx context.Context, id, ref string, r SkipRequest) (*Plan, error) {
	p, _, err := read[Plan](c.api.SkipTask(ctx, id, ref, &SkipTaskParams{DryRun: dryRun()}, r))
	return p, err
}
