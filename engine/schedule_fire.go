package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/redrive/redrive/workflow"
)

const (
	startsAtOnce     = 100         // of one schedule before others have their turn
	schedulesAtATime = 8           // in parallel
	schedulesDue     = 100         // of one project in one look
	brokenSchedule   = time.Minute // until one that cannot be read is looked at again
)

// groupOf chooses who looks after what a project has beside its executions: whoever leads that group of shards.
func groupOf(project string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(project))
	return int(h.Sum32() % groupCount)
}

// schedules starts what schedules ask for, to the millisecond as far as it knows of it.
func (p *Pump) schedules(ctx context.Context) {
	for {
		pause := p.e.o.Sweep
		leads := p.led.Load()
		next, err := p.e.sweepSchedules(ctx, func(project string) bool { return leads&(1<<groupOf(project)) != 0 })
		switch {
		case err != nil && ctx.Err() == nil:
			p.e.log.Warn("schedules could not be looked after; the next look goes on", "error", err)
		case next >= 0:
			pause = min(pause, next)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// sweepSchedules does what is due and answers how long until more is, negative when nothing is known to be.
func (e *Engine) sweepSchedules(ctx context.Context, mine func(project string) bool) (time.Duration, error) {
	due, err := e.store.DueSchedules(ctx, mine, schedulesDue)
	if err != nil {
		return -1, err
	}
	errs := make([]error, len(due.Due))
	var wg sync.WaitGroup
	slots := make(chan struct{}, schedulesAtATime)
	for i, name := range due.Due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := e.stepSchedule(ctx, name); err != nil {
				errs[i] = fmt.Errorf("schedule %s of project %s: %w", name.Name, name.Project, err)
			}
		})
	}
	wg.Wait()
	next := time.Duration(-1)
	if !due.Next.IsZero() {
		next = due.Next.Sub(due.Now)
	}
	if len(due.Due) > 0 && errors.Join(errs...) == nil {
		next = 0 // what was done may have made more due
	}
	return next, errors.Join(errs...)
}

// stepSchedule does what one schedule has to do now. It may be done by several
// at once: every change rests on the revision that was read.
func (e *Engine) stepSchedule(ctx context.Context, name ScheduleName) error {
	rec, err := e.store.Schedule(ctx, name.Project, name.Name)
	if err != nil || rec == nil {
		return err
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return err
	}
	s, err := openSchedule(*rec)
	if err != nil {
		rec.Look = now.Add(brokenSchedule)
		return errors.Join(err, harmless(e.store.PutSchedule(ctx, *rec)))
	}
	if err := e.lookAtRuns(ctx, s, now); err != nil {
		return err
	}
	for range startsAtOnce {
		begun := s.state.Firing != nil
		if s.plan(now) == nil {
			break
		}
		if err := e.fireTick(ctx, s, begun, now); err != nil {
			return harmless(err)
		}
	}
	return harmless(e.storeSchedule(ctx, s, now))
}

// lookAtRuns takes note of executions that have ended.
func (e *Engine) lookAtRuns(ctx context.Context, s *schedule, now time.Time) error {
	var ids []string
	for _, r := range s.state.Running {
		ids = append(ids, r.Execution)
	}
	for _, b := range s.state.Backfills {
		for _, r := range b.Running {
			ids = append(ids, r.Execution)
		}
	}
	statuses, err := e.store.Statuses(ctx, ids)
	if err != nil {
		return err
	}
	byID := make(map[string]workflow.ExecutionStatus, len(ids))
	for i, id := range ids {
		byID[id] = statuses[i]
	}
	s.ended(now, func(id string) workflow.ExecutionStatus { return byID[id] })
	return nil
}

// fireTick makes a start that was planned: it is recorded first, and settled when
// the execution exists, so that a crash in between neither loses nor doubles it.
func (e *Engine) fireTick(ctx context.Context, s *schedule, begun bool, now time.Time) error {
	f := s.state.Firing
	if !begun {
		var err error
		if f.Execution, err = newID(); err != nil {
			return err
		}
		if err := e.storeSchedule(ctx, s, now); err != nil {
			return err
		}
	}
	for _, id := range f.Cancel {
		reason := fmt.Sprintf("replaced by the tick %s of schedule %s", f.Time.Format(time.RFC3339), s.record.Name)
		if _, err := e.Cancel(ctx, id, Request{Reason: reason, By: f.Order.By}); err != nil && !permanent(err) {
			return err
		}
	}
	x, _, err := e.startAs(ctx, s.record.Project, f.Execution, f.Order.request(f.Time))
	if err == nil {
		s.settle(x.ID, nil, now)
		e.metrics.ticked(TickStarted, 1)
		return nil
	}
	if !permanent(err) {
		return err
	}
	// An earlier try may have made it and not learned so.
	if statuses, lookErr := e.store.Statuses(ctx, []string{f.Execution}); lookErr != nil || statuses[0] != "" {
		if lookErr == nil {
			s.settle(f.Execution, nil, now)
		}
		return lookErr
	}
	e.log.Warn("the execution of a tick could not be started", "project", s.record.Project, "schedule", s.record.Name, "tick", f.Time, "error", err)
	s.settle("", err, now)
	e.metrics.ticked(TickFailed, 1)
	return nil
}

// permanent reports whether trying again would end the same way.
func permanent(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Kind != KindUnavailable
	}
	return harmless(err) != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// storeSchedule stores a schedule and when to look at it next; ErrMoved when somebody else did.
func (e *Engine) storeSchedule(ctx context.Context, s *schedule, now time.Time) error {
	var err error
	if s.record.Spec, err = json.Marshal(s.spec); err != nil {
		return fmt.Errorf("engine: encoding schedule %s: %w", s.record.Name, err)
	}
	if s.record.State, err = json.Marshal(s.state); err != nil {
		return fmt.Errorf("engine: encoding schedule %s: %w", s.record.Name, err)
	}
	s.record.Look = s.look(now)
	if err := e.store.PutSchedule(ctx, s.record); err != nil {
		return err
	}
	s.record.Revision++
	e.metrics.ticked(TickSkipped, s.skipped)
	s.skipped = 0
	return nil
}
