package client

import (
	"context"
	"iter"
)

// VersionChoice says which version of a workflow a redrive runs: "same",
// "latest", or the number of a version.
type VersionChoice string

// Retry runs again what did not succeed in an execution, and what depends on it.
// It answers the execution that runs now. An *Error with code plan_changed says
// that the plan is not that of PlanHash any more.
func (c *Client) Retry(ctx context.Context, id string, r RedriveRequest) (*Execution, error) {
	x, _, err := read[Execution](c.api.RetryExecution(ctx, id, &RetryExecutionParams{}, r))
	return x, err
}

// Rerun runs the tasks in From again, and what depends on them; without From,
// everything. It answers the execution that runs now.
func (c *Client) Rerun(ctx context.Context, id string, r RedriveRequest) (*Execution, error) {
	x, _, err := read[Execution](c.api.RerunExecution(ctx, id, &RerunExecutionParams{}, r))
	return x, err
}

// PlanRetry answers what Retry would do.
func (c *Client) PlanRetry(ctx context.Context, id string, r RedriveRequest) (*Plan, error) {
	p, _, err := read[Plan](c.api.RetryExecution(ctx, id, &RetryExecutionParams{DryRun: dryRun()}, r))
	return p, err
}

// PlanRerun answers what Rerun would do.
func (c *Client) PlanRerun(ctx context.Context, id string, r RedriveRequest) (*Plan, error) {
	p, _, err := read[Plan](c.api.RerunExecution(ctx, id, &RerunExecutionParams{DryRun: dryRun()}, r))
	return p, err
}

// Redrives walks the redrives of an execution, oldest first.
func (c *Client) Redrives(ctx context.Context, id string) iter.Seq2[Redriven, error] {
	return all(func(cursor *string) ([]Redriven, *string, error) {
		list, _, err := read[RedrivenList](c.api.ListRedrives(ctx, id, &ListRedrivesParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Lineage reads the family of an execution: what redrives made of each other,
// with their sub-executions.
func (c *Client) Lineage(ctx context.Context, id string) (*LineageTree, error) {
	l, _, err := read[LineageTree](c.api.GetLineage(ctx, id))
	return l, err
}

// Diff compares two executions of one project.
func (c *Client) Diff(ctx context.Context, a, b string) (*Comparison, error) {
	d, _, err := read[Comparison](c.api.DiffExecutions(ctx, a, &DiffExecutionsParams{With: b}))
	return d, err
}

// DiffAttempts compares two attempts of a task.
func (c *Client) DiffAttempts(ctx context.Context, id, ref string, from, to int) (*Comparison, error) {
	d, _, err := read[Comparison](c.api.DiffAttempts(ctx, id, ref, &DiffAttemptsParams{From: from, To: to}))
	return d, err
}

func dryRun() *bool {
	yes := true
	return &yes
}
