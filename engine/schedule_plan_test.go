package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/workflow"
	"github.com/redrive/redrive/workflow/cron"
)

// player decides for a schedule as a process does, without a store: executions
// are numbers that end when the test says so.
type player struct {
	*schedule
	started []time.Time
	at      map[time.Time]time.Time // when a tick was started
	running map[string]bool
	cancels []string
}

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func newPlayer(t require.TestingT, spec ScheduleSpec) *player {
	spec.Enabled, spec.Workflow = true, "w"
	if spec.TimeZone == "" {
		spec.TimeZone = "UTC"
	}
	times, err := cron.Of(spec.Cron, spec.TimeZone)
	require.NoError(t, err)
	return &player{
		schedule: &schedule{record: ScheduleRecord{Project: "p", Name: "s", Number: 7}, spec: spec, times: times, state: scheduleState{Cursor: noon}},
		running:  map[string]bool{}, at: map[time.Time]time.Time{},
	}
}

// look is one look at a time; what it decides is stored and read again, as between processes.
func (p *player) look(t require.TestingT, now time.Time) {
	for {
		p.ended(now, func(id string) workflow.ExecutionStatus {
			if p.running[id] {
				return workflow.ExecutionRunning
			}
			return workflow.ExecutionSucceeded
		})
		for p.plan(now) != nil {
			p.reopen(t)
			f := p.state.Firing
			require.False(t, slices.ContainsFunc(p.started, f.Time.Equal), "%s was started twice", f.Time)
			for _, id := range f.Cancel {
				delete(p.running, id)
			}
			p.cancels = append(p.cancels, f.Cancel...)
			id := fmt.Sprint(len(p.started))
			p.started = append(p.started, f.Time)
			p.at[f.Time.UTC()] = now
			p.running[id] = true
			p.settle(id, nil, now)
		}
		if look := p.schedule.look(now); look.IsZero() || look.After(now) {
			return
		}
	}
}

func (p *player) reopen(t require.TestingT) {
	raw, err := json.Marshal(p.state)
	require.NoError(t, err)
	p.state = scheduleState{}
	require.NoError(t, json.Unmarshal(raw, &p.state))
}

func minutes(list []time.Time) (all []int) {
	for _, at := range list {
		all = append(all, int(at.Sub(noon)/time.Minute))
	}
	return all
}

// TestCatchUpPolicies compares with an oracle: looks come at random times, and executions end at once.
func TestCatchUpPolicies(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		policy := rapid.SampledFrom([]CatchUp{CatchUpNone, CatchUpLast, CatchUpAll}).Draw(r, "policy")
		step := rapid.SampledFrom([]int{1, 2, 5, 30}).Draw(r, "minutes")
		overlap := rapid.SampledFrom([]Overlap{OverlapSkip, OverlapQueue, OverlapCancel, OverlapAllow}).Draw(r, "overlap")
		p := newPlayer(r, ScheduleSpec{Cron: fmt.Sprintf("*/%d * * * *", step), CatchUp: policy, Overlap: overlap})
		var want []time.Time
		now, seen := noon, noon
		for range rapid.IntRange(1, 12).Draw(r, "looks") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 20, 59, 60, 61, 150, 3_000, 20_000}).Draw(r, "seconds")) * time.Second)
			var missed, fresh []time.Time
			for tick := noon.Add(time.Duration(step) * time.Minute); !tick.After(now); tick = tick.Add(time.Duration(step) * time.Minute) {
				switch {
				case !tick.After(seen):
				case now.Sub(tick) > time.Minute:
					missed = append(missed, tick)
				default:
					fresh = append(fresh, tick)
				}
			}
			seen = now
			switch {
			case policy == CatchUpNone:
				missed = nil
			case policy == CatchUpLast && len(missed) > 0:
				missed = missed[len(missed)-1:]
			}
			if overlap == OverlapSkip { // what one look finds on time overlaps with what was started before
				fresh = fresh[:min(len(fresh), 1)]
				if len(missed) > 0 {
					fresh = nil
				}
			}
			want = append(append(want, missed...), fresh...)
			for range 2_000 { // each look, and those that follow when an execution has ended
				before := len(p.started)
				p.look(r, now)
				clear(p.running)
				if len(p.started) == before && p.schedule.look(now).Sub(now) != scheduleLook {
					break
				}
			}
		}
		if !slices.Equal(minutes(want), minutes(p.started)) {
			r.Fatalf("%s: want %v, started %v", policy, minutes(want), minutes(p.started))
		}
	})
}

// TestEveryTickIsDecidedOnce: whatever the policies, the jitter and how long
// executions take, each tick is started or skipped once, in order, and one that
// waits is not lost.
func TestEveryTickIsDecidedOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := newPlayer(r, ScheduleSpec{
			Cron:    rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "0 * * * *", "@every 90s"}).Draw(r, "cron"),
			CatchUp: rapid.SampledFrom([]CatchUp{CatchUpNone, CatchUpLast, CatchUpAll}).Draw(r, "policy"),
			Overlap: rapid.SampledFrom([]Overlap{OverlapSkip, OverlapQueue, OverlapCancel, OverlapAllow}).Draw(r, "overlap"),
			Jitter:  workflow.Duration(rapid.SampledFrom([]time.Duration{0, 10 * time.Second, time.Hour}).Draw(r, "jitter")),
		})
		decided := map[int64]int{}
		ticks, counted, full := 0, 0, false
		now := noon
		for range rapid.IntRange(1, 30).Draw(r, "looks") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 30, 61, 100, 1_000, 8_000}).Draw(r, "seconds")) * time.Second)
			p.state.Ticks = nil
			p.look(r, now)
			require.LessOrEqual(r, len(p.running), p.room())
			for _, e := range p.state.Ticks {
				decided[e.Time.Unix()]++
				counted += e.Count
				if e.Outcome == TickStarted && p.spec.CatchUp == CatchUpNone && p.spec.Overlap != OverlapQueue && p.spec.Overlap != OverlapAllow {
					require.LessOrEqual(r, now.Sub(p.due(e.Time)), tickGrace, "a missed tick was started")
				}
				require.False(r, p.due(e.Time).After(now), "a tick was decided before it was due")
				require.False(r, e.Reason == SkippedMissed && p.spec.CatchUp == CatchUpAll)
			}
			require.LessOrEqual(r, len(p.state.Ticks), ticksKept)
			full = full || len(p.state.Ticks) == ticksKept // more were decided than are told of
			if rapid.Bool().Draw(r, "the execution ends") {
				clear(p.running)
			}
		}
		for tick := p.times.Next(noon); !p.due(tick).After(now); tick = p.times.Next(tick) {
			if !tick.After(p.state.Cursor) {
				ticks++
			}
		}
		for tick, n := range decided {
			require.Equal(r, 1, n, "%s was decided %d times", time.Unix(tick, 0).UTC(), n)
		}
		if !full {
			require.Equal(r, ticks, counted+len(p.state.Waiting), "every tick is decided, or waits")
		}
		require.True(r, slices.IsSortedFunc(p.started, time.Time.Compare), "ticks start in their order")
	})
}

func TestOverlapPolicies(t *testing.T) {
	m := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	play := func(overlap Overlap) *player {
		p := newPlayer(t, ScheduleSpec{Cron: "* * * * *", CatchUp: CatchUpLast, Overlap: overlap})
		p.look(t, m(1))
		require.Equal(t, []int{1}, minutes(p.started))
		p.look(t, m(2))
		p.look(t, m(3))
		return p
	}
	p := play(OverlapSkip)
	require.Equal(t, []int{1}, minutes(p.started))
	require.Equal(t, ScheduleTick{Time: m(3), At: m(3), Outcome: TickSkipped, Reason: SkippedOverlap, Execution: "0", Count: 1}, p.state.Ticks[2])
	clear(p.running)
	p.look(t, m(4))
	require.Equal(t, []int{1, 4}, minutes(p.started))

	p = play(OverlapQueue)
	require.Equal(t, []int{2, 3}, minutes(p.state.Waiting))
	require.Equal(t, m(3).Add(scheduleLook), p.schedule.look(m(3)), "somebody looks whether the former has ended")
	clear(p.running)
	p.look(t, m(3))
	require.Equal(t, []int{1, 2}, minutes(p.started))
	clear(p.running)
	p.look(t, m(3))
	require.Equal(t, []int{1, 2, 3}, minutes(p.started))
	for i := range maxWaiting + 5 {
		p.look(t, m(4+i))
	}
	require.Len(t, p.state.Waiting, maxWaiting)
	last := p.state.Ticks[len(p.state.Ticks)-1]
	require.Equal(t, SkippedQueueFull, last.Reason)
	require.Equal(t, m(4+maxWaiting+4), last.Time)

	p = play(OverlapAllow)
	require.Equal(t, []int{1, 2, 3}, minutes(p.started))
	require.Len(t, p.running, 3)
	for i := range maxTogether {
		p.look(t, m(4+i))
	}
	require.Len(t, p.running, maxTogether)
	require.Equal(t, []int{101, 102, 103}, minutes(p.state.Waiting), "there is no room")
	delete(p.running, "5")
	p.look(t, m(103))
	require.Len(t, p.started, 101)
	require.Len(t, p.running, maxTogether)

	p = play(OverlapCancel)
	require.Equal(t, []int{1, 2, 3}, minutes(p.started))
	require.Equal(t, []string{"0", "1"}, p.cancels)
	require.Len(t, p.running, 1)
}

// A full queue holds ticks back where all are caught up, and loses none.
func TestAFullQueueLosesNothingThatIsCaughtUp(t *testing.T) {
	p := newPlayer(t, ScheduleSpec{Cron: "* * * * *", CatchUp: CatchUpAll, Overlap: OverlapQueue})
	const ticks = maxWaiting + 40
	for i := range ticks {
		p.look(t, noon.Add(time.Duration(i+1)*time.Minute))
	}
	require.Len(t, p.started, 1)
	for range ticks {
		clear(p.running)
		p.look(t, noon.Add(ticks*time.Minute))
	}
	require.Len(t, p.started, ticks)
	require.True(t, slices.IsSortedFunc(p.started, time.Time.Compare))
}

// TestMissedTicksRunSideBySide: where executions last longer than the interval, a gap is made up for, and one that does not end is in nobody's way.
func TestMissedTicksRunSideBySide(t *testing.T) {
	p := newPlayer(t, ScheduleSpec{Cron: "* * * * *", CatchUp: CatchUpAll, Overlap: OverlapAllow})
	const lasts = 10
	for minute := range 60 {
		now := noon.Add(time.Duration(minute) * time.Minute)
		for i, tick := range p.started {
			if i > 0 && now.Sub(p.at[tick.UTC()]) >= lasts*time.Minute { // the first one waits for an approval
				delete(p.running, fmt.Sprint(i))
			}
		}
		if minute < 20 || minute > 24 { // nobody looks for some minutes
			p.look(t, now)
			require.Len(t, p.started, minute, "every tick has started by its time")
		}
	}

	p.look(t, noon.Add(24*time.Hour))
	require.Len(t, p.running, maxTogether, "no more than that run at once")
	require.True(t, slices.IsSortedFunc(p.started, time.Time.Compare))
}

func TestJitterIsTheSameAndKeepsTheOrder(t *testing.T) {
	p := newPlayer(t, ScheduleSpec{Cron: "*/5 * * * *", Jitter: workflow.Duration(time.Hour)})
	other := newPlayer(t, ScheduleSpec{Cron: "*/5 * * * *", Jitter: workflow.Duration(time.Hour)})
	spread := map[time.Duration]bool{}
	for tick, n := p.times.Next(noon), 0; n < 50; tick, n = p.times.Next(tick), n+1 {
		due := p.due(tick)
		require.True(t, due.Equal(other.due(tick)))
		require.False(t, due.Before(tick))
		require.False(t, due.After(p.times.Next(tick)), "never past the next tick")
		spread[due.Sub(tick)/time.Second] = true
	}
	require.Greater(t, len(spread), 30)
	p.spec.Jitter = workflow.Duration(10 * time.Second)
	for tick, n := p.times.Next(noon), 0; n < 50; tick, n = p.times.Next(tick), n+1 {
		require.LessOrEqual(t, p.due(tick).Sub(tick), 10*time.Second)
	}
}

func TestStartAfterAndEndBefore(t *testing.T) {
	from, till := noon.Add(10*time.Minute), noon.Add(13*time.Minute)
	p := newPlayer(t, ScheduleSpec{Cron: "* * * * *", CatchUp: CatchUpLast, Overlap: OverlapCancel, StartAfter: &from, EndBefore: &till})
	require.True(t, p.schedule.look(noon).Equal(from))
	for i := range 20 {
		p.look(t, noon.Add(time.Duration(i)*time.Minute))
	}
	require.Equal(t, []int{10, 11, 12}, minutes(p.started))
	require.True(t, p.schedule.look(noon.Add(time.Hour)).IsZero(), "nothing is left to look for")

	p = newPlayer(t, ScheduleSpec{Cron: "* * * * *", CatchUp: CatchUpLast, Overlap: OverlapSkip, StartAfter: &from, EndBefore: &till})
	p.look(t, noon.Add(time.Hour))
	require.Equal(t, []int{12}, minutes(p.started), "the latest missed one is inside")
	require.Equal(t, 2, p.state.Ticks[0].Count)

	p = newPlayer(t, ScheduleSpec{Cron: "* * * * *", CatchUp: CatchUpNone, Overlap: OverlapSkip, StartAfter: &from, EndBefore: &till})
	p.look(t, noon.Add(time.Hour))
	require.Empty(t, p.started)
	require.Equal(t, 3, p.state.Ticks[0].Count)
}

// TestADelayedTickStartsLater: for the session of the tick, and one that was made meanwhile still comes.
func TestADelayedTickStartsLater(t *testing.T) {
	p := newPlayer(t, ScheduleSpec{Cron: "0 0 * * *", Delay: workflow.Duration(14 * time.Hour), CatchUp: CatchUpNone})
	midnight := noon.Truncate(24 * time.Hour)
	p.state.Cursor = time.Time{}
	p.setEnabled(true, noon) // as one that is made at noon
	require.True(t, p.due(midnight).Equal(midnight.Add(14*time.Hour)))
	p.look(t, noon)
	require.Empty(t, p.started)
	p.look(t, midnight.Add(14*time.Hour))
	require.Len(t, p.started, 1)
	require.True(t, p.started[0].Equal(midnight), "today's, which is due at two")
	p.look(t, midnight.Add(38*time.Hour+2*time.Minute))
	require.Len(t, p.started, 1, "tomorrow's was missed")
	require.True(t, p.schedule.look(midnight.Add(39*time.Hour)).Equal(midnight.Add(62*time.Hour)))
}
