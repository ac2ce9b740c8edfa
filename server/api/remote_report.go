package api

import (
	"context"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// POST /v1/remote/{execution}/{ref}/heartbeat
// POST /v1/remote/{execution}/{ref}/complete
// POST /v1/remote/{execution}/{ref}/fail
// POST /v1/remote/{execution}/{ref}/log

// HeartbeatRemote extends the lease of a run, and keeps what it has given so far: in this order, so that progress
// which cannot be kept costs no run its lease.
func (h remote) HeartbeatRemote(ctx context.Context, r HeartbeatRemoteRequestObject) (HeartbeatRemoteResponseObject, error) {
	beat, err := h.engine.RemoteHeartbeat(ctx, r.Execution, r.Ref, r.Body.Token)
	if err != nil {
		return nil, err
	}
	if len(r.Body.Progress) > 0 && !beat.Canceled {
		if err := h.engine.RemoteProgress(ctx, r.Execution, r.Ref, r.Body.Token, r.Body.Progress); err != nil {
			return nil, err
		}
	}
	return HeartbeatRemote200JSONResponse{Canceled: beat.Canceled, Lease: beat.Lease.Round(time.Millisecond).String()}, nil
}

// CompleteRemote takes the output of a run.
func (h remote) CompleteRemote(ctx context.Context, r CompleteRemoteRequestObject) (CompleteRemoteResponseObject, error) {
	result, err := h.engine.RemoteComplete(ctx, r.Execution, r.Ref, r.Body.Token, r.Body.Output)
	if err != nil {
		return nil, err
	}
	return CompleteRemote200JSONResponse(wireRemoteResult(result)), nil
}

// FailRemote takes the failure of a run.
func (h remote) FailRemote(ctx context.Context, r FailRemoteRequestObject) (FailRemoteResponseObject, error) {
	e := r.Body.Error
	failure := workflow.Error{Code: e.Code, Message: e.Message, Retryable: e.Retryable == nil || *e.Retryable, Fingerprint: e.Fingerprint}
	result, err := h.engine.RemoteFail(ctx, r.Execution, r.Ref, r.Body.Token, failure)
	if err != nil {
		return nil, err
	}
	return FailRemote200JSONResponse(wireRemoteResult(result)), nil
}

// oldestLine is how long ago a line may say that it was written: workers' clocks go wrong.
const oldestLine = time.Hour

// LogRemote keeps lines of a run's log.
func (h remote) LogRemote(ctx context.Context, r LogRemoteRequestObject) (LogRemoteResponseObject, error) {
	now := time.Now()
	lines := each(r.Body.Lines, func(l RemoteLogLine) engine.LogLine {
		line := engine.LogLine{Level: engine.LogLevel(l.Level), Message: l.Message}
		if line.Level == "" {
			line.Level = engine.LogInfo
		}
		if l.Time != nil {
			line.Ago = min(max(now.Sub(*l.Time), 0), oldestLine)
		}
		return line
	})
	if err := h.engine.RemoteLog(ctx, r.Execution, r.Ref, r.Body.Token, lines); err != nil {
		return nil, err
	}
	return LogRemote204Response{}, nil
}

func wireRemoteResult(r engine.RemoteResult) RemoteResult {
	return RemoteResult{Status: TaskStatus(r.Status), Error: wireError(r.Error)}
}
