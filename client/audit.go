package client

import (
	"context"
	"iter"
)

// Audit walks what was changed in a project, the newest first. Zero fields of the filter do not narrow.
func (c *Client) Audit(ctx context.Context, project string, filter ListAuditParams) iter.Seq2[AuditEntry, error] {
	return all(func(cursor *string) ([]AuditEntry, *string, error) {
		params := filter
		if cursor != nil {
			params.Cursor = cursor
		}
		list, _, err := read[AuditList](c.api.ListAudit(ctx, project, &params))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// FleetAudit walks what was changed outside of projects: keys, queues, the dashboard.
func (c *Client) FleetAudit(ctx context.Context, filter ListFleetAuditParams) iter.Seq2[AuditEntry, error] {
	return all(func(cursor *string) ([]AuditEntry, *string, error) {
		params := filter
		if cursor != nil {
			params.Cursor = cursor
		}
		list, _, err := read[AuditList](c.api.ListFleetAudit(ctx, &params))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}
