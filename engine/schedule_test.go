package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
)

const (
	endsAtOnce = "name: ends\ntasks: [{ name: a, type: noop, if: \"${false}\" }]\n"
	goesOn     = "name: goes\ntasks: [{ name: a, type: noop }]\n"
	project    = "default"
)

// timetable is two processes on one Redis whose clock the test moves.
type timetable struct {
	*process
	other *process
	t     *testing.T
	clock *clock
}

func newTimetable(t *testing.T) *timetable {
	t.Helper()
	c, url := &clock{}, queuetest.URL(t)
	tt := &timetable{process: newProcess(t, url, c), other: newProcess(t, url, c), t: t, clock: c}
	for _, source := range []string{endsAtOnce, goesOn} {
		_, err := tt.Publish(t.Context(), project, []byte(source), false)
		require.NoError(t, err)
	}
	tt.to(30 * time.Second)
	return tt
}

func (tt *timetable) now() time.Time {
	tt.t.Helper()
	now, err := tt.store.Time(tt.t.Context())
	require.NoError(tt.t, err)
	return now
}

// to moves the clock on to so much after the next full minute.
func (tt *timetable) to(second time.Duration) time.Time {
	now := tt.now()
	tt.clock.offset += now.Truncate(time.Minute).Add(time.Minute + second).Sub(now)
	return tt.now().Truncate(time.Minute)
}

func (tt *timetable) put(name string, r engine.ScheduleRequest) *engine.Schedule {
	tt.t.Helper()
	if r.Cron == "" {
		r.Cron = "* * * * *"
	}
	s, created, err := tt.PutSchedule(tt.t.Context(), project, name, r)
	require.NoError(tt.t, err)
	require.True(tt.t, created)
	return s
}

func (tt *timetable) sweep() {
	tt.t.Helper()
	require.NoError(tt.t, tt.SweepSchedules(tt.t.Context()))
}

func (tt *timetable) get(name string) *engine.Schedule {
	tt.t.Helper()
	s, err := tt.Schedule(tt.t.Context(), project, name)
	require.NoError(tt.t, err)
	return s
}

// started reads from Redis itself which ticks have which executions, by their id.
func (tt *timetable) started(name string) map[string]string {
	tt.t.Helper()
	keys, err := queuetest.Keys(tt.t.Context(), tt.store.Client(), "redrive:")
	require.NoError(tt.t, err)
	found := map[string]string{}
	for _, key := range keys {
		_, id, is := strings.Cut(key, "}:x:")
		if !is {
			continue
		}
		v, err := tt.store.Client().HMGet(tt.t.Context(), key, "labels", "metadata").Result()
		require.NoError(tt.t, err)
		var labels, metadata map[string]string
		require.NoError(tt.t, json.Unmarshal([]byte(v[0].(string)), &labels))
		require.NoError(tt.t, json.Unmarshal([]byte(v[1].(string)), &metadata))
		if labels[engine.LabelSchedule] == name {
			found[id] = metadata[engine.MetadataScheduleTime]
		}
	}
	return found
}

// once asserts that each of the ticks has exactly one execution, and no other has any.
func (tt *timetable) once(name string, ticks []time.Time) {
	tt.t.Helper()
	var want []string
	for _, tick := range ticks {
		want = append(want, tick.UTC().Format(time.RFC3339))
	}
	require.Equal(tt.t, want, slices.Sorted(maps.Values(tt.started(name))))
}

// repair lets the executions go on that a crash left in the middle, as any sweep does.
func (tt *timetable) repair(name string) {
	tt.t.Helper()
	for id := range tt.started(name) {
		require.NoError(tt.t, tt.other.Advance(tt.t.Context(), id))
	}
}

func refusalOf(t *testing.T, err error) *engine.Error {
	t.Helper()
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	return refused
}

// TestTwoProcessesFireEachTickOnce: many looks of both at the same moments.
func TestTwoProcessesFireEachTickOnce(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	names := []string{"skip", "queue", "cancel"}
	for _, name := range names {
		tt.put(name, engine.ScheduleRequest{Workflow: "ends", Overlap: name, CatchUp: "all"})
	}
	var ticks []time.Time
	for range 15 {
		ticks = append(ticks, tt.to(time.Second))
		var wg sync.WaitGroup
		for _, p := range []*process{tt.process, tt.other, tt.process, tt.other} {
			wg.Go(func() {
				if err := p.SweepSchedules(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for _, name := range names {
		tt.once(name, ticks)
		shown := tt.get(name)
		require.Len(t, shown.Ticks, len(ticks))
		for _, tick := range shown.Ticks {
			require.Equal(t, engine.TickStarted, tick.Outcome)
		}
	}
}

// TestACrashNeitherLosesNorDoublesATick breaks one process at every trip to
// Redis that firing takes, before and after Redis did what was asked; the other goes on.
func TestACrashNeitherLosesNorDoublesATick(t *testing.T) {
	t.Parallel()
	for _, overlap := range []string{"skip", "queue", "cancel"} {
		t.Run(overlap, func(t *testing.T) {
			t.Parallel()
			tt := newTimetable(t)
			definition := "ends"
			if overlap == "cancel" {
				definition = "goes"
			}
			tt.put("s", engine.ScheduleRequest{Workflow: definition, Overlap: overlap})
			var ticks []time.Time
			broke := 0
			for trip, more := 0, true; more; trip++ {
				more = false
				for _, after := range []bool{false, true} {
					ticks = append(ticks, tt.to(time.Second))
					tt.faults.Arm(trip, after)
					_ = tt.SweepSchedules(t.Context())
					if tt.faults.Disarm() {
						more = true
						broke++
					}
					tt.clock.offset += 2 * time.Second
					require.NoError(t, tt.other.SweepSchedules(t.Context()))
					tt.once("s", ticks)
					tt.repair("s")
				}
			}
			require.Greater(t, broke, 20)
			shown := tt.get("s")
			require.Empty(t, shown.Waiting)
			last := shown.Ticks[len(shown.Ticks)-1]
			require.True(t, last.Time.Equal(ticks[len(ticks)-1]))
			require.Equal(t, engine.TickStarted, last.Outcome)
			require.Contains(t, tt.started("s"), last.Execution)
			if overlap == "cancel" {
				require.Len(t, shown.Running, 1)
			}
		})
	}
}

// TestACrashNeitherLosesNorDoublesABackfill does the same to a backfill, which never runs more than it may.
func TestACrashNeitherLosesNorDoublesABackfill(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	tt.put("s", engine.ScheduleRequest{Workflow: "goes", Enabled: new(bool)})
	till := tt.now().Truncate(time.Hour)
	from := till.Add(-time.Hour)
	_, err := tt.StartBackfill(t.Context(), project, "s", engine.BackfillRequest{From: from, To: till, MaxRunning: 3})
	require.NoError(t, err)
	for trip := 0; ; trip++ {
		tt.faults.Arm(trip/2%40, trip%2 == 0)
		_ = tt.SweepSchedules(t.Context())
		tt.faults.Disarm()
		tt.clock.offset += 2 * time.Second
		require.NoError(t, tt.other.SweepSchedules(t.Context()))
		running := 0
		for id := range tt.started("s") {
			x, err := tt.Execution(t.Context(), id)
			require.NoError(t, err)
			if x.Status.Ended() {
				continue
			}
			running++
			if trip%3 == 0 {
				_, err := tt.Cancel(t.Context(), id, engine.Request{})
				require.NoError(t, err)
			}
		}
		require.LessOrEqual(t, running, 3)
		b := tt.get("s").Backfills[0]
		require.LessOrEqual(t, len(b.Running), 3)
		if b.Status == engine.BackfillFinished {
			break
		}
		require.Less(t, trip, 500)
	}
	var ticks []time.Time
	for at := from; at.Before(till); at = at.Add(time.Minute) {
		ticks = append(ticks, at)
	}
	tt.once("s", ticks)
	b := tt.get("s").Backfills[0]
	require.Equal(t, 60, b.Count)
	require.Equal(t, 60, b.Started)
	require.Equal(t, 60, b.Failed, "each of them was canceled")
	require.Empty(t, b.Running)
}

// TestAProcessThatStopsInTheMiddleLeavesNothingBehind cuts the context of one process at random moments.
func TestAProcessThatStopsInTheMiddleLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	tt.put("s", engine.ScheduleRequest{Workflow: "ends"})
	var ticks []time.Time
	for i := range 30 {
		ticks = append(ticks, tt.to(time.Second))
		ctx, stop := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*200*time.Microsecond, stop)
		_ = tt.SweepSchedules(ctx)
		timer.Stop()
		stop()
		tt.clock.offset += 2 * time.Second
		require.NoError(t, tt.other.SweepSchedules(t.Context()))
		tt.repair("s")
	}
	tt.once("s", ticks)
}

func TestAScheduleThroughItsLife(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	ctx := t.Context()
	request := engine.ScheduleRequest{
		Workflow: "goes", Cron: "*/2 * * * *", TimeZone: "Europe/Berlin", Overlap: "cancel",
		Input: json.RawMessage(`{"day":"${schedule.date}","at":["${schedule.time}"],"by":"${schedule.name}","n":9007199254740993}`), Labels: map[string]string{"team": "data"},
	}
	tt.to(30 * time.Second)
	if tt.now().Minute()%2 == 1 {
		tt.to(30 * time.Second)
	}
	s := tt.put("s", request)
	require.Equal(t, engine.CatchUpLast, s.CatchUp, "the default")
	require.True(t, s.Enabled)
	require.Positive(t, s.Number)
	require.Equal(t, 1, s.Generation)
	tick := tt.now().Truncate(time.Minute).Add(2 * time.Minute)
	require.True(t, s.Next.Time.Equal(tick))

	same, created, err := tt.PutSchedule(ctx, project, "s", request)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, 1, same.Generation, "nothing changed")
	byNumber, err := tt.other.ScheduleByNumber(ctx, s.Number)
	require.NoError(t, err)
	require.Equal(t, "s", byNumber.Name)
	_, err = tt.ScheduleByNumber(ctx, s.Number+1)
	require.Equal(t, "schedule_not_found", refusalOf(t, err).Code)

	tt.to(time.Second)
	tt.to(time.Second)
	tt.sweep()
	tt.once("s", []time.Time{tick})
	s = tt.get("s")
	require.Len(t, s.Running, 1)
	x, err := tt.Execution(ctx, s.Running[0].Execution)
	require.NoError(t, err)
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	local := tick.In(zone)
	require.JSONEq(t, fmt.Sprintf(`{"day":%q,"at":[%q],"by":"s","n":9007199254740993}`, local.Format(time.DateOnly), local.Format(time.RFC3339)), string(x.Input))
	require.Equal(t, map[string]string{"team": "data", "schedule": "s"}, x.Labels)
	require.True(t, x.Session.Time.Equal(tick))
	require.Equal(t, "schedule-s", x.Session.AttemptName)
	_, created, err = tt.Start(ctx, project, engine.StartRequest{Workflow: "goes", SessionTime: tick})
	require.NoError(t, err, "a start by hand in the same session is another attempt")
	require.True(t, created)

	// A new cron holds from now on: the tick that was due under the old one is not started any more.
	tt.to(time.Second)
	tt.to(10 * time.Second)
	request.Cron = "* * * * *"
	s, _, err = tt.PutSchedule(ctx, project, "s", request)
	require.NoError(t, err)
	require.Equal(t, 2, s.Generation)
	tt.sweep()
	tt.once("s", []time.Time{tick})

	// Disabled, nothing starts; enabled again, what was missed is not caught up.
	_, err = tt.DisableSchedule(ctx, project, "s")
	require.NoError(t, err)
	tt.to(time.Second)
	tt.sweep()
	s = tt.get("s")
	require.False(t, s.Enabled)
	require.Nil(t, s.Next)
	next, enabled, err := tt.NextTicks(ctx, project, "s", 3)
	require.NoError(t, err)
	require.False(t, enabled)
	require.Len(t, next, 3)
	_, _, err = tt.PutSchedule(ctx, project, "s", request)
	require.NoError(t, err)
	require.False(t, tt.get("s").Enabled, "a request that does not say leaves it as it is")
	_, err = tt.EnableSchedule(ctx, project, "s")
	require.NoError(t, err)
	tt.sweep()
	tt.once("s", []time.Time{tick})
	second := tt.to(time.Second)
	tt.sweep()
	tt.once("s", []time.Time{tick, second})

	// Deleted, it is gone and leaves its executions.
	require.NoError(t, tt.DeleteSchedule(ctx, project, "s"))
	_, err = tt.Schedule(ctx, project, "s")
	require.Equal(t, "schedule_not_found", refusalOf(t, err).Code)
	_, err = tt.ScheduleByNumber(ctx, s.Number)
	require.Error(t, err)
	require.Equal(t, "schedule_not_found", refusalOf(t, tt.DeleteSchedule(ctx, project, "s")).Code)
	tt.to(time.Second)
	tt.sweep()
	tt.once("s", []time.Time{tick, second})
	keys, err := queuetest.Keys(ctx, tt.store.Client(), "redrive:{p:default}:schedule")
	require.NoError(t, err)
	require.Empty(t, keys)
	again := tt.put("s", request)
	require.NotEqual(t, s.Number, again.Number)
}

func TestMissedTicks(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	for _, policy := range []string{"none", "last", "all"} {
		tt.put(policy, engine.ScheduleRequest{Workflow: "ends", CatchUp: policy})
	}
	first := tt.to(time.Second)
	for range 4 {
		tt.to(time.Second)
	}
	tt.to(59 * time.Second) // the sixth is 59 s late, which is on time
	for range 20 {
		tt.sweep()
		tt.clock.offset += time.Millisecond
	}
	minute := func(n int) time.Time { return first.Add(time.Duration(n) * time.Minute) }
	tt.once("none", []time.Time{minute(5)})
	require.Equal(t, 5, tt.get("none").Ticks[0].Count)
	require.Equal(t, engine.SkippedMissed, tt.get("none").Ticks[0].Reason)
	require.True(t, minute(4).Equal(tt.get("none").Ticks[0].Time))
	require.Contains(t, slices.Collect(maps.Values(tt.started("last"))), minute(4).UTC().Format(time.RFC3339))
	require.Equal(t, 4, tt.get("last").Ticks[0].Count)
	for range 20 {
		tt.clock.offset += 600 * time.Millisecond
		tt.sweep()
	}
	started := slices.Sorted(maps.Values(tt.started("all")))
	for i := range 5 {
		require.Equal(t, minute(i).UTC().Format(time.RFC3339), started[i])
	}
}

func TestATickThatCannotStartIsRecorded(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	tt.put("s", engine.ScheduleRequest{Workflow: "ends"})
	_, err := tt.Publish(t.Context(), project, []byte(strings.Replace(endsAtOnce, "tasks:", "input_schema: { type: object, required: [day] }\ntasks:", 1)), false)
	require.NoError(t, err)
	tt.to(time.Second)
	tt.sweep()
	tick := tt.get("s").Ticks[0]
	require.Equal(t, engine.TickFailed, tick.Outcome)
	require.Contains(t, tick.Error, "day")
	require.Empty(t, tt.started("s"))
	_, err = tt.Publish(t.Context(), project, []byte(endsAtOnce), false)
	require.NoError(t, err)
	tt.to(time.Second)
	tt.sweep()
	require.Len(t, tt.started("s"), 1, "the next tick starts")
}

// Changes of both processes at once all take effect, and what is disabled starts nothing.
func TestChangesAndLooksAtOnce(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	tt.put("s", engine.ScheduleRequest{Workflow: "ends", CatchUp: "none"})
	for range 20 {
		tt.to(time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { _ = tt.SweepSchedules(context.Background()) })
		wg.Go(func() { _ = tt.other.SweepSchedules(context.Background()) })
		var before map[string]string
		wg.Go(func() {
			if _, err := tt.DisableSchedule(context.Background(), project, "s"); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			before = tt.started("s")
		})
		wg.Wait()
		require.Equal(t, before, tt.started("s"), "started after it was disabled")
		_, err := tt.EnableSchedule(t.Context(), project, "s")
		require.NoError(t, err)
	}
}

// A start that a crash left in the middle is made before a change, not after it.
func TestNothingStartsAfterDisablingEvenAfterACrash(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	tt.put("s", engine.ScheduleRequest{Workflow: "ends", CatchUp: "all"})
	late := 0
	for trip := range 30 {
		tt.to(time.Second)
		tt.faults.Arm(trip, trip%2 == 0)
		_ = tt.SweepSchedules(t.Context())
		tt.faults.Disarm()
		left := len(tt.started("s"))
		_, err := tt.other.DisableSchedule(t.Context(), project, "s")
		require.NoError(t, err)
		before := tt.started("s")
		late += len(before) - left
		tt.clock.offset += 2 * time.Second
		require.NoError(t, tt.other.SweepSchedules(t.Context()))
		require.Equal(t, before, tt.started("s"))
		tt.repair("s")
		_, err = tt.EnableSchedule(t.Context(), project, "s")
		require.NoError(t, err)
	}
	require.Positive(t, late, "no crash left a start in the middle")
}

func TestSchedulesAreListed(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	for i := range 5 {
		tt.put(fmt.Sprint("s", i), engine.ScheduleRequest{Workflow: "ends"})
	}
	var names []string
	for cursor := ""; ; {
		page, next, err := tt.Schedules(t.Context(), project, engine.Page{Cursor: cursor, Limit: 2})
		require.NoError(t, err)
		for _, s := range page {
			names = append(names, s.Name)
			require.NotNil(t, s.Next)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"s0", "s1", "s2", "s3", "s4"}, names)
	_, _, err := tt.Schedules(t.Context(), "nowhere", engine.Page{})
	require.Equal(t, "project_not_found", refusalOf(t, err).Code)
}

// TestThePumpFiresOnTime runs the real loop: the tick is there, on time, whoever leads.
func TestThePumpFiresOnTime(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	var pumps []*engine.Pump
	for _, p := range []*process{tt.process, tt.other} {
		pump := engine.NewPump(p.Engine)
		require.NoError(t, pump.Start(t.Context()))
		pumps = append(pumps, pump)
	}
	t.Cleanup(func() {
		for _, pump := range pumps {
			require.NoError(t, pump.Stop(context.Background()))
		}
	})
	tt.put("s", engine.ScheduleRequest{Workflow: "ends", Cron: "@every 1s"})
	require.Eventually(t, func() bool {
		n := 0
		for _, tick := range tt.get("s").Ticks {
			if tick.Outcome == engine.TickStarted {
				n++
			}
		}
		return n >= 3
	}, time.Minute, 50*time.Millisecond)
	seen := map[string]bool{}
	for _, tick := range tt.started("s") {
		require.False(t, seen[tick], "%s twice", tick)
		seen[tick] = true
	}
}
