package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"time"
)

const (
	maxReconnects = 10 // in a row, without an event between them
	firstPause    = 100 * time.Millisecond
	longestPause  = 5 * time.Second
	maxEventLine  = 1 << 20
)

// errEnd says that the server told the end of the execution.
var errEnd = errors.New("client: the execution has ended")

// Events follows an execution from behind the event `after` ("" = from the
// beginning). The sequence ends when the execution has ended. A broken
// connection is taken up again behind the last event; ten failures in a row,
// a refusal, or the end of ctx end the sequence with an error.
func (c *Client) Events(ctx context.Context, id, after string) iter.Seq2[Event, error] {
	return follow(ctx, "events of "+id, after, func(e Event) string { return e.Seq },
		func(after *string) (*http.Response, error) {
			return c.api.StreamEvents(ctx, id, &StreamEventsParams{LastEventID: after}, acceptStream)
		})
}

func acceptStream(_ context.Context, r *http.Request) error {
	r.Header.Set("Accept", "text/event-stream")
	return nil
}

// follow reads a stream, over as many connections as it takes.
func follow[T any](ctx context.Context, what, after string, seq func(T) string, open func(after *string) (*http.Response, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		connected, failures := false, 0
		for {
			stopped := false
			err := stream(after, open, func(e T) bool {
				after, failures = seq(e), 0
				stopped = !yield(e, nil)
				return !stopped
			}, func() { connected = true })
			if stopped || errors.Is(err, errEnd) {
				return
			}
			failures++
			if !connected || failures > maxReconnects || final(ctx, err) {
				if ctx.Err() != nil {
					err = ctx.Err()
				}
				yield(none, fmt.Errorf("client: %s: %w", what, err))
				return
			}
			if !sleep(ctx, pause(failures, err)) {
				yield(none, fmt.Errorf("client: %s: %w", what, ctx.Err()))
				return
			}
		}
	}
}

// Wait waits until the execution has ended and reads it.
func (c *Client) Wait(ctx context.Context, id string) (*Execution, error) {
	for _, err := range c.Events(ctx, id, "") {
		if err != nil {
			return nil, err
		}
	}
	return c.Execution(ctx, id)
}

// stream reads one connection. It returns errEnd after the end event, nil when
// the consumer stopped, and otherwise why the connection broke.
func stream[T any](after string, open func(after *string) (*http.Response, error), handle func(T) bool, connected func()) error {
	var from *string
	if after != "" {
		from = &after
	}
	resp, err := open(from)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return newError(resp)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return &Error{Status: resp.StatusCode, Title: "not an event stream", Detail: where(resp) + " answered " + kind + ": is this a Redrive server?"}
	}
	connected()
	return readStream(resp.Body, handle)
}

// readStream takes server-sent events apart.
func readStream[T any](body io.Reader, handle func(T) bool) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4096), maxEventLine)
	var kind string
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) > 0 {
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "event":
				kind = string(value)
			case "data":
				data = append(data, value...)
			}
			continue
		}
		if kind == "end" {
			return errEnd
		}
		if len(data) > 0 {
			var e T
			if err := json.Unmarshal(data, &e); err != nil {
				return fmt.Errorf("an event that is not JSON: %w", err)
			}
			if !handle(e) {
				return nil
			}
		}
		kind, data = "", nil
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// final tells errors that another connection would not cure.
func final(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Status < 500 && refusal.Status != http.StatusTooManyRequests
}

func pause(failures int, err error) time.Duration {
	var refusal *Error
	if errors.As(err, &refusal) && refusal.RetryAfter > 0 {
		return min(refusal.RetryAfter, longestPause)
	}
	return min(firstPause<<min(failures-1, 10), longestPause)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
