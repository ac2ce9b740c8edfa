package client

import (
	"context"
	"iter"
)

// Failures walks the groups of failures, the last seen first. Zero fields of the filter do not narrow.
func (c *Client) Failures(ctx context.Context, project string, filter ListFailuresParams) iter.Seq2[FailureGroup, error] {
	return all(func(cursor *string) ([]FailureGroup, *string, error) {
		params := filter
		if cursor != nil {
			params.Cursor = cursor
		}
		list, _, err := read[FailureList](c.api.ListFailures(ctx, project, &params))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Failure reads a group of failures, with the newest executions that are open failures in it.
func (c *Client) Failure(ctx context.Context, project, fingerprint string) (*FailureGroup, error) {
	g, _, err := read[FailureGroup](c.api.GetFailure(ctx, project, fingerprint))
	return g, err
}

// AcknowledgeFailure says that somebody knows of a group; it stays acknowledged until it is resolved.
func (c *Client) AcknowledgeFailure(ctx context.Context, project, fingerprint, note string) (*FailureGroup, error) {
	g, _, err := read[FailureGroup](c.api.AcknowledgeFailure(ctx, project, fingerprint, FailureNote{Note: note}))
	return g, err
}

// ResolveFailure says that the cause of a group is mended; a new failure opens it again.
func (c *Client) ResolveFailure(ctx context.Context, project, fingerprint, note string) (*FailureGroup, error) {
	g, _, err := read[FailureGroup](c.api.ResolveFailure(ctx, project, fingerprint, FailureNote{Note: note}))
	return g, err
}

// ReopenFailure says that a group is to be looked at again.
func (c *Client) ReopenFailure(ctx context.Context, project, fingerprint, note string) (*FailureGroup, error) {
	g, _, err := read[FailureGroup](c.api.ReopenFailure(ctx, project, fingerprint, FailureNote{Note: note}))
	return g, err
}
