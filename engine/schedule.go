package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow/cron"
)

// PutSchedule makes a schedule, or changes the whole of one. What it changes
// holds from now on: with another cron or time zone no earlier tick is started any more.
func (e *Engine) PutSchedule(ctx context.Context, project, name string, r ScheduleRequest) (*Schedule, bool, error) {
	for {
		s, created, err := e.putSchedule(ctx, project, name, r)
		if !errors.Is(err, ErrMoved) {
			return s, created, err
		}
	}
}

func (e *Engine) putSchedule(ctx context.Context, project, name string, r ScheduleRequest) (*Schedule, bool, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, false, err
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return nil, false, err
	}
	s, created, err := e.scheduleToPut(ctx, project, name, now)
	if err != nil {
		return nil, false, err
	}
	spec, err := e.checkSchedule(ctx, s, r)
	if err != nil {
		return nil, false, err
	}
	before := s.spec
	switch {
	case created:
		if s.record.Number, err = e.store.Number(ctx); err != nil {
			return nil, false, err
		}
		s.state.CreatedAt = now.UTC()
	case sameSpec(before, spec):
		shown, err := e.showSchedule(ctx, s, now)
		return shown, false, err
	}
	s.spec = spec
	if s.times, err = cron.Of(spec.Cron, spec.TimeZone); err != nil {
		return nil, false, err
	}
	s.state.Generation++
	s.state.UpdatedAt = now.UTC()
	if before.Cron != spec.Cron || before.TimeZone != spec.TimeZone || before.Delay != spec.Delay || spec.Enabled != before.Enabled {
		s.setEnabled(spec.Enabled, now)
	}
	if err := e.storeSchedule(ctx, s, now); err != nil {
		return nil, false, err
	}
	shown, err := e.showSchedule(ctx, s, now)
	return shown, created, err
}

// scheduleToPut answers the schedule as it is, or one to be made.
func (e *Engine) scheduleToPut(ctx context.Context, project, name string, now time.Time) (*schedule, bool, error) {
	s, err := e.settledSchedule(ctx, project, name, now)
	var missing *Error
	if errors.As(err, &missing) && missing.Kind == KindNotFound {
		return &schedule{record: ScheduleRecord{Project: project, Name: name}, spec: ScheduleSpec{Enabled: true}}, true, nil
	}
	return s, false, err
}

// setEnabled begins anew from now: what was missed before is not caught up.
func (s *schedule) setEnabled(enabled bool, now time.Time) {
	s.spec.Enabled = enabled
	if from := now.Add(-time.Duration(s.spec.Delay)); s.state.Cursor.Before(from) { // those that are still to come
		s.state.Cursor = from.UTC()
	}
	if !enabled {
		for _, tick := range s.state.Waiting {
			s.skip(tick, now, SkippedDisabled)
		}
		s.state.Waiting = nil
	}
}

// settledSchedule reads a schedule to change it. A start that was begun is made
// first: after the change has been answered, nothing starts that it forbids.
func (e *Engine) settledSchedule(ctx context.Context, project, name string, now time.Time) (*schedule, error) {
	rec, err := e.store.Schedule(ctx, project, name)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, NotFound("schedule", name)
	}
	s, err := openSchedule(*rec)
	if err != nil {
		return nil, err
	}
	if s.state.Firing == nil {
		return s, nil
	}
	if err := e.fireTick(ctx, s, true, now); err != nil {
		return nil, err
	}
	return s, e.storeSchedule(ctx, s, now)
}

// changeSchedule applies a change to a schedule as it is.
func (e *Engine) changeSchedule(ctx context.Context, project, name string, change func(s *schedule, now time.Time) error) (*Schedule, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	for {
		now, err := e.store.Time(ctx)
		if err != nil {
			return nil, err
		}
		s, err := e.settledSchedule(ctx, project, name, now)
		if err == nil {
			err = e.lookAtRuns(ctx, s, now) // the change is to what is shown
		}
		if err == nil {
			err = change(s, now)
		}
		if err == nil {
			err = e.storeSchedule(ctx, s, now)
		}
		switch {
		case err == nil:
			return e.showSchedule(ctx, s, now)
		case !errors.Is(err, ErrMoved):
			return nil, err
		}
	}
}

// EnableSchedule lets a schedule go on from now; what it missed while disabled is not caught up.
func (e *Engine) EnableSchedule(ctx context.Context, project, name string) (*Schedule, error) {
	return e.switchSchedule(ctx, project, name, true)
}

// DisableSchedule stops a schedule: when it has answered, none of its ticks
// starts anything. What runs goes on, and so do backfills.
func (e *Engine) DisableSchedule(ctx context.Context, project, name string) (*Schedule, error) {
	return e.switchSchedule(ctx, project, name, false)
}

func (e *Engine) switchSchedule(ctx context.Context, project, name string, enabled bool) (*Schedule, error) {
	return e.changeSchedule(ctx, project, name, func(s *schedule, now time.Time) error {
		if s.spec.Enabled != enabled {
			s.state.Generation++
			s.state.UpdatedAt = now.UTC()
			s.setEnabled(enabled, now)
		}
		return nil
	})
}

// DeleteSchedule removes a schedule with its backfills. Its executions stay.
func (e *Engine) DeleteSchedule(ctx context.Context, project, name string) error {
	if _, err := e.Project(ctx, project); err != nil {
		return err
	}
	for {
		now, err := e.store.Time(ctx)
		if err != nil {
			return err
		}
		s, err := e.settledSchedule(ctx, project, name, now)
		if err == nil {
			err = e.store.DropSchedule(ctx, s.record)
		}
		if !errors.Is(err, ErrMoved) {
			return err
		}
	}
}

// Schedule answers a schedule with what it did last.
func (e *Engine) Schedule(ctx context.Context, project, name string) (*Schedule, error) {
	s, now, err := e.readSchedule(ctx, project, name)
	if err != nil {
		return nil, err
	}
	return e.showSchedule(ctx, s, now)
}

func (e *Engine) readSchedule(ctx context.Context, project, name string) (*schedule, time.Time, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, time.Time{}, err
	}
	rec, err := e.store.Schedule(ctx, project, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	if rec == nil {
		return nil, time.Time{}, NotFound("schedule", name)
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	s, err := openSchedule(*rec)
	return s, now, err
}

// ScheduleByNumber answers a schedule of any project by its number.
func (e *Engine) ScheduleByNumber(ctx context.Context, number int64) (*Schedule, error) {
	found, err := e.store.FindSchedule(ctx, number)
	if err != nil {
		return nil, err
	}
	if found.Name == "" {
		return nil, NotFound("schedule", fmt.Sprint(number))
	}
	return e.Schedule(ctx, found.Project, found.Name)
}

// Schedules answers a project's schedules by name, without their ticks and backfills.
func (e *Engine) Schedules(ctx context.Context, project string, page Page) ([]Schedule, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	records, next, err := e.store.Schedules(ctx, project, page.filled())
	if err != nil {
		return nil, "", err
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return nil, "", err
	}
	all := make([]Schedule, 0, len(records))
	for _, rec := range records {
		s, err := openSchedule(rec)
		if err != nil {
			return nil, "", err
		}
		shown := s.show(now)
		shown.Running, shown.Waiting, shown.Ticks, shown.Backfills = nil, nil, nil, nil
		all = append(all, shown)
	}
	return all, next, nil
}

// NextTicks answers the next ticks of a schedule, as if it were enabled, and whether it is.
func (e *Engine) NextTicks(ctx context.Context, project, name string, count int) (ticks []PlannedTick, enabled bool, err error) {
	s, now, err := e.readSchedule(ctx, project, name)
	if err != nil {
		return nil, false, err
	}
	for t := s.next(now); !t.IsZero() && len(ticks) < count; t = s.next(t) {
		ticks = append(ticks, PlannedTick{Time: t, Due: s.due(t).In(s.times.Zone())})
	}
	return ticks, s.spec.Enabled, nil
}

// showSchedule shows a schedule, and of its executions those that run still.
func (e *Engine) showSchedule(ctx context.Context, s *schedule, now time.Time) (*Schedule, error) {
	if err := e.lookAtRuns(ctx, s, now); err != nil {
		return nil, err
	}
	shown := s.show(now)
	return &shown, nil
}

func (s *schedule) show(now time.Time) Schedule {
	shown := Schedule{
		ScheduleSpec: s.spec, Project: s.record.Project, Name: s.record.Name, Number: s.record.Number,
		Generation: s.state.Generation, CreatedAt: s.state.CreatedAt, UpdatedAt: s.state.UpdatedAt, Cursor: s.state.Cursor,
		Running: s.state.Running, Waiting: s.state.Waiting, Ticks: s.state.Ticks, Backfills: s.state.Backfills,
	}
	if s.spec.Enabled {
		if tick := s.next(later(now, s.state.Cursor)); !tick.IsZero() {
			shown.Next = &PlannedTick{Time: tick, Due: s.due(tick).In(s.times.Zone())}
		}
	}
	return shown
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
