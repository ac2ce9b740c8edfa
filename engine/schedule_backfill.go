package engine

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// The bounds of a backfill.
const (
	maxBackfillTicks   = 10_000
	maxBackfillRunning = 100
	previewedTimes     = 100
)

// PreviewBackfill answers what a backfill would start, and starts nothing.
func (e *Engine) PreviewBackfill(ctx context.Context, project, name string, r BackfillRequest) (*BackfillPreview, error) {
	s, now, err := e.readSchedule(ctx, project, name)
	if err != nil {
		return nil, err
	}
	if _, err := e.checkBackfill(ctx, s, r, now); err != nil {
		return nil, err
	}
	p := &BackfillPreview{Count: s.times.Count(r.From, r.To, maxBackfillTicks), Times: []time.Time{}}
	after := r.From.Add(-time.Nanosecond)
	p.Last = s.times.Last(after, r.To.Add(-time.Nanosecond))
	for t := s.times.Next(after); !t.IsZero() && t.Before(r.To) && len(p.Times) < previewedTimes; t = s.times.Next(t) {
		p.Times = append(p.Times, t)
	}
	return p, nil
}

// StartBackfill runs the ticks of a range of the past, whether the schedule is enabled or not.
func (e *Engine) StartBackfill(ctx context.Context, project, name string, r BackfillRequest) (*Backfill, error) {
	var id int
	shown, err := e.changeSchedule(ctx, project, name, func(s *schedule, now time.Time) error {
		b, err := e.checkBackfill(ctx, s, r, now)
		if err != nil {
			return err
		}
		if b.Count == 0 {
			return Invalid("backfill_invalid", "the backfill cannot be started", workflow.Problem{
				Field: "to", Code: workflow.CodeOutOfRange, Message: fmt.Sprintf("the range holds no tick of %q in %s", s.spec.Cron, s.spec.TimeZone),
				Allowed: "a range with at least one tick",
			})
		}
		alive := 0
		for _, other := range s.state.Backfills {
			if !other.over() {
				alive++
			}
		}
		if alive >= backfillsAlive {
			return Conflict("too_many_backfills", "%d backfills of schedule %s have not ended, which is the most; wait for one or cancel one", alive, name)
		}
		s.state.LastBackfill++
		id = s.state.LastBackfill
		b.ID = id
		s.state.Backfills = append(s.state.Backfills, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return findBackfill(shown, id)
}

// CancelBackfill starts nothing more of a backfill; what runs goes on.
func (e *Engine) CancelBackfill(ctx context.Context, project, name string, id int) (*Backfill, error) {
	shown, err := e.changeSchedule(ctx, project, name, func(s *schedule, now time.Time) error {
		b := s.backfill(id)
		if b == nil {
			return NotFound("backfill", fmt.Sprint(id))
		}
		if b.Status == BackfillRunning {
			b.end(BackfillCanceled, now)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return findBackfill(shown, id)
}

func findBackfill(s *Schedule, id int) (*Backfill, error) {
	for i := range s.Backfills {
		if s.Backfills[i].ID == id {
			return &s.Backfills[i], nil
		}
	}
	return nil, NotFound("backfill", fmt.Sprint(id))
}

func (e *Engine) checkBackfill(ctx context.Context, s *schedule, r BackfillRequest, now time.Time) (Backfill, error) {
	c := &scheduleCheck{}
	b := Backfill{
		Status: BackfillRunning, From: r.From.UTC(), To: r.To.UTC(), MaxRunning: r.MaxRunning, Attempt: r.Attempt, By: r.By,
		Cron: s.spec.Cron, TimeZone: s.spec.TimeZone, CreatedAt: now.UTC(),
	}
	if b.MaxRunning == 0 {
		b.MaxRunning = 1
	}
	if b.MaxRunning < 1 || b.MaxRunning > maxBackfillRunning {
		c.add("max_running", workflow.CodeOutOfRange, fmt.Sprintf("is %d", b.MaxRunning), fmt.Sprintf("1 to %d", maxBackfillRunning))
	}
	switch {
	case !r.From.Before(r.To):
		c.add("to", workflow.CodeOutOfRange, "is not after from", "a time after from; ticks at from are in, ticks at to are not")
	case r.To.After(now):
		c.add("to", workflow.CodeOutOfRange, "is in the future", "a time that has passed: ticks to come are the schedule's own")
	default:
		b.Count = s.times.Count(r.From, r.To, maxBackfillTicks+1)
		if b.Count > maxBackfillTicks {
			c.add("to", workflow.CodeOutOfRange, fmt.Sprintf("the range holds more than %d ticks", maxBackfillTicks), fmt.Sprintf("at most %d ticks; make several backfills", maxBackfillTicks))
		}
	}
	if len(b.Attempt) > maxAttemptBytes {
		c.add("attempt", "too_long", fmt.Sprintf("has %d bytes", len(b.Attempt)), fmt.Sprintf("at most %d", maxAttemptBytes))
	}
	input := s.spec.Input
	if given := bytes.TrimSpace(r.Input); len(given) > 0 && !bytes.Equal(given, []byte("null")) {
		b.Input, input = given, given
	}
	if err := e.checkStarts(ctx, c, s, input, "input"); err != nil {
		return b, err
	}
	if len(c.problems) > 0 {
		return b, Invalid("backfill_invalid", "the backfill cannot be started", c.problems...)
	}
	return b, nil
}
