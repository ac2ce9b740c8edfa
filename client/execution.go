package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"
)

// Start starts an execution. created is false when the same idempotency key
// had started it before.
func (c *Client) Start(ctx context.Context, project string, r StartRequest) (x *Execution, created bool, err error) {
	x, status, err := read[Execution](c.api.StartExecution(ctx, project, r))
	return x, status == http.StatusCreated, err
}

// Execution reads an execution by id or number.
func (c *Client) Execution(ctx context.Context, id string) (*Execution, error) {
	x, _, err := read[Execution](c.api.GetExecution(ctx, id))
	return x, err
}

// Executions walks the executions that the filter lets through, newest first.
func (c *Client) Executions(ctx context.Context, project string, filter ListExecutionsParams) iter.Seq2[Execution, error] {
	return all(func(cursor *string) ([]Execution, *string, error) {
		params := filter
		if cursor != nil {
			params.Cursor = cursor
		}
		list, err := c.ExecutionPage(ctx, project, &params)
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// ExecutionPage reads one page of executions.
func (c *Client) ExecutionPage(ctx context.Context, project string, params *ListExecutionsParams) (*ExecutionList, error) {
	list, _, err := read[ExecutionList](c.api.ListExecutions(ctx, project, params))
	return list, err
}

// Cancel cancels an execution.
func (c *Client) Cancel(ctx context.Context, id, reason string) (*Execution, error) {
	x, _, err := read[Execution](c.api.CancelExecution(ctx, id, ControlRequest{Reason: reason}))
	return x, err
}

// Pause pauses an execution: what runs goes on, nothing new starts.
func (c *Client) Pause(ctx context.Context, id, reason string) (*Execution, error) {
	return c.PauseFor(ctx, id, reason, 0)
}

// PauseFor pauses an execution that fails when it is still paused after so
// long, 1 s to 30 days; 0 = it never does.
func (c *Client) PauseFor(ctx context.Context, id, reason string, deadline time.Duration) (*Execution, error) {
	r := PauseRequest{Reason: reason}
	if deadline != 0 {
		r.Deadline = deadline.String()
	}
	x, _, err := read[Execution](c.api.PauseExecution(ctx, id, r))
	return x, err
}

// Resume resumes a paused execution.
func (c *Client) Resume(ctx context.Context, id, reason string) (*Execution, error) {
	x, _, err := read[Execution](c.api.ResumeExecution(ctx, id, ResumeRequest{Reason: reason}))
	return x, err
}

// Answer answers a task that waits for an input: an approval, or a wait that
// somebody outside ends. An Input left out is null; Task is needed where several
// wait. Of two answers at once one is refused with the code gate_answered.
func (c *Client) Answer(ctx context.Context, id string, r ResumeRequest) (*Execution, error) {
	if r.Input == nil {
		r.Input = json.RawMessage("null")
	}
	x, _, err := read[Execution](c.api.ResumeExecution(ctx, id, r))
	return x, err
}

// History walks what happened to an execution, oldest first.
func (c *Client) History(ctx context.Context, id string) iter.Seq2[Event, error] {
	return all(func(cursor *string) ([]Event, *string, error) {
		list, _, err := read[EventList](c.api.ListHistory(ctx, id, &ListHistoryParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Graph reads the graph of an execution.
func (c *Client) Graph(ctx context.Context, id string) (*Graph, error) {
	g, _, err := read[Graph](c.api.GetGraph(ctx, id, &GetGraphParams{}))
	return g, err
}

// Drawing reads the graph of an execution as text: "mermaid", "dot" or "svg".
func (c *Client) Drawing(ctx context.Context, id, format string) (string, error) {
	f := GetGraphParamsFormat(format)
	return readText(c.api.GetGraph(ctx, id, &GetGraphParams{Format: &f}))
}
