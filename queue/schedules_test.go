package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// schedules: each change rests on the revision that was read, what is due is found
// in every project, and nothing of a schedule is left behind.
func schedules(t *testing.T, h *house) {
	ctx := t.Context()
	all := func(string) bool { return true }
	put := func(project, name string, revision, number int64, look time.Time) error {
		return h.Redis.PutSchedule(ctx, engine.ScheduleRecord{
			Project: project, Name: name, Revision: revision, Number: number, Look: look, Spec: []byte(`{"a":[]}`), State: []byte(`{"n":9007199254740993}`),
		})
	}
	now, err := h.Time(ctx)
	require.NoError(t, err)
	now = now.Truncate(time.Millisecond)
	require.NoError(t, put("one", "a", 0, 5, now.Add(time.Minute)))
	require.ErrorIs(t, put("one", "a", 0, 6, now), engine.ErrMoved, "it is there")
	require.ErrorIs(t, put("one", "a", 2, 5, now), engine.ErrMoved)
	require.NoError(t, put("one", "b", 0, 7, time.Time{}))
	require.NoError(t, put("two", "a", 0, 8, now.Add(-time.Second)))

	got, err := h.Redis.Schedule(ctx, "one", "a")
	require.NoError(t, err)
	require.Equal(t, engine.ScheduleRecord{
		Project: "one", Name: "a", Revision: 1, Number: 5, Look: now.Add(time.Minute).UTC(), Spec: []byte(`{"a":[]}`), State: []byte(`{"n":9007199254740993}`),
	}, *got)
	got, err = h.Redis.Schedule(ctx, "two", "b")
	require.NoError(t, err)
	require.Nil(t, got)

	due, err := h.DueSchedules(ctx, all, 10)
	require.NoError(t, err)
	require.Equal(t, []engine.ScheduleName{{Project: "two", Name: "a"}}, due.Due)
	require.True(t, due.Next.Equal(now.Add(time.Minute)))
	due, err = h.DueSchedules(ctx, func(project string) bool { return project == "one" }, 10)
	require.NoError(t, err)
	require.Empty(t, due.Due)
	h.offset += time.Minute
	due, err = h.DueSchedules(ctx, all, 10)
	require.NoError(t, err)
	require.Len(t, due.Due, 2)
	require.NoError(t, put("one", "a", 1, 5, time.Time{}))
	due, err = h.DueSchedules(ctx, all, 10)
	require.NoError(t, err)
	require.Len(t, due.Due, 1, "one that needs no look")

	found, err := h.FindSchedule(ctx, 8)
	require.NoError(t, err)
	require.Equal(t, engine.ScheduleName{Project: "two", Name: "a"}, found)
	found, err = h.FindSchedule(ctx, 6)
	require.NoError(t, err)
	require.Empty(t, found)

	x := h.start(&workflow.Definition{Name: "w", Tasks: tasksOf("a")})
	statuses, err := h.Statuses(ctx, []string{x.ID, "01890a5d-ac96-774b-bcce-b302099a802a"})
	require.NoError(t, err)
	require.Equal(t, []workflow.ExecutionStatus{workflow.ExecutionRunning, ""}, statuses)

	require.ErrorIs(t, h.DropSchedule(ctx, engine.ScheduleRecord{Project: "one", Name: "a", Revision: 1, Number: 5}), engine.ErrMoved)
	for _, r := range []engine.ScheduleRecord{{Project: "one", Name: "a", Revision: 2, Number: 5}, {Project: "one", Name: "b", Revision: 1, Number: 7}, {Project: "two", Name: "a", Revision: 1, Number: 8}} {
		require.NoError(t, h.DropSchedule(ctx, r))
	}
	require.ErrorIs(t, h.DropSchedule(ctx, engine.ScheduleRecord{Project: "one", Name: "b", Revision: 1, Number: 7}), engine.ErrMoved)
	keys, err := queuetest.Keys(ctx, h.Client(), "schedule")
	require.NoError(t, err)
	require.Equal(t, []string{"redrive:{schedules}:projects"}, keys)

	// The whole way, on every kind of Redis.
	s, _, err := h.PutSchedule(ctx, "default", "s", engine.ScheduleRequest{Workflow: "w", Cron: "* * * * *"})
	require.NoError(t, err)
	h.offset += time.Until(s.Next.Due.Add(-h.offset)) + time.Second
	pump := engine.NewPump(h.Engine)
	require.NoError(t, pump.Start(ctx))
	require.Eventually(t, func() bool {
		s, err = h.Schedule(ctx, "default", "s")
		return err == nil && len(s.Ticks) > 0
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, pump.Stop(ctx))
	require.Equal(t, engine.TickStarted, s.Ticks[0].Outcome)
	require.Equal(t, workflow.ExecutionRunning, h.now(s.Ticks[0].Execution).Status)
}
