package server

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func (f *fake) schedule(project, name string) *engine.Schedule {
	return &engine.Schedule{
		ScheduleSpec: engine.ScheduleSpec{Workflow: "hello", Cron: "@daily", TimeZone: "UTC", CatchUp: engine.CatchUpLast, Overlap: engine.OverlapSkip, Priority: 5, Enabled: true},
		Project:      project, Name: name, Number: 7, Generation: 2, CreatedAt: epoch, UpdatedAt: epoch, Cursor: epoch,
		Next:    &engine.PlannedTick{Time: epoch, Due: epoch.Add(time.Minute)},
		Running: []engine.ScheduleRun{{Execution: idDefault, Time: epoch}}, Waiting: []time.Time{epoch},
		Ticks: []engine.ScheduleTick{
			{Time: epoch, At: epoch, Outcome: engine.TickSkipped, Reason: engine.SkippedMissed, Count: 3},
			{Time: epoch.Add(time.Hour), At: epoch, Outcome: engine.TickStarted, Execution: idDefault, Count: 1},
		},
		Backfills: []engine.Backfill{{ID: 1, Status: engine.BackfillRunning, From: epoch, To: epoch.Add(time.Hour), MaxRunning: 1, CreatedAt: epoch, Cursor: &epoch}},
	}
}

func (f *fake) Schedules(_ context.Context, project string, _ engine.Page) ([]engine.Schedule, string, error) {
	return []engine.Schedule{*f.schedule(project, "nightly")}, "nightly", f.err
}

func (f *fake) Schedule(_ context.Context, project, name string) (*engine.Schedule, error) {
	if name == "none" {
		return nil, engine.NotFound("schedule", name)
	}
	return f.schedule(project, name), f.err
}

func (f *fake) PutSchedule(_ context.Context, project, name string, r engine.ScheduleRequest) (*engine.Schedule, bool, error) {
	defer f.lock()()
	if r.Cron == "bad" {
		return nil, false, engine.Invalid("schedule_invalid", "the schedule cannot be stored",
			workflow.Problem{Field: "cron", Code: "bad_cron", Message: "is no cron", Allowed: "five fields"})
	}
	f.write(r)
	return f.schedule(project, name), name == "new", nil
}

func (f *fake) DeleteSchedule(_ context.Context, _, name string) error {
	defer f.lock()()
	f.write(name)
	return nil
}

func (f *fake) EnableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error) {
	defer f.lock()()
	f.write(name)
	return f.Schedule(ctx, project, name)
}

func (f *fake) DisableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error) {
	defer f.lock()()
	f.write(name)
	return f.Schedule(ctx, project, name)
}

func (f *fake) NextTicks(_ context.Context, _, _ string, count int) ([]engine.PlannedTick, bool, error) {
	return make([]engine.PlannedTick, count), true, nil
}

func (f *fake) PreviewBackfill(_ context.Context, _, name string, _ engine.BackfillRequest) (*engine.BackfillPreview, error) {
	if name == "empty" {
		return &engine.BackfillPreview{}, nil
	}
	return &engine.BackfillPreview{Count: 2, Times: []time.Time{epoch, epoch.Add(time.Hour)}, Last: epoch.Add(time.Hour)}, nil
}

func (f *fake) StartBackfill(_ context.Context, project, name string, r engine.BackfillRequest) (*engine.Backfill, error) {
	defer f.lock()()
	f.write(r)
	return &f.schedule(project, name).Backfills[0], nil
}

func (f *fake) CancelBackfill(_ context.Context, project, name string, _ int) (*engine.Backfill, error) {
	defer f.lock()()
	f.write(name)
	return &f.schedule(project, name).Backfills[0], nil
}

const schedulesPath = "/v1/projects/default/schedules"

func TestScheduleAnswers(t *testing.T) {
	r := newRig(t)
	span := `{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00+01:00"}`
	for _, c := range []struct {
		call   call
		status int
		part   string
		writes int
	}{
		{call{path: schedulesPath}, 200, `"next_cursor":"`, 0},
		{call{path: schedulesPath + "/nightly"}, 200, `"ticks":[{"at":"2026-01-31T08:00:00Z","count":1,"execution":"` + idDefault, 0},
		{call{path: schedulesPath + "/nightly"}, 200, `"input":null`, 0},
		{call{path: schedulesPath + "/none"}, 404, `"code":"schedule_not_found"`, 0},
		{call{method: "PUT", path: schedulesPath + "/new", body: `{"workflow":"hello","cron":"@daily"}`}, 201, `"name":"new"`, 1},
		{call{method: "PUT", path: schedulesPath + "/old", body: `{"name":"old","workflow":"hello","cron":"@daily"}`}, 200, `"name":"old"`, 1},
		{call{method: "DELETE", path: schedulesPath + "/old"}, 204, "", 1},
		{call{method: "POST", path: schedulesPath + "/nightly/enable"}, 200, `"enabled":true`, 1},
		{call{method: "POST", path: schedulesPath + "/nightly/disable"}, 200, `"number":7`, 1},
		{call{path: schedulesPath + "/nightly/next?count=3"}, 200, `"due_at":"`, 0},
		{call{path: schedulesPath + "/nightly/next"}, 200, `"enabled":true`, 0},
		{call{method: "POST", path: schedulesPath + "/nightly/backfill", body: span}, 202, `"status":"running"`, 1},
		{call{method: "POST", path: schedulesPath + "/nightly/backfill?dry_run=true", body: span}, 200, `"count":2,"first":"2026-01-31T08:00:00Z","last":"2026-01-31T09:00:00Z"`, 0},
		{call{method: "POST", path: schedulesPath + "/nightly/backfill", body: span[:len(span)-1] + `,"dry_run":true}`}, 200, `"count":2`, 0},
		{call{method: "POST", path: schedulesPath + "/empty/backfill?dry_run=true", body: span}, 200, `"first":null,"last":null,"times":[]`, 0},
		{call{method: "DELETE", path: schedulesPath + "/nightly/backfill/1"}, 200, `"cursor":"2026-01-31T08:00:00Z"`, 1},
	} {
		c.call.key = "rdr_write"
		before := r.fake.written()
		w := r.do(c.call)
		require.Equal(t, c.status, w.Code, "%s %s: %s", c.call.method, c.call.path, w.Body)
		require.Contains(t, w.Body.String(), c.part, "%s %s", c.call.method, c.call.path)
		require.Equal(t, before+c.writes, r.fake.written(), "%s %s", c.call.method, c.call.path)
	}
	w := r.do(call{method: "POST", path: schedulesPath + "/nightly/disable", key: "rdr_read"})
	require.Equal(t, 403, w.Code)
	w = r.do(call{path: schedulesPath, key: "rdr_other"})
	require.Contains(t, []int{403, 404}, w.Code)
}

func TestPutScheduleHandsEverythingOn(t *testing.T) {
	r := newRig(t)
	w := r.do(call{method: "PUT", path: schedulesPath + "/new", key: "rdr_write", body: `{
		"workflow":"w","version":3,"cron":"0 2 * * *","time_zone":"Europe/Berlin","jitter":"5m","catch_up":"all","overlap":"queue","input":{"big":12345678901234567890},
		"labels":{"l":"2"},"priority":9,"start_after":"2026-01-31T08:00:00Z","end_before":"2026-01-31T08:00:00Z","enabled":false}`})
	require.Equal(t, 201, w.Code, w.Body)
	no := false
	require.Equal(t, engine.ScheduleRequest{
		Workflow: "w", Version: 3, Cron: "0 2 * * *", TimeZone: "Europe/Berlin", Jitter: "5m", CatchUp: "all", Overlap: "queue",
		Input: json.RawMessage(`{"big":12345678901234567890}`), Labels: map[string]string{"l": "2"}, Priority: 9, StartAfter: &epoch, EndBefore: &epoch, Enabled: &no,
	}, r.fake.seen())
	w = r.do(call{method: "POST", path: schedulesPath + "/s/backfill", key: "rdr_write", body: `{"from":"2026-01-31T08:00:00Z","to":"2026-01-31T08:00:00Z","max_running":7,"input":[1]}`})
	require.Equal(t, 202, w.Code, w.Body)
	require.Equal(t, engine.BackfillRequest{From: epoch, To: epoch, MaxRunning: 7, Input: json.RawMessage(`[1]`), By: "writer (k2)"}, r.fake.seen())
}

func TestMalformedSchedules(t *testing.T) {
	const put, back = schedulesPath + "/s", schedulesPath + "/s/backfill"
	r := newRig(t)
	for _, c := range []struct{ method, path, body, field, allowed string }{
		{"PUT", put, `{"workflow":"w","cron":5}`, "cron", "a string"},
		{"PUT", put, `{"workflow":"w","cron":"@daily","timezone":"UTC"}`, "timezone", "time_zone"},
		{"PUT", put, `{"workflow":"w","cron":"@daily","jitter":5}`, "jitter", "a string"},
		{"PUT", put, `{"workflow":"w","cron":"@daily","enabled":"yes"}`, "enabled", "true or false"},
		{"PUT", put, `{"workflow":"w","cron":"@daily","start_after":"tomorrow"}`, "start_after", "RFC 3339"},
		{"PUT", put, `{"workflow":"w","cron":"@daily","labels":{"a":1}}`, "labels.a", "a string"},
		{"PUT", put, `{"workflow":"w","cron":"bad"}`, "cron", "five fields"},
		{"PUT", put, `{"name":"t","workflow":"w","cron":"@daily"}`, "name", "the name of the path"},
		{"PUT", schedulesPath + "/" + strings.Repeat("n", 129), `{}`, "name", "1 to 128"},
		{"GET", put + "/next?count=0", "", "count", "1 to 1000"},
		{"GET", put + "/next?cont=1", "", "cont", "count"},
		{"POST", back, `{"to":"2026-01-02T00:00:00Z"}`, "from", ""},
		{"POST", back, `{"from":"2026-01-01","to":"2026-01-02T00:00:00Z"}`, "from", "RFC 3339"},
		{"POST", back, `{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","max_running":0}`, "max_running", "1 to 100"},
		{"POST", back + "?dry_run=yes", `{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, "dry_run", "true or false"},
		{"DELETE", back + "/first", "", "backfill", "1 to"},
		{"GET", schedulesPath + "?limit=0", "", "limit", "1 to 1000"},
	} {
		w := r.do(call{method: c.method, path: c.path, body: c.body, key: "rdr_admin"})
		require.Equal(t, 422, w.Code, "%s %s %s: %s", c.method, c.path, c.body, w.Body)
		p := problemOf(t, w)
		require.NotEmpty(t, p.Errors, w.Body)
		require.Equal(t, c.field, p.Errors[0].Field)
		require.Contains(t, p.Errors[0].Allowed, c.allowed, w.Body)
		require.Zero(t, r.fake.written())
	}
}
