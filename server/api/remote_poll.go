package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// POST /v1/remote/poll

// Remote is what the routes of remote workers ask of the engine.
type Remote interface {
	// Poll claims work; nothing when ctx ended first. What it answers is given
	// back with GiveBack when it does not reach the worker.
	Poll(ctx context.Context, q engine.Poll) ([]engine.RemoteRun, error)
	GiveBack(ctx context.Context, runs []engine.RemoteRun)
	RemoteProgress(ctx context.Context, id, ref, token string, progress json.RawMessage) error
	RemoteHeartbeat(ctx context.Context, id, ref, token string) (engine.Beat, error)
	RemoteComplete(ctx context.Context, id, ref, token string, output json.RawMessage) (engine.RemoteResult, error)
	RemoteFail(ctx context.Context, id, ref, token string, failure workflow.Error) (engine.RemoteResult, error)
	RemoteLog(ctx context.Context, id, ref, token string, lines []engine.LogLine) error
}

const (
	// pollGrace is how much longer than its wait a poll may take to claim and to answer.
	pollGrace = 30 * time.Second
	// giveBackTime bounds giving back what a worker did not get.
	giveBackTime = 10 * time.Second
)

type remote struct {
	engine  Remote
	options Options
	slots   chan struct{}
}

// PollRemote waits for work. The waiting happens while the answer is written,
// where the deadlines of the connection can be moved.
func (h remote) PollRemote(ctx context.Context, r PollRemoteRequestObject) (PollRemoteResponseObject, error) {
	q := engine.Poll{Worker: r.Body.Worker, Types: r.Body.Types, Queues: r.Body.Queues, Max: r.Body.Max}
	wait, wrong := duration("wait", r.Body.Wait, "0s to "+engine.MaxPollWait.String())
	lease, alsoWrong := duration("lease", r.Body.Lease, engine.MinRemoteLease.String()+" to "+engine.MaxRemoteLease.String())
	if wrong = append(wrong, alsoWrong...); len(wrong) > 0 {
		return nil, problem.Invalid(invalidRequest, "the body has fields that cannot be used", wrong...)
	}
	q.Wait, q.Lease = wait, lease
	if p := auth.From(ctx); p.Limited() {
		q.Projects, q.Key = p.Projects, p.ID
	}
	select {
	case h.slots <- struct{}{}:
		return &poll{remote: h, ctx: ctx, query: q}, nil
	default:
		p := problem.New(http.StatusServiceUnavailable, "too_many_pollers", "%d workers poll here already: try again, or ask another server", h.options.Pollers)
		p.RetryAfter = 5
		return nil, p
	}
}

// duration reads a duration of a body; "" is 0.
func duration(field, text, allowed string) (time.Duration, workflow.Problems) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, workflow.Problems{{Field: field, Code: "format", Message: fmt.Sprintf("%q is not a duration", text), Allowed: allowed + ", written as 30s or 1m30s"}}
	}
	return d, nil
}

// poll is the answer: it lives as long as the connection, so it holds the
// context of its request.
type poll struct {
	remote
	ctx   context.Context
	query engine.Poll
}

// VisitPollRemoteResponse waits and answers. It gives its slot back, and what
// could not be written back to the others.
func (p *poll) VisitPollRemoteResponse(w http.ResponseWriter) error {
	defer func() { <-p.slots }()
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(p.query.Wait + pollGrace)) // not every writer has deadlines
	wait, cancel := context.WithCancel(p.ctx)
	defer cancel()
	defer context.AfterFunc(p.options.Stopping, cancel)() // a server that stops lets its pollers go
	runs, err := p.engine.Poll(wait, p.query)
	if err != nil {
		return err
	}
	err = p.ctx.Err()
	if err == nil {
		err = PollRemote200JSONResponse{Items: each(runs, wireRemoteRun)}.VisitPollRemoteResponse(w)
	}
	if err == nil && len(runs) > 0 {
		if err = control.Flush(); err == nil {
			err = p.ctx.Err()
		}
	}
	if err != nil && len(runs) > 0 {
		p.options.Logger.WarnContext(p.ctx, "a worker went away before it got its runs; they are given back",
			slog.String("worker", p.query.Worker), slog.Int("runs", len(runs)), slog.Any("error", err))
		// Detached: the request is over, and others wait for these runs.
		back, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), giveBackTime)
		defer cancel()
		p.engine.GiveBack(back, runs)
	}
	return nil
}

func wireRemoteRun(r engine.RemoteRun) RemoteRun {
	return RemoteRun{
		Token: r.Token, Execution: r.Execution, Number: r.Number, Project: r.Project, Workflow: r.Workflow,
		Ref: r.Ref, Type: r.At.Type, Attempt: r.Attempt, Try: r.Try, Dispatch: r.Dispatch, Input: r.Input,
		Timeout: r.At.Timeout.String(), Lease: r.Lease.String(), HeartbeatSeconds: (r.Lease / 3).Seconds(),
		StartedAt: r.StartedAt.UTC(), Deadline: r.Deadline, IdempotencyKey: r.IdempotencyKey,
	}
}
