package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redrive/redrive/client"
)

// follow shows the progress of an execution on w until it has ended: a board
// that is drawn over itself on a terminal, a line for each event elsewhere.
func (s *session) follow(ctx context.Context, x *client.Execution, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	width, height, tty := terminal(w)
	events := make(chan client.Event)
	failed := make(chan error, 1)
	go func() {
		defer close(events)
		for event, err := range s.api.Events(ctx, x.ID, "") {
			if err != nil {
				failed <- err
				return
			}
			select {
			case events <- event:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
		failed <- nil
	}()
	show := shower(&lines{w: w, style: styleFor(w)})
	if tty {
		board, err := s.newBoard(ctx, x, w, width, height)
		if err != nil {
			cancel()
			for range events {
			}
			return err
		}
		show = board
	}
	err := s.pump(events, failed, show)
	return err
}

// shower is what shows progress.
type shower interface {
	apply(e client.Event)
	draw(now time.Time)
	finish(now time.Time)
}

func (s *session) pump(events <-chan client.Event, failed <-chan error, show shower) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case event, open := <-events:
			if !open {
				show.finish(s.program.now())
				return <-failed
			}
			show.apply(event)
		case <-ticker.C:
			show.draw(s.program.now())
		}
	}
}

// lines writes every event as a line, for logs and pipes.
type lines struct {
	w     io.Writer
	style style
}

func (l *lines) apply(e client.Event) {
	what := e.Ref
	if what == "" {
		what = "execution"
	}
	status := statusOf(e)
	if status == "" {
		status = e.Type
	}
	text := fmt.Sprintf("%s  %-30s %s", l.style.dim(e.At.Local().Format("15:04:05.000")), what, l.style.status(status))
	if e.Attempt > 1 {
		text += fmt.Sprintf("  attempt %d", e.Attempt)
	}
	if e.Reason != "" {
		text += "  " + oneLine(e.Reason)
	}
	fmt.Fprintln(l.w, text)
}

func (l *lines) draw(time.Time)   {}
func (l *lines) finish(time.Time) {}

// statusOf is the status that an event leads to, "" when it changes none.
func statusOf(e client.Event) string {
	if e.Status != "" {
		return e.Status
	}
	_, what, _ := strings.Cut(e.Type, ".")
	if what == "started" || what == "resumed" || what == "redriven" {
		return "running"
	}
	if _, known := looks[what]; known {
		return what
	}
	return ""
}
