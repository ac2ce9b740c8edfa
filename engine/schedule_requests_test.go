package engine_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
)

func TestSchedulesAreChecked(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	from, till := tt.now(), tt.now().Add(-time.Hour)
	_, _, err := tt.PutSchedule(t.Context(), project, "bad name", engine.ScheduleRequest{
		Workflow: "nowhere", Cron: "61 * * * *", TimeZone: "Europe/Berlinn", Jitter: "5 minutes", CatchUp: "some", Overlap: "pile",
		Input: json.RawMessage(`{"a":"${workflow.id}"}`), Labels: map[string]string{"schedule": "x"}, StartAfter: &from, EndBefore: &till,
	})
	refused := refusalOf(t, err)
	require.Equal(t, "schedule_invalid", refused.Code)
	allowed := map[string]string{}
	for _, p := range refused.Problems {
		require.NotEmpty(t, p.Code)
		require.NotEmpty(t, p.Message)
		allowed[p.Field] = p.Allowed
	}
	for field, part := range map[string]string{
		"name": "A-Z", "workflow": "published", "cron": "minute hour", "time_zone": "IANA", "jitter": "30s", "catch_up": "none, last, all",
		"overlap": "skip, queue, cancel", "input.a": "${schedule.time}", "labels.schedule": "another", "end_before": "after start_after",
	} {
		require.Contains(t, allowed[field], part, field)
	}
	require.Len(t, allowed, 10)

	for field, change := range map[string]func(*engine.ScheduleRequest){
		"workflow": func(r *engine.ScheduleRequest) { r.Workflow = "" },
		"version":  func(r *engine.ScheduleRequest) { r.Version = 7 },
		"cron":     func(r *engine.ScheduleRequest) { r.Cron = "" },
		"jitter":   func(r *engine.ScheduleRequest) { r.Jitter = "25h" },
		"priority": func(r *engine.ScheduleRequest) { r.Priority = 10 },
		"input":    func(r *engine.ScheduleRequest) { r.Input = json.RawMessage(`{`) },
		"input.day": func(r *engine.ScheduleRequest) {
			r.Workflow, r.Input = "strict", json.RawMessage(`{"day":"${schedule.name}"}`)
		},
		"labels":       func(r *engine.ScheduleRequest) { r.Labels = manyLabels(63) },
		"input.in[0]":  func(r *engine.ScheduleRequest) { r.Input = json.RawMessage(`{"in":["${"]}`) },
		"time_zone":    func(r *engine.ScheduleRequest) { r.TimeZone = "Local" },
		"input.in.in2": func(r *engine.ScheduleRequest) { r.Input = json.RawMessage(`{"in":{"in2":"${secrets.x}"}}`) },
	} {
		_, err := tt.Publish(t.Context(), project, []byte("name: strict\ninput_schema: { properties: { day: { pattern: \"^[0-9-]+$\" } } }\ntasks: [{ name: a, type: noop }]\n"), false)
		require.NoError(t, err)
		r := engine.ScheduleRequest{Workflow: "ends", Cron: "@daily"}
		change(&r)
		_, _, err = tt.PutSchedule(t.Context(), project, "s", r)
		require.Equal(t, field, refusalOf(t, err).Problems[0].Field)
		require.Len(t, refusalOf(t, err).Problems, 1, field)
	}
	_, _, err = tt.PutSchedule(t.Context(), "nowhere", "s", engine.ScheduleRequest{})
	require.Equal(t, "project_not_found", refusalOf(t, err).Code)
	keys, err := queuetest.Keys(t.Context(), tt.store.Client(), "redrive:{p:default}:schedule")
	require.NoError(t, err)
	require.Empty(t, keys, "nothing was stored")
}

func manyLabels(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("k", i)] = "v"
	}
	return m
}

func TestBackfills(t *testing.T) {
	t.Parallel()
	tt := newTimetable(t)
	ctx := t.Context()
	tt.put("s", engine.ScheduleRequest{Workflow: "goes", Cron: "30 2 * * *", TimeZone: "Europe/Berlin", Enabled: new(bool)})
	from, till := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)
	preview, err := tt.PreviewBackfill(ctx, project, "s", engine.BackfillRequest{From: from, To: till})
	require.NoError(t, err)
	require.Equal(t, 3, preview.Count)
	require.Equal(t, "2026-03-29T03:00:00+02:00", preview.Times[1].Format(time.RFC3339))
	require.Equal(t, "2026-03-30T02:30:00+02:00", preview.Last.Format(time.RFC3339))
	require.Empty(t, tt.get("s").Backfills, "a preview starts nothing")

	for field, r := range map[string]engine.BackfillRequest{
		"to":          {From: till, To: from},
		"max_running": {From: from, To: till, MaxRunning: 101},
		"input.a":     {From: from, To: till, Input: json.RawMessage(`{"a":"${x}"}`)},
	} {
		_, err := tt.StartBackfill(ctx, project, "s", r)
		require.Equal(t, field, refusalOf(t, err).Problems[0].Field)
	}
	_, err = tt.StartBackfill(ctx, project, "s", engine.BackfillRequest{From: from, To: tt.now().Add(time.Hour)})
	require.Contains(t, err.Error(), "future")
	_, err = tt.StartBackfill(ctx, project, "s", engine.BackfillRequest{From: from, To: from.Add(time.Minute)})
	require.Contains(t, err.Error(), "no tick")
	_, err = tt.StartBackfill(ctx, project, "s", engine.BackfillRequest{From: from.AddDate(-40, 0, 0), To: till})
	require.Contains(t, err.Error(), "more than 10000 ticks")

	_, err = tt.StartBackfill(ctx, project, "s", engine.BackfillRequest{From: from, To: till, MaxRunning: 2, Input: json.RawMessage(`{"day":"${schedule.date}"}`), By: "me"})
	require.NoError(t, err)
	tt.sweep()
	b := &tt.get("s").Backfills[0]
	require.Equal(t, 2, b.Started)
	require.Len(t, b.Running, 2)
	x, err := tt.Execution(ctx, b.Running[1].Execution)
	require.NoError(t, err)
	require.JSONEq(t, `{"day":"2026-03-29"}`, string(x.Input))
	require.Equal(t, "s-1", x.Labels[engine.LabelBackfill])
	require.Equal(t, "schedule-s-backfill-1", x.Session.AttemptName)
	b, err = tt.CancelBackfill(ctx, project, "s", b.ID)
	require.NoError(t, err)
	require.Equal(t, engine.BackfillCanceled, b.Status)
	_, err = tt.CancelBackfill(ctx, project, "s", 9)
	require.Equal(t, "backfill_not_found", refusalOf(t, err).Code)
	for _, r := range b.Running {
		_, err := tt.Cancel(ctx, r.Execution, engine.Request{})
		require.NoError(t, err)
	}
	tt.clock.offset += time.Second
	tt.sweep()
	require.Len(t, tt.started("s"), 2, "nothing more is started")
	require.Equal(t, 2, tt.get("s").Backfills[0].Failed)

	for range 10 {
		_, err = tt.StartBackfill(ctx, project, "s", engine.BackfillRequest{From: from, To: till})
		require.NoError(t, err)
	}
	_, err = tt.StartBackfill(ctx, project, "s", engine.BackfillRequest{From: from, To: till})
	require.Equal(t, "too_many_backfills", refusalOf(t, err).Code)
}
