package client

import (
	"context"
	"iter"
)

// Sessions walks the sessions that the filter lets through, newest first.
func (c *Client) Sessions(ctx context.Context, project string, filter ListSessionsParams) iter.Seq2[Session, error] {
	return all(func(cursor *string) ([]Session, *string, error) {
		params := filter
		if cursor != nil {
			params.Cursor = cursor
		}
		list, _, err := read[SessionList](c.api.ListSessions(ctx, project, &params))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Session reads a session by its number.
func (c *Client) Session(ctx context.Context, project string, number int64) (*Session, error) {
	s, _, err := read[Session](c.api.GetSession(ctx, project, number))
	return s, err
}

// SessionAttempts walks the executions of a session, oldest first.
func (c *Client) SessionAttempts(ctx context.Context, project string, number int64) iter.Seq2[Execution, error] {
	return all(func(cursor *string) ([]Execution, *string, error) {
		list, _, err := read[ExecutionList](c.api.ListSessionAttempts(ctx, project, number, &ListSessionAttemptsParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}
