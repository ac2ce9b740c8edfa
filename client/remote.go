package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// CodeStale is the code of the 409 that tells a remote worker that a run is over.
const CodeStale = "stale"

// Stale reports whether a report was refused because the run is over: the task
// was canceled or timed out, or another delivery took its place.
func Stale(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusConflict && refusal.Code == CodeStale
}

// Error makes a RemoteError what a handler of WorkRemote may answer.
func (e RemoteError) Error() string { return e.Code + ": " + e.Message }

// PollRemote waits for runs; none when nothing came within r.Wait.
func (c *Client) PollRemote(ctx context.Context, r PollRequest) ([]RemoteRun, error) {
	list, _, err := read[RemoteRunList](c.api.PollRemote(ctx, r))
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// HeartbeatRemote extends the lease of a run.
func (c *Client) HeartbeatRemote(ctx context.Context, run RemoteRun) (*Heartbeat, error) {
	beat, _, err := read[Heartbeat](c.api.HeartbeatRemote(ctx, run.Execution, run.Ref, RemoteHeartbeatRequest{Token: run.Token}))
	return beat, err
}

// ProgressRemote is HeartbeatRemote with what the run has given so far: it is shown with the attempt, also when that fails.
func (c *Client) ProgressRemote(ctx context.Context, run RemoteRun, progress any) (*Heartbeat, error) {
	raw, err := json.Marshal(progress)
	if err != nil {
		return nil, fmt.Errorf("client: the progress of %s is no JSON: %w", run.Ref, err)
	}
	beat, _, err := read[Heartbeat](c.api.HeartbeatRemote(ctx, run.Execution, run.Ref, RemoteHeartbeatRequest{Token: run.Token, Progress: raw}))
	return beat, err
}

// CompleteRemote reports the output of a run. It may be called again when the answer got lost.
func (c *Client) CompleteRemote(ctx context.Context, run RemoteRun, output any) (*RemoteResult, error) {
	raw, err := json.Marshal(output)
	if err != nil {
		return nil, fmt.Errorf("client: the output of %s is no JSON: %w", run.Ref, err)
	}
	result, _, err := read[RemoteResult](c.api.CompleteRemote(ctx, run.Execution, run.Ref, RemoteCompleteRequest{Token: run.Token, Output: raw}))
	return result, err
}

// FailRemote reports that a run failed.
func (c *Client) FailRemote(ctx context.Context, run RemoteRun, failure RemoteError) (*RemoteResult, error) {
	result, _, err := read[RemoteResult](c.api.FailRemote(ctx, run.Execution, run.Ref, RemoteFailRequest{Token: run.Token, Error: failure}))
	return result, err
}

// LogRemote adds lines to the log of a run.
func (c *Client) LogRemote(ctx context.Context, run RemoteRun, lines ...RemoteLogLine) error {
	_, _, err := read[struct{}](c.api.LogRemote(ctx, run.Execution, run.Ref, RemoteLogRequest{Token: run.Token, Lines: lines}))
	return err
}

// RemoteHandler runs one run and answers its output. A RemoteError chooses code
// and retryability; any other error is retryable and has code "error". ctx ends
// with the attempt's timeout, when the run is over before its handler is, and
// before its lease can end because no heartbeat came through.
type RemoteHandler func(ctx context.Context, run RemoteRun) (any, error)

const (
	reportTime   = 30 * time.Second
	shortestBeat = 100 * time.Millisecond
)

// WorkRemote polls and runs up to r.Max runs at once until ctx ends; then it
// waits for those that run. A refusal other than a passing one ends it.
func (c *Client) WorkRemote(ctx context.Context, r PollRequest, handle RemoteHandler) error {
	most := max(r.Max, 1)
	slots := make(chan struct{}, most)
	var running sync.WaitGroup
	defer running.Wait()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		<-slots
		r.Max = most - len(slots) // only this loop fills slots
		runs, err := c.PollRemote(ctx, r)
		if err != nil {
			failures++
			switch {
			case ctx.Err() != nil:
				return nil
			case final(ctx, err):
				return err
			case !sleep(ctx, pause(failures, err)):
				return nil
			}
			continue
		}
		failures = 0
		for _, run := range runs {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				c.runRemote(context.WithoutCancel(ctx), run, handle)
			})
		}
	}
}

// runRemote runs one run, gives signs of life meanwhile and reports its end.
func (c *Client) runRemote(ctx context.Context, run RemoteRun, handle RemoteHandler) {
	timeout, err := time.ParseDuration(run.Timeout)
	if err != nil {
		timeout = time.Until(run.Deadline)
	}
	work, stop := context.WithTimeout(ctx, timeout)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		c.beat(work, stop, run)
	}()
	output, failure := handle(work, run)
	over := work.Err() != nil
	stop()
	<-beating
	if over && failure != nil {
		return // its context ended: the server knows that the run is over, or takes it for lost
	}
	report, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	for failures := 1; ; failures++ {
		if failure == nil {
			_, err = c.CompleteRemote(report, run, output)
		} else {
			_, err = c.FailRemote(report, run, remoteError(failure))
		}
		if err == nil || final(report, err) || !sleep(report, pause(failures, err)) {
			return // accepted or refused for good; else the lease ends, and the run is given to another worker
		}
	}
}

// beat gives signs of life until ctx ends, and stops a run that is over or whose
// lease comes close to its end.
func (c *Client) beat(ctx context.Context, stop func(), run RemoteRun) {
	every := max(time.Duration(run.HeartbeatSeconds*float64(time.Second)), shortestBeat)
	for alive := time.Now(); sleep(ctx, every); {
		sent := time.Now()
		call, cancel := context.WithTimeout(ctx, every)
		beat, err := c.HeartbeatRemote(call, run)
		cancel()
		switch {
		case err == nil && !beat.Canceled:
			alive = sent
		case err == nil, Stale(err), time.Since(alive) > 2*every:
			stop()
			return
		}
	}
}

func remoteError(err error) RemoteError {
	if known, ok := errors.AsType[RemoteError](err); ok {
		return known
	}
	return RemoteError{Code: "error", Message: err.Error()}
}
