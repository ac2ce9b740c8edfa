package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
)

// GET /v1/executions/{id}/events

const (
	firstLook = 100 * time.Millisecond // for what happened so far, or a refusal
	slowest   = 10 * time.Second       // a reader that takes nothing for this long is dropped
)

type events struct {
	engine  Histories
	options Options
	slots   chan struct{}
}

// StreamEvents follows an execution until it has ended. What cannot be
// followed is refused before the stream begins.
func (h events) StreamEvents(ctx context.Context, r StreamEventsRequestObject) (StreamEventsResponseObject, error) {
	x, err := h.engine.Execution(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	s := &eventStream{ctx: ctx, events: h, id: x.ID, after: given(r.Params.After)}
	if r.Params.LastEventID != nil {
		s.after = *r.Params.LastEventID
	}
	look, cancel := context.WithTimeout(ctx, firstLook)
	defer cancel()
	if s.first, s.ended, err = h.engine.Watch(look, s.id, s.after); err != nil && look.Err() == nil {
		return nil, err
	}
	if err := takeSlot(h.slots); err != nil {
		return nil, err
	}
	return s, nil
}

// takeSlot bounds the streams that are open at once.
func takeSlot(slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
		p := problem.New(http.StatusServiceUnavailable, "too_many_streams", "%d streams are open already: try again, or poll the list", cap(slots))
		p.RetryAfter = 5
		return p
	}
}

// eventStream is the answer: it lives as long as the connection, so it holds
// the context of its request.
type eventStream struct {
	events
	ctx   context.Context
	id    string
	after string
	first []engine.Event
	ended bool
}

// VisitStreamEventsResponse writes the stream. It gives its slot back.
func (s *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	defer func() { <-s.slots }()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(s.options.Stopping, cancel)()
	out := sseWriter{w: w, control: http.NewResponseController(w)}
	if err := out.open(); err != nil {
		return nil // the reader went away: nobody to tell
	}
	found, ended := s.first, s.ended
	for {
		for _, e := range found {
			out.event(e.Seq, e.Type, wireEvent(e))
			s.after = e.Seq
		}
		if ended && len(found) == 0 {
			finish(ctx, s.engine, s.id, &out)
			return nil
		}
		if out.flush() != nil || ctx.Err() != nil {
			return nil
		}
		var err error
		if found, ended, err = s.next(ctx, &out); err != nil {
			if ctx.Err() == nil {
				s.options.Logger.WarnContext(ctx, "event stream broke", slog.String("execution", s.id), slog.Any("error", err))
			}
			return nil
		}
	}
}

// next waits for events; a silent wait puts a comment on the stream.
func (s *eventStream) next(ctx context.Context, out *sseWriter) ([]engine.Event, bool, error) {
	wait, cancel := context.WithTimeout(ctx, s.options.Heartbeat)
	defer cancel()
	found, ended, err := s.engine.Watch(wait, s.id, s.after)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		out.comment("heartbeat")
		return nil, false, nil
	}
	return found, ended, err
}

// finish tells the end and the status the execution ended with.
func finish(ctx context.Context, e ExecutionReader, id string, out *sseWriter) {
	x, err := e.Execution(ctx, id)
	if err != nil {
		return // the reader connects again and hears why
	}
	out.event("", "end", map[string]string{"id": x.ID, "status": string(x.Status)})
	_ = out.flush() // the stream is over either way
}

// sseWriter collects server-sent events and writes them in one go.
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
}

// open sends the head and lifts the deadlines of the server, which are for
// requests that end.
func (o *sseWriter) open() error {
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	_ = o.control.SetReadDeadline(time.Time{}) // not every writer has deadlines
	o.w.WriteHeader(http.StatusOK)
	o.comment("follow")
	return o.flush()
}

func (o *sseWriter) event(id, kind string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		return // plain structs and strings: cannot happen
	}
	if id != "" {
		fmt.Fprintf(&o.buffer, "id: %s\n", id)
	}
	fmt.Fprintf(&o.buffer, "event: %s\ndata: %s\n\n", kind, text)
}

func (o *sseWriter) comment(text string) { fmt.Fprintf(&o.buffer, ": %s\n\n", text) }

func (o *sseWriter) flush() error {
	if o.buffer.Len() == 0 {
		return nil
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(slowest)) // not every writer has deadlines
	if _, err := o.buffer.WriteTo(o.w); err != nil {
		return err
	}
	return o.control.Flush()
}
