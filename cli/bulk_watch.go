package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/redrive/redrive/client"
)

const (
	bulkLook  = 300 * time.Millisecond
	bulkQuiet = 10 * time.Second // between lines, where there is no terminal
	bulkStill = 10 * time.Second // without an outcome: what is in flight of a held one waits, or takes long

	bulkAnswer   = 10 * time.Second // of the server, to one question
	bulkAgain    = time.Second      // between questions while there is no answer
	bulkPatience = 30 * time.Second // without any
)

// followBulk shows how far a bulk operation is until nothing more of it happens by itself, and says how it ended.
func (s *session) followBulk(ctx context.Context, b *client.Bulk) error {
	show := newBulkProgress(s, s.err)
	var flying int
	var since time.Time
	for {
		now := s.program.now()
		show.see(*b, now)
		if b.State != client.BulkHeld || b.InFlight != flying || since.IsZero() {
			flying, since = b.InFlight, now
		}
		if b.EndedAt != nil || b.State == client.BulkHeld && (b.InFlight == 0 || now.Sub(since) >= bulkStill) {
			break
		}
		next, err := s.nextBulk(ctx, b.ID, show)
		if err != nil {
			show.end()
			return s.detached(ctx, b.ID, err)
		}
		b = next
	}
	show.end()
	s.printer.now = s.program.now()
	if err := s.printBulk(*b); err != nil {
		return err
	}
	return s.bulkOutcome(*b)
}

// nextBulk reads a bulk operation after a moment. Where there is no answer it says so, and asks again for a while.
func (s *session) nextBulk(ctx context.Context, id string, show *bulkProgress) (*client.Bulk, error) {
	var silent time.Time // since when there was no answer
	for pause := bulkLook; ; pause = bulkAgain {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		b, err := s.readBulk(ctx, id)
		now := s.program.now()
		switch {
		case err == nil:
			if !silent.IsZero() {
				show.say("The server answers again.")
			}
			return b, nil
		case ctx.Err() != nil || !passing(err):
			return nil, err
		case silent.IsZero():
			silent = now
			show.say(fmt.Sprintf("No answer (%s). It is asked again for %s.", oneLine(err.Error()), bulkPatience))
		case now.Sub(silent) >= bulkPatience:
			return nil, fmt.Errorf("no answer for %s: %w", bulkPatience, err)
		}
	}
}

func (s *session) readBulk(ctx context.Context, id string) (*client.Bulk, error) {
	ctx, cancel := context.WithTimeout(ctx, bulkAnswer)
	defer cancel()
	return s.api.Bulk(ctx, s.project, id)
}

// passing reports whether the same question may get an answer a little later.
func passing(err error) bool {
	var refusal *client.Error
	if !errors.As(err, &refusal) {
		return true // of the network
	}
	return refusal.Status >= http.StatusInternalServerError || refusal.Status == http.StatusTooManyRequests
}

// detached says how to see the rest of a bulk operation that is no longer watched.
func (s *session) detached(ctx context.Context, id string, err error) error {
	hint := "The bulk operation goes on. Watch it: redrive bulk watch " + id
	if ctx.Err() != nil {
		fmt.Fprintln(s.err, hint)
		return ctx.Err()
	}
	f := asFailure(err)
	if f.code == exitNotFound {
		return f
	}
	f.next = strings.TrimPrefix(f.next+"\n"+hint, "\n")
	return f
}

// bulkOutcome turns the end of a bulk operation into an exit code.
func (s *session) bulkOutcome(b client.Bulk) error {
	left := b.Total - b.Succeeded
	if b.State == client.BulkHeld {
		if b.InFlight > 0 {
			fmt.Fprintf(s.err, "In flight still: %s. Watch them: redrive bulk watch %s\n", grouped(b.InFlight), b.ID)
		}
		if b.Failed > 0 {
			fmt.Fprintf(s.err, "It is held. Look: redrive bulk report %s --outcome failed\nThen: redrive bulk continue %s, or redrive bulk abort %s\n", b.ID, b.ID, b.ID)
		} else {
			fmt.Fprintf(s.err, "It is held. Go on: redrive bulk continue %s, or redrive bulk abort %s\n", b.ID, b.ID)
		}
	} else if b.Failed > 0 {
		fmt.Fprintf(s.err, "Look: redrive bulk report %s --outcome failed\n", b.ID)
	} else if b.Skipped > 0 {
		fmt.Fprintf(s.err, "Look: redrive bulk report %s --outcome skipped\n", b.ID)
	}
	if left == 0 {
		return nil
	}
	f := &failure{code: exitPartial, err: fmt.Errorf("%s of %s did not succeed", grouped(left), executions(b.Total)), quiet: s.format == formatTable || s.format == formatWide}
	if b.Succeeded == 0 {
		f.code = exitUnsuccess
	}
	return f
}

// bulkProgress is a bar that is drawn over itself on a terminal, and a line now and then elsewhere.
type bulkProgress struct {
	w     io.Writer
	style style
	width int // 0 = no terminal
	began time.Time
	first int // outcomes when it began to be watched
	state client.BulkState
	told  time.Time
	drawn bool
}

func newBulkProgress(s *session, w io.Writer) *bulkProgress {
	p := &bulkProgress{w: w, style: styleFor(w)}
	if width, _, is := terminal(w); is {
		p.width = width
	}
	return p
}

func (p *bulkProgress) see(b client.Bulk, now time.Time) {
	done := b.Succeeded + b.Failed + b.Skipped
	if p.began.IsZero() {
		p.began, p.first = now, done
	}
	text := p.text(b, now)
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.bar(b, text))
		p.drawn = true
		return
	}
	if b.State != p.state || now.Sub(p.told) >= bulkQuiet {
		p.state, p.told = b.State, now
		fmt.Fprintln(p.w, text)
	}
}

// text says how many are done, how fast it goes and how long it will take.
func (p *bulkProgress) text(b client.Bulk, now time.Time) string {
	done := b.Succeeded + b.Failed + b.Skipped
	text := fmt.Sprintf("%s  %s/%s  done %s  failed %s", b.State, grouped(done), grouped(b.Total), grouped(b.Succeeded), grouped(b.Failed))
	if b.Skipped > 0 {
		text += "  skipped " + grouped(b.Skipped)
	}
	if b.InFlight > 0 {
		text += "  in flight " + grouped(b.InFlight)
	}
	passed := now.Sub(p.began).Seconds()
	if rate := float64(done-p.first) / passed; passed >= 1 && rate > 0 {
		left := time.Duration(float64(b.Total-done) / rate * float64(time.Second))
		text += fmt.Sprintf("  %.1f/s", rate)
		if b.Total > done && b.State != client.BulkHeld {
			text += "  " + short(left) + " left"
		}
	}
	return text
}

func (p *bulkProgress) bar(b client.Bulk, text string) string {
	const widest = 30
	room := min(widest, p.width-len(text)-4)
	if room < 5 || b.Total == 0 {
		return text[:min(len(text), p.width-1)]
	}
	full := room * (b.Succeeded + b.Failed + b.Skipped) / b.Total
	return "[" + p.style.paint(green, strings.Repeat("#", full)) + strings.Repeat(".", room-full) + "] " + text
}

// say writes a line that stays.
func (p *bulkProgress) say(line string) {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
	fmt.Fprintln(p.w, line)
}

func (p *bulkProgress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
}
