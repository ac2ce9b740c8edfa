package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
)

// GET /v1/executions/{id}/logs

// Logs is what the log route asks of the engine.
type Logs interface {
	Logs(ctx context.Context, id string, f engine.LogFilter, page engine.Page) ([]engine.LogEntry, string, error)
	// WatchLogs waits for lines behind after, for the end of the execution, or for ctx.
	WatchLogs(ctx context.Context, id string, f engine.LogFilter, after string) (engine.WatchedLog, error)
	ExecutionReader
}

type logs struct {
	engine  Logs
	options Options
	slots   chan struct{}
}

// Follows says that a request for a log wants it as a stream: it asks for that,
// or leaves it open and accepts one.
func Follows(r *http.Request) bool {
	if asked := r.URL.Query().Get("follow"); asked != "" {
		return asked == "true"
	}
	return strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/event-stream")
}

// Negotiate tells the handler of a log what the request accepts.
func Negotiate(next StrictHandlerFunc, operation string) StrictHandlerFunc {
	if operation != "ListLogs" {
		return next
	}
	return func(c *gin.Context, request any) (any, error) {
		if r, ok := request.(ListLogsRequestObject); ok {
			follow := Follows(c.Request)
			r.Params.Follow = &follow
			request = r
		}
		return next(c, request)
	}
}

// ListLogs lists what the tasks of an execution logged, or follows it.
func (h logs) ListLogs(ctx context.Context, r ListLogsRequestObject) (ListLogsResponseObject, error) {
	p := r.Params
	f := engine.LogFilter{Ref: given(p.Task)}
	if p.Attempt != nil {
		f.Attempt = *p.Attempt
	}
	if p.Level != nil {
		f.Level = engine.LogLevel(*p.Level)
	}
	list := placeOf("logs", r.ID, f)
	page, err := list.page(p.Cursor, p.Limit)
	if err != nil {
		return nil, err
	}
	if p.Follow != nil && *p.Follow {
		if p.LastEventID != nil {
			page.Cursor = *p.LastEventID
		}
		return h.follow(ctx, r.ID, f, page.Cursor)
	}
	found, next, err := h.engine.Logs(ctx, r.ID, f, page)
	if err != nil {
		return nil, err
	}
	return ListLogs200JSONResponse{Items: each(found, wireLogEntry), NextCursor: list.next(next)}, nil
}

// follow refuses what cannot be followed before the stream begins.
func (h logs) follow(ctx context.Context, id string, f engine.LogFilter, after string) (ListLogsResponseObject, error) {
	x, err := h.engine.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	s := &logStream{ctx: ctx, logs: h, id: x.ID, filter: f}
	look, cancel := context.WithTimeout(ctx, firstLook)
	defer cancel()
	if s.seen, err = h.engine.WatchLogs(look, s.id, f, after); err != nil && look.Err() == nil {
		return nil, err
	}
	if err := takeSlot(h.slots); err != nil {
		return nil, err
	}
	return s, nil
}

// logStream is the answer: it lives as long as the connection, so it holds the
// context of its request.
type logStream struct {
	logs
	ctx    context.Context
	id     string
	filter engine.LogFilter
	seen   engine.WatchedLog
}

// VisitListLogsResponse writes the stream. It gives its slot back.
func (s *logStream) VisitListLogsResponse(w http.ResponseWriter) error {
	defer func() { <-s.slots }()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(s.options.Stopping, cancel)()
	out := sseWriter{w: w, control: http.NewResponseController(w)}
	if err := out.open(); err != nil {
		return nil // the reader went away: nobody to tell
	}
	for {
		for _, e := range s.seen.Entries {
			out.event(e.Seq, "log", wireLogEntry(e))
		}
		if s.seen.Ended {
			finish(ctx, s.engine, s.id, &out)
			return nil
		}
		if out.flush() != nil || ctx.Err() != nil {
			return nil
		}
		if err := s.next(ctx, &out); err != nil {
			if ctx.Err() == nil {
				s.options.Logger.WarnContext(ctx, "log stream broke", slog.String("execution", s.id), slog.Any("error", err))
			}
			return nil
		}
	}
}

// next waits for lines; a silent wait puts a comment on the stream.
func (s *logStream) next(ctx context.Context, out *sseWriter) error {
	wait, cancel := context.WithTimeout(ctx, s.options.Heartbeat)
	defer cancel()
	seen, err := s.engine.WatchLogs(wait, s.id, s.filter, s.seen.Next)
	if err != nil && (wait.Err() == nil || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		out.comment("heartbeat")
		seen.Entries, seen.Ended = nil, false
	}
	s.seen = seen
	return nil
}

func wireLogEntry(e engine.LogEntry) LogEntry {
	return LogEntry{Seq: e.Seq, At: e.At, Level: LogLevel(e.Level), Ref: e.Ref, Attempt: e.Attempt, Message: e.Message}
}
