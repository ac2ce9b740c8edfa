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
	size := func(ref string) int {
		task, err := s.api.Task(ctx, x.ID, ref)
		if err != nil {
			return 0 // what is known is shown
		}
		return task.Size
	}
	asks := func(ref string) string {
		task, err := s.api.Task(ctx, x.ID, ref)
		if err != nil || task.Status != client.TaskStatusWaiting || !isOpen(*task) {
			return "" // it goes on by itself, or did
		}
		return "answer it: " + answerTo(*x, *task)
	}
	show := shower(&lines{w: w, style: styleFor(w), size: size, asks: asks, tallies: map[string]*tally{}, before: x.Redrives})
	if tty {
		board, err := s.newBoard(ctx, x, w, width, height)
		if err != nil {
			cancel()
			for range events {
			}
			return err
		}
		board.size, board.asks = size, asks
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

// Events of redrives: one began; a task was reached again, and would have seen what it saw before.
const (
	redriven = "execution.redriven"
	kept     = "task.kept"
)

// lines writes events as lines, for logs and pipes; of many inside a for_each or
// a loop only how far it is, and what is in trouble. What was before the last
// redrive was told before.
type lines struct {
	w       io.Writer
	style   style
	size    func(ref string) int
	asks    func(ref string) string // how to answer a task that waits; "" where it waits for nobody
	tallies map[string]*tally
	before  int // redrives to come until anything is written
}

func (l *lines) apply(e client.Event) {
	status := statusOf(e)
	unit := unitOf(e.Ref)
	if e.Type == redriven {
		l.before--
	}
	if l.before > 0 {
		if unit != "" {
			l.tally(unit).see(e.Ref, status)
		}
		return
	}
	if unit == "" {
		progress := ""
		if t := l.tallies[e.Ref]; t != nil && isEnded(status) {
			t.measure(e.Ref, l.size)
			progress = t.String()
		}
		l.write(e, e.Ref, status, progress)
		return
	}
	t := l.tally(unit)
	t.see(e.Ref, status)
	switch {
	case t.lines < fewLines:
		t.lines++
		l.write(e, e.Ref, status, "")
	case isTrouble(status) && t.trouble < mostTrouble:
		t.trouble++
		l.write(e, e.Ref, status, "")
	case e.At.Sub(t.shown) >= time.Second:
		t.shown = e.At
		t.measure(unit, l.size)
		l.write(client.Event{At: e.At}, unit, "running", t.String())
	}
}

func (l *lines) tally(unit string) *tally {
	t := l.tallies[unit]
	if t == nil {
		t = newTally()
		l.tallies[unit] = t
	}
	return t
}

func (l *lines) write(e client.Event, what, status, progress string) {
	if what == "" {
		what = "execution"
	}
	switch {
	case e.Type == kept:
		status = "kept"
	case status == "":
		status = e.Type
	}
	text := fmt.Sprintf("%s  %-30s %s", l.style.dim(e.At.Local().Format("15:04:05.000")), what, l.style.status(status))
	if progress != "" {
		text += " " + progress
	}
	if e.Attempt > 1 {
		text += fmt.Sprintf("  attempt %d", e.Attempt)
	}
	if e.Reason != "" {
		text += "  " + oneLine(e.Reason)
	}
	if status == string(client.TaskStatusWaiting) && e.Ref != "" {
		if asks := l.asks(e.Ref); asks != "" {
			text += "  " + asks
		}
	}
	fmt.Fprintln(l.w, text)
}

func (l *lines) draw(time.Time)   {}
func (l *lines) finish(time.Time) {}

// statusOf is the status that an event leads to, "" when it changes none.
func statusOf(e client.Event) string {
	if e.Type == kept {
		return "succeeded"
	}
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
