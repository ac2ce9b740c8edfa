package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redrive/redrive/client"
)

const (
	bulkLook  = 300 * time.Millisecond
	bulkQuiet = 10 * time.Second // between lines, where there is no terminal
	bulkStill = 10 * time.Second // without an outcome: what is in flight of a held one waits, or takes long
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
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(bulkLook):
			b, err = s.api.Bulk(ctx, s.project, b.ID)
		}
		if err != nil {
			show.end()
			if ctx.Err() != nil {
				fmt.Fprintf(s.err, "The bulk operation goes on. Watch it: redrive bulk watch %s\n", show.id)
				return ctx.Err()
			}
			return err
		}
	}
	show.end()
	s.printer.now = s.program.now()
	if err := s.printBulk(*b); err != nil {
		return err
	}
	return s.bulkOutcome(*b)
}

// bulkOutcome turns the end of a bulk operation into an exit code.
func (s *session) bulkOutcome(b client.Bulk) error {
	left := b.Total - b.Succeeded
	if b.State == client.BulkHeld {
		fmt.Fprintf(s.err, "It is held. Look: redrive bulk report %s --outcome failed\nThen: redrive bulk continue %s, or redrive bulk abort %s\n", b.ID, b.ID, b.ID)
	} else if b.Failed+b.Skipped > 0 {
		fmt.Fprintf(s.err, "Look: redrive bulk report %s --outcome failed\n", b.ID)
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
	id    string
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
	if p.id == "" {
		p.id, p.began, p.first = b.ID, now, done
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

func (p *bulkProgress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
}
