// Package monitoring is the door to asynq's dashboard. The dashboard knows
// nothing of workflows: pressing "run" on the archived job of a failed attempt
// would only repeat a delivery that is over. This door hears it first and
// asks the engine to retry the task, in the name of who pressed. Everything
// else passes through to asynqmon.
package monitoring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
)

// Root is where the dashboard lives.
const Root = "/monitoring"

// Retrier retries the task of a job.
type Retrier interface {
	// RetryJob is asked when somebody pressed "run" on the archived job of a failed attempt.
	RetryJob(ctx context.Context, f engine.Fence, by string) error
}

// Handler serves the dashboard and its API below Root.
type Handler struct {
	ui        *asynqmon.HTTPHandler
	client    redis.UniversalClient
	inspector *asynq.Inspector
	retrier   Retrier
	log       *slog.Logger
	fail      func(http.ResponseWriter, *http.Request, error)
}

// New makes the dashboard over the Redis of conn. fail writes an error as the
// rest of the server does.
func New(conn asynq.RedisConnOpt, r Retrier, log *slog.Logger, fail func(http.ResponseWriter, *http.Request, error)) (*Handler, error) {
	client, ok := conn.MakeRedisClient().(redis.UniversalClient)
	if !ok {
		return nil, fmt.Errorf("monitoring: %T makes no Redis client", conn)
	}
	return &Handler{
		ui: asynqmon.New(asynqmon.Options{
			RootPath: Root, RedisConnOpt: conn,
			PayloadFormatter: asynqmon.PayloadFormatterFunc(formatPayload),
		}),
		client:    client,
		inspector: asynq.NewInspectorFromRedisClient(client),
		retrier:   r, log: log, fail: fail,
	}, nil
}

// Close closes the connections to Redis.
func (h *Handler) Close() error {
	return errors.Join(h.ui.Close(), h.client.Close())
}

var (
	runOne   = regexp.MustCompile(`^` + Root + `/api/queues/([^/]+)/(archived|retry|scheduled)_tasks/([^/]+):run$`)
	runBatch = regexp.MustCompile(`^` + Root + `/api/queues/([^/]+)/(archived|retry|scheduled)_tasks:batch_run$`)
	runAll   = regexp.MustCompile(`^` + Root + `/api/queues/([^/]+)/archived_tasks:run_all$`)
)

// ServeHTTP takes the run actions to the engine and hands on the rest.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The page has scripts and styles inside; the fonts it would like to load
	// from elsewhere are not needed.
	w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	if r.Method == http.MethodPost {
		if m := runOne.FindStringSubmatch(r.URL.Path); m != nil {
			h.one(w, r, m[1], m[3])
			return
		}
		if m := runBatch.FindStringSubmatch(r.URL.Path); m != nil {
			h.batch(w, r, m[1])
			return
		}
		if m := runAll.FindStringSubmatch(r.URL.Path); m != nil {
			h.all(w, r, m[1])
			return
		}
	}
	h.ui.ServeHTTP(w, r)
}

func (h *Handler) one(w http.ResponseWriter, r *http.Request, queue, id string) {
	fence, ours := h.archived(queue, id)
	if !ours {
		h.ui.ServeHTTP(w, r)
		return
	}
	if err := h.retrier.RetryJob(r.Context(), fence, by(r)); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// archived tells whether the job is the archived job of one of our attempts.
// A job of ours that waits is left to asynq: running it early is harmless, for
// the claim decides.
func (h *Handler) archived(queue, id string) (engine.Fence, bool) {
	fence, err := engine.ParseJobID(id)
	if err != nil || uuid.Validate(fence.Execution) != nil {
		return fence, false
	}
	info, err := h.inspector.GetTaskInfo(queue, id)
	return fence, err == nil && info.State == asynq.TaskStateArchived
}

// run retries a job of ours and runs any other.
func (h *Handler) run(r *http.Request, queue, id string) error {
	fence, ours := h.archived(queue, id)
	if ours {
		return h.retrier.RetryJob(r.Context(), fence, by(r))
	}
	return h.inspector.RunTask(queue, id)
}

func by(r *http.Request) string { return auth.From(r.Context()).By() + " via monitoring" }

// formatPayload shows a payload as indented JSON, or what it is instead.
func formatPayload(_ string, payload []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, payload, "", "  ") == nil {
		return out.String()
	}
	if utf8.Valid(payload) {
		return string(payload)
	}
	return fmt.Sprintf("%d bytes, not text", len(payload))
}
