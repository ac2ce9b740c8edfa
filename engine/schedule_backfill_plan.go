package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow/cron"
)

// next is the next tick of a backfill, zero when all were started.
func (b Backfill) next() time.Time {
	times, err := cron.Of(b.Cron, b.TimeZone)
	if err != nil {
		return time.Time{} // they were read when the backfill was made
	}
	after := b.From.Add(-time.Nanosecond)
	if b.Cursor != nil {
		after = *b.Cursor
	}
	if tick := times.Next(after); tick.Before(b.To) {
		return tick
	}
	return time.Time{}
}

func (b *Backfill) end(status BackfillStatus, now time.Time) {
	b.Status, b.EndedAt = status, &now
}

func (b Backfill) mayStart() bool {
	return b.Status == BackfillRunning && len(b.Running) < b.MaxRunning && !b.next().IsZero()
}

// over is true when nothing of it runs or will.
func (b Backfill) over() bool { return b.Status != BackfillRunning && len(b.Running) == 0 }

// planBackfills begins the start of the next tick of a backfill that may start one.
func (s *schedule) planBackfills() {
	for i := range s.state.Backfills {
		b := &s.state.Backfills[i]
		if !b.mayStart() {
			continue
		}
		tick := b.next()
		key := fmt.Sprintf("schedule:%d:backfill:%d:%d", s.record.Number, b.ID, tick.Unix())
		input := s.spec.Input
		if b.Input != nil {
			input = b.Input
		}
		o := s.order(tick, key, input)
		o.Labels[LabelBackfill] = fmt.Sprintf("%s-%d", s.record.Name, b.ID)
		o.Attempt = cmp.Or(b.Attempt, fmt.Sprintf("%s-backfill-%d", o.Attempt, b.ID))
		o.By = cmp.Or(b.By, o.By)
		s.state.Firing = &firing{Time: tick, Backfill: b.ID, Order: o}
		return
	}
}

func (s *schedule) backfill(id int) *Backfill {
	for i := range s.state.Backfills {
		if s.state.Backfills[i].ID == id {
			return &s.state.Backfills[i]
		}
	}
	return nil
}

func (s *schedule) settleBackfill(f *firing, run ScheduleRun, failure error) {
	b := s.backfill(f.Backfill)
	if b == nil {
		return
	}
	b.Cursor = &f.Time
	if failure != nil {
		b.NotStarted++
		b.LastError = clipped(failure.Error())
		return
	}
	b.Started++
	b.Running = append(b.Running, run)
}

// forgetBackfills keeps the latest of those that are over.
func (s *schedule) forgetBackfills() {
	left := 0
	for _, b := range s.state.Backfills {
		if b.over() {
			left++
		}
	}
	s.state.Backfills = slices.DeleteFunc(s.state.Backfills, func(b Backfill) bool {
		if !b.over() || left <= backfillsKept {
			return false
		}
		left--
		return true
	})
}
