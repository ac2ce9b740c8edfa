package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	_ "time/tzdata" // the time zones, for machines and images that have none

	"github.com/redrive/redrive/workflow"
	"github.com/redrive/redrive/workflow/cron"
)

// The bounds of a schedule.
const (
	tickGrace      = time.Minute            // a tick that nobody saw this long after it was due was missed
	ticksKept      = 50                     // outcomes that are shown
	maxWaiting     = 100                    // ticks that wait for the former execution
	maxTogether    = 100                    // executions that run side by side where that is allowed
	countedMissed  = 10_000                 // missed ticks are counted no further
	decidedAtOnce  = 100                    // ticks without a start in between
	scheduleLook   = 500 * time.Millisecond // between looks at executions that something waits for
	scheduleMend   = time.Second            // until a start that was begun is looked after
	backfillsKept  = 20                     // that have ended
	backfillsAlive = 10
)

// schedule is a stored schedule opened for decisions. Deciding is pure: the time
// and what has ended are handed in.
type schedule struct {
	record ScheduleRecord
	spec   ScheduleSpec
	state  scheduleState
	times  *cron.Times

	skipped int // ticks, since it was stored
}

// scheduleState is how far a schedule got.
type scheduleState struct {
	Generation   int            `json:"generation"`
	CreatedAt    time.Time      `json:"created_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Cursor       time.Time      `json:"cursor"`           // every tick up to here was decided
	Firing       *firing        `json:"firing,omitempty"` // a start that was begun, and is finished before anything else
	Running      []ScheduleRun  `json:"running,omitempty"`
	Waiting      []time.Time    `json:"waiting,omitempty"`
	Ticks        []ScheduleTick `json:"ticks,omitempty"` // the latest last
	Backfills    []Backfill     `json:"backfills,omitempty"`
	LastBackfill int            `json:"last_backfill,omitempty"`
}

// firing is the record of a start, made before it: whoever finds it starts the
// same execution again, which makes one.
type firing struct {
	Time      time.Time `json:"time"`
	Backfill  int       `json:"backfill,omitempty"` // 0 = a tick of the schedule itself
	Execution string    `json:"execution"`
	Cancel    []string  `json:"cancel,omitempty"` // executions to cancel before
	Order     order     `json:"order"`
}

// order is what a tick starts, as it was when the start was begun.
type order struct {
	Workflow string            `json:"workflow"`
	Version  int               `json:"version"`
	Input    json.RawMessage   `json:"input,omitempty"`
	Labels   map[string]string `json:"labels"`
	Priority int               `json:"priority"`
	Key      string            `json:"key"`
	Attempt  string            `json:"attempt"` // its name in the session of the tick
	By       string            `json:"by"`
}

func (o order) request(tick time.Time) StartRequest {
	return StartRequest{
		Workflow: o.Workflow, Version: o.Version, Input: o.Input, Labels: o.Labels, Priority: o.Priority, IdempotencyKey: o.Key, By: o.By,
		Metadata:    map[string]string{MetadataScheduleTime: tick.UTC().Format(time.RFC3339)},
		SessionTime: tick.UTC(), AttemptName: o.Attempt,
	}
}

func openSchedule(rec ScheduleRecord) (*schedule, error) {
	s := &schedule{record: rec}
	err := json.Unmarshal(rec.Spec, &s.spec)
	if err == nil {
		err = json.Unmarshal(rec.State, &s.state)
	}
	if err == nil {
		s.times, err = cron.Of(s.spec.Cron, s.spec.TimeZone)
	}
	if err != nil {
		return nil, fmt.Errorf("engine: opening schedule %s of project %s: %w", rec.Name, rec.Project, err)
	}
	return s, nil
}

// next is the first tick after t that start_after and end_before let pass.
func (s *schedule) next(t time.Time) time.Time {
	if from := s.spec.StartAfter; from != nil && from.After(t) {
		t = from.Add(-time.Nanosecond)
	}
	tick := s.times.Next(t)
	if till := s.spec.EndBefore; !tick.IsZero() && till != nil && !tick.Before(*till) {
		return time.Time{}
	}
	return tick
}

// due is when a tick starts: after the delay, and spread over the jitter, always by the
// same share, and never by more than there is to the next tick, so that ticks stay in their order.
func (s *schedule) due(tick time.Time) time.Time {
	room := time.Duration(s.spec.Jitter)
	begin := tick.Add(time.Duration(s.spec.Delay))
	if room <= 0 {
		return begin
	}
	if following := s.times.Next(tick); !following.IsZero() {
		room = min(room, following.Sub(tick))
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", s.record.Project, s.record.Name, tick.Unix()))
	share := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return begin.Add(time.Duration(share * float64(room))).Truncate(time.Millisecond)
}

func (s *schedule) missed(tick, now time.Time) bool { return now.Sub(s.due(tick)) > tickGrace }

func (s *schedule) busy() bool { return len(s.state.Waiting) > 0 || len(s.state.Running) >= s.room() }

// room is how many executions of its ticks may run at once.
func (s *schedule) room() int {
	if s.spec.Overlap == OverlapAllow {
		return maxTogether
	}
	return 1
}

// ended takes out the executions that have ended.
func (s *schedule) ended(now time.Time, status func(id string) workflow.ExecutionStatus) {
	gone := func(r ScheduleRun) bool { st := status(r.Execution); return st == "" || st.Ended() }
	s.state.Running = slices.DeleteFunc(s.state.Running, gone)
	for i := range s.state.Backfills {
		b := &s.state.Backfills[i]
		b.Running = slices.DeleteFunc(b.Running, func(r ScheduleRun) bool {
			if !gone(r) {
				return false
			}
			if status(r.Execution) == workflow.ExecutionSucceeded {
				b.Succeeded++
			} else {
				b.Failed++
			}
			return true
		})
		if b.Status == BackfillRunning && len(b.Running) == 0 && b.next().IsZero() {
			b.end(BackfillFinished, now)
		}
	}
	s.forgetBackfills()
}

// plan decides what is due, up to the next execution to start; nil when there is none.
func (s *schedule) plan(now time.Time) *firing {
	switch {
	case s.state.Firing != nil:
	case len(s.state.Waiting) > 0 && len(s.state.Running) < s.room():
		tick := s.state.Waiting[0]
		s.state.Waiting = s.state.Waiting[1:]
		s.fire(tick, nil)
	case !s.planTicks(now):
		s.planBackfills()
	}
	return s.state.Firing
}

// planTicks reports whether a tick is to be started.
func (s *schedule) planTicks(now time.Time) bool {
	if !s.spec.Enabled {
		return false
	}
	for range decidedAtOnce {
		tick := s.next(s.state.Cursor)
		if tick.IsZero() || s.due(tick).After(now) {
			return false
		}
		if s.missed(tick, now) {
			switch s.spec.CatchUp {
			case CatchUpAll:
				if !s.busy() {
					s.fire(tick, nil)
				}
				return s.state.Firing != nil
			case CatchUpNone:
				s.skipMissed(tick, s.onTime(now), now)
				continue
			case CatchUpLast:
				latest := s.times.Last(s.state.Cursor, s.onTime(now).Add(-time.Nanosecond))
				if till := s.spec.EndBefore; till != nil && !latest.Before(*till) {
					latest = s.times.Last(s.state.Cursor, till.Add(-time.Nanosecond))
				}
				if tick.Before(latest) {
					s.skipMissed(tick, latest, now)
				}
				tick = latest
			}
		}
		if stop := s.overlap(tick, now); stop {
			return s.state.Firing != nil
		}
	}
	return false
}

// onTime is the first tick that was not missed, or a time before it and after the last one that was.
func (s *schedule) onTime(now time.Time) time.Time {
	at := now.Add(-tickGrace - time.Duration(s.spec.Jitter) - time.Duration(s.spec.Delay))
	if at.Before(s.state.Cursor) {
		at = s.state.Cursor
	}
	for t := s.times.Next(at.Add(-time.Nanosecond)); ; t = s.times.Next(t) {
		if t.IsZero() {
			return now
		}
		if t.After(s.state.Cursor) && !s.missed(t, now) {
			return t
		}
	}
}

// skipMissed skips the ticks from one on and before the other.
func (s *schedule) skipMissed(from, before, now time.Time) {
	last := s.times.Last(from.Add(-time.Nanosecond), before.Add(-time.Nanosecond))
	if till := s.spec.EndBefore; till != nil && !last.Before(*till) {
		before = *till
		last = s.times.Last(from.Add(-time.Nanosecond), till.Add(-time.Nanosecond))
	}
	s.note(ScheduleTick{
		Time: last, At: now, Outcome: TickSkipped, Reason: SkippedMissed, Count: s.times.Count(from, before, countedMissed),
	})
	s.state.Cursor = last
}

// overlap decides a tick that is due; stop means that no later one may be looked at now.
func (s *schedule) overlap(tick, now time.Time) (stop bool) {
	if !s.busy() {
		s.fire(tick, nil)
		return true
	}
	switch s.spec.Overlap {
	case OverlapQueue, OverlapAllow:
		switch {
		case len(s.state.Waiting) < maxWaiting:
			s.state.Waiting = append(s.state.Waiting, tick)
		case s.spec.CatchUp == CatchUpAll:
			return true // it is caught up when there is room
		default:
			s.skip(tick, now, SkippedQueueFull)
		}
	case OverlapCancel:
		for _, t := range s.state.Waiting {
			s.skip(t, now, SkippedReplaced)
		}
		s.state.Waiting = nil
		var running []string
		for _, r := range s.state.Running {
			running = append(running, r.Execution)
		}
		s.fire(tick, running)
		return true
	default:
		s.skip(tick, now, SkippedOverlap)
	}
	s.state.Cursor = tick
	return false
}

func (s *schedule) skip(tick, now time.Time, reason string) {
	entry := ScheduleTick{Time: tick, At: now, Outcome: TickSkipped, Reason: reason, Count: 1}
	if len(s.state.Running) > 0 && reason == SkippedOverlap {
		entry.Execution = s.state.Running[0].Execution
	}
	s.note(entry)
}

func (s *schedule) note(t ScheduleTick) {
	if t.Outcome == TickSkipped {
		s.skipped += t.Count
	}
	s.state.Ticks = append(s.state.Ticks, t)
	if over := len(s.state.Ticks) - ticksKept; over > 0 {
		s.state.Ticks = slices.Clone(s.state.Ticks[over:])
	}
}

// fire begins the start of a tick.
func (s *schedule) fire(tick time.Time, cancel []string) {
	key := fmt.Sprintf("schedule:%d:%d:%d", s.record.Number, s.state.Generation, tick.Unix())
	s.state.Firing = &firing{Time: tick, Cancel: cancel, Order: s.order(tick, key, s.spec.Input)}
}

var scheduleLimits = workflow.DefaultLimits()

// The labels and metadata of executions that schedules start.
const (
	LabelSchedule        = "schedule"
	LabelBackfill        = "schedule_backfill"
	MetadataScheduleTime = "schedule_time"
)

// order is what a tick starts. It is an attempt of its own name in the session
// of the tick: neither a start by hand nor another schedule of the workflow can
// be in its way, nor it in theirs.
func (s *schedule) order(tick time.Time, key string, input json.RawMessage) order {
	o := order{
		Workflow: s.spec.Workflow, Version: s.spec.Version, Input: input, Labels: map[string]string{}, Priority: s.spec.Priority,
		Key: key, Attempt: "schedule-" + s.record.Name, By: "schedule " + s.record.Name,
	}
	maps.Copy(o.Labels, s.spec.Labels)
	o.Labels[LabelSchedule] = s.record.Name
	if filled, problems := workflow.Fill(input, "input", s.values(tick), scheduleLimits); len(problems) == 0 {
		o.Input = filled
	}
	return o
}

// values are what an input may hold.
func (s *schedule) values(tick time.Time) map[string]string {
	local := tick.In(s.times.Zone())
	return map[string]string{
		"schedule.time": local.Format(time.RFC3339), "schedule.date": local.Format(time.DateOnly), "schedule.name": s.record.Name,
	}
}

// settle records what became of a start: the execution that was started, or why none was.
func (s *schedule) settle(execution string, failure error, now time.Time) {
	f := s.state.Firing
	s.state.Firing = nil
	run := ScheduleRun{Execution: execution, Time: f.Time}
	if f.Backfill != 0 {
		s.settleBackfill(f, run, failure)
		return
	}
	if f.Time.After(s.state.Cursor) {
		s.state.Cursor = f.Time
	}
	s.state.Running = slices.DeleteFunc(s.state.Running, func(r ScheduleRun) bool { return slices.Contains(f.Cancel, r.Execution) })
	entry := ScheduleTick{Time: f.Time, At: now, Outcome: TickStarted, Execution: execution, Count: 1}
	if failure != nil {
		entry.Outcome, entry.Execution, entry.Error = TickFailed, "", clipped(failure.Error())
	} else {
		s.state.Running = append(s.state.Running, run)
	}
	s.note(entry)
}

func clipped(text string) string { return string([]rune(text)[:min(len([]rune(text)), 500)]) }

// look is when something may be due next; zero when nothing will be.
func (s *schedule) look(now time.Time) time.Time {
	if s.state.Firing != nil {
		return now.Add(scheduleMend)
	}
	if slices.ContainsFunc(s.state.Backfills, Backfill.mayStart) {
		return now
	}
	if len(s.state.Waiting) > 0 || slices.ContainsFunc(s.state.Backfills, func(b Backfill) bool { return !b.over() }) {
		return now.Add(scheduleLook)
	}
	if !s.spec.Enabled {
		return time.Time{}
	}
	tick := s.next(s.state.Cursor)
	if tick.IsZero() {
		return time.Time{}
	}
	due := s.due(tick)
	if !due.After(now) && s.busy() {
		return now.Add(scheduleLook)
	}
	return due
}
