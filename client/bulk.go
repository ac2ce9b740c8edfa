package client

import (
	"context"
	"io"
	"iter"
)

// StartBulk does something to many executions. It goes on by itself.
func (c *Client) StartBulk(ctx context.Context, project string, r BulkRequest) (*Bulk, error) {
	r.DryRun = false
	b, _, err := read[Bulk](c.api.StartBulk(ctx, project, &StartBulkParams{}, r))
	return b, err
}

// PreviewBulk answers what StartBulk would do. AtLeast says that it did not count all of the executions.
func (c *Client) PreviewBulk(ctx context.Context, project string, r BulkRequest) (*BulkPreview, error) {
	r.DryRun = true
	p, _, err := read[BulkPreview](c.api.StartBulk(ctx, project, &StartBulkParams{}, r))
	return p, err
}

// Bulk reads a bulk operation.
func (c *Client) Bulk(ctx context.Context, project, id string) (*Bulk, error) {
	b, _, err := read[Bulk](c.api.GetBulk(ctx, project, id))
	return b, err
}

// Bulks walks the bulk operations, newest first.
func (c *Client) Bulks(ctx context.Context, project string) iter.Seq2[Bulk, error] {
	return all(func(cursor *string) ([]Bulk, *string, error) {
		list, _, err := read[BulkList](c.api.ListBulk(ctx, project, &ListBulkParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// BulkItems walks the executions of a bulk operation with what became of them, of one outcome or, with "", all.
func (c *Client) BulkItems(ctx context.Context, project, id string, outcome BulkOutcome) iter.Seq2[BulkItem, error] {
	return all(func(cursor *string) ([]BulkItem, *string, error) {
		params := &ListBulkItemsParams{Cursor: cursor}
		if outcome != "" {
			params.Outcome = &outcome
		}
		list, _, err := read[BulkItemList](c.api.ListBulkItems(ctx, project, id, params))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// BulkReport reads what became of every execution of a bulk operation as text in a format: csv, json or jsonl. Close it.
func (c *Client) BulkReport(ctx context.Context, project, id, format string) (io.ReadCloser, error) {
	f := GetBulkReportParamsFormat(format)
	return readAll(c.api.GetBulkReport(ctx, project, id, &GetBulkReportParams{Format: &f}))
}

// HoldBulk takes and sends out nothing more of a bulk operation, until ContinueBulk. What was sent out goes on.
func (c *Client) HoldBulk(ctx context.Context, project, id, reason string) (*Bulk, error) {
	b, _, err := read[Bulk](c.api.PauseBulk(ctx, project, id, ControlRequest{Reason: reason}))
	return b, err
}

// ContinueBulk lets a held bulk operation go on.
func (c *Client) ContinueBulk(ctx context.Context, project, id, reason string) (*Bulk, error) {
	b, _, err := read[Bulk](c.api.ResumeBulk(ctx, project, id, ControlRequest{Reason: reason}))
	return b, err
}

// AbortBulk takes and sends out nothing more of a bulk operation, ever: what was taken and not sent out is skipped.
func (c *Client) AbortBulk(ctx context.Context, project, id, reason string) (*Bulk, error) {
	b, _, err := read[Bulk](c.api.AbortBulk(ctx, project, id, ControlRequest{Reason: reason}))
	return b, err
}
