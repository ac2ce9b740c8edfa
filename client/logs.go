package client

import (
	"context"
	"iter"
	"net/http"
)

// LogFilter narrows a log. Zero fields do not narrow.
type LogFilter struct {
	Task    string // its ref
	Attempt int
	Level   LogLevel // this one and graver ones
}

func (f LogFilter) params() *ListLogsParams {
	p := &ListLogsParams{}
	if f.Task != "" {
		p.Task = &f.Task
	}
	if f.Attempt != 0 {
		p.Attempt = &f.Attempt
	}
	if f.Level != "" {
		p.Level = &f.Level
	}
	return p
}

// Logs walks what the tasks of an execution logged, in the order in which it arrived.
func (c *Client) Logs(ctx context.Context, id string, f LogFilter) iter.Seq2[LogEntry, error] {
	return all(func(cursor *string) ([]LogEntry, *string, error) {
		params := f.params()
		params.Cursor = cursor
		list, _, err := read[LogList](c.api.ListLogs(ctx, id, params))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// FollowLogs is Logs from behind the entry `after` ("" = from the beginning),
// and then what is logged until the execution has ended. It goes on over broken
// connections as Events does.
func (c *Client) FollowLogs(ctx context.Context, id string, f LogFilter, after string) iter.Seq2[LogEntry, error] {
	return follow(ctx, "logs of "+id, after, func(e LogEntry) string { return e.Seq },
		func(after *string) (*http.Response, error) {
			params, yes := f.params(), true
			params.Follow, params.LastEventID = &yes, after
			return c.api.ListLogs(ctx, id, params, acceptStream)
		})
}
