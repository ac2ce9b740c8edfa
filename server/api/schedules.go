package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// GET              /v1/projects/{project}/schedules
// GET, PUT, DELETE /v1/projects/{project}/schedules/{name}
// POST             /v1/projects/{project}/schedules/{name}/enable
// POST             /v1/projects/{project}/schedules/{name}/disable
// GET              /v1/projects/{project}/schedules/{name}/next
// POST             /v1/projects/{project}/schedules/{name}/backfill
// DELETE           /v1/projects/{project}/schedules/{name}/backfill/{backfill}

// Schedules is what the schedule routes ask of the engine.
type Schedules interface {
	Schedules(ctx context.Context, project string, page engine.Page) ([]engine.Schedule, string, error)
	Schedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	PutSchedule(ctx context.Context, project, name string, r engine.ScheduleRequest) (s *engine.Schedule, created bool, err error)
	DeleteSchedule(ctx context.Context, project, name string) error
	EnableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	DisableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	NextTicks(ctx context.Context, project, name string, count int) (ticks []engine.PlannedTick, enabled bool, err error)
	Backfills
}

// Backfills is what the backfill routes ask of the engine.
type Backfills interface {
	PreviewBackfill(ctx context.Context, project, name string, r engine.BackfillRequest) (*engine.BackfillPreview, error)
	StartBackfill(ctx context.Context, project, name string, r engine.BackfillRequest) (*engine.Backfill, error)
	CancelBackfill(ctx context.Context, project, name string, id int) (*engine.Backfill, error)
}

type schedules struct{ engine Schedules }

// ListSchedules lists the schedules by name.
func (h schedules) ListSchedules(ctx context.Context, r ListSchedulesRequestObject) (ListSchedulesResponseObject, error) {
	list := placeOf("schedules", r.Project)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Schedules(ctx, r.Project, page)
	if err != nil {
		return nil, err
	}
	return ListSchedules200JSONResponse{Items: each(found, wireSchedule), NextCursor: list.next(next)}, nil
}

// GetSchedule reads a schedule.
func (h schedules) GetSchedule(ctx context.Context, r GetScheduleRequestObject) (GetScheduleResponseObject, error) {
	s, err := h.engine.Schedule(ctx, r.Project, r.Name)
	if err != nil {
		return nil, err
	}
	return GetSchedule200JSONResponse(wireSchedule(*s)), nil
}

// PutSchedule creates or changes a schedule.
func (h schedules) PutSchedule(ctx context.Context, r PutScheduleRequestObject) (PutScheduleResponseObject, error) {
	b := r.Body
	if b.Name != "" && b.Name != r.Name {
		return nil, problem.Invalid(invalidRequest, "the schedule has two names", workflow.Problem{
			Field: "name", Code: "conflict", Message: fmt.Sprintf("is %q, and the path says %q", b.Name, r.Name), Allowed: "the name of the path, or nothing",
		})
	}
	s, created, err := h.engine.PutSchedule(ctx, r.Project, r.Name, engine.ScheduleRequest{
		Workflow: b.Workflow, Version: b.Version, Cron: b.Cron, TimeZone: b.TimeZone, Delay: b.Delay, Jitter: b.Jitter, CatchUp: b.CatchUp, Overlap: b.Overlap,
		Input: b.Input, Labels: b.Labels, Priority: b.Priority, StartAfter: b.StartAfter, EndBefore: b.EndBefore, Enabled: b.Enabled,
	})
	if err != nil {
		return nil, err
	}
	if created {
		return PutSchedule201JSONResponse(wireSchedule(*s)), nil
	}
	return PutSchedule200JSONResponse(wireSchedule(*s)), nil
}

// DeleteSchedule removes a schedule.
func (h schedules) DeleteSchedule(ctx context.Context, r DeleteScheduleRequestObject) (DeleteScheduleResponseObject, error) {
	if err := h.engine.DeleteSchedule(ctx, r.Project, r.Name); err != nil {
		return nil, err
	}
	return DeleteSchedule204Response{}, nil
}

// EnableSchedule lets a schedule go on.
func (h schedules) EnableSchedule(ctx context.Context, r EnableScheduleRequestObject) (EnableScheduleResponseObject, error) {
	s, err := h.engine.EnableSchedule(ctx, r.Project, r.Name)
	if err != nil {
		return nil, err
	}
	return EnableSchedule200JSONResponse(wireSchedule(*s)), nil
}

// DisableSchedule stops a schedule.
func (h schedules) DisableSchedule(ctx context.Context, r DisableScheduleRequestObject) (DisableScheduleResponseObject, error) {
	s, err := h.engine.DisableSchedule(ctx, r.Project, r.Name)
	if err != nil {
		return nil, err
	}
	return DisableSchedule200JSONResponse(wireSchedule(*s)), nil
}

const previewedTicks = 10

// NextTicks previews the next ticks.
func (h schedules) NextTicks(ctx context.Context, r NextTicksRequestObject) (NextTicksResponseObject, error) {
	count := previewedTicks
	if r.Params.Count != nil {
		count = *r.Params.Count
	}
	ticks, enabled, err := h.engine.NextTicks(ctx, r.Project, r.Name, count)
	if err != nil {
		return nil, err
	}
	return NextTicks200JSONResponse{Enabled: enabled, Items: each(ticks, wireTick)}, nil
}

// StartBackfill starts a backfill or, dry, answers what it would start.
func (h schedules) StartBackfill(ctx context.Context, r StartBackfillRequestObject) (StartBackfillResponseObject, error) {
	b := r.Body
	request := engine.BackfillRequest{From: b.From, To: b.To, MaxRunning: b.MaxRunning, Input: b.Input, By: auth.From(ctx).By()}
	if b.DryRun || r.Params.DryRun != nil && *r.Params.DryRun {
		p, err := h.engine.PreviewBackfill(ctx, r.Project, r.Name, request)
		if err != nil {
			return nil, err
		}
		return StartBackfill200JSONResponse(wirePreview(*p)), nil
	}
	started, err := h.engine.StartBackfill(ctx, r.Project, r.Name, request)
	if err != nil {
		return nil, err
	}
	return StartBackfill202JSONResponse(wireBackfill(*started)), nil
}

// CancelBackfill ends a backfill.
func (h schedules) CancelBackfill(ctx context.Context, r CancelBackfillRequestObject) (CancelBackfillResponseObject, error) {
	b, err := h.engine.CancelBackfill(ctx, r.Project, r.Name, r.Backfill)
	if err != nil {
		return nil, err
	}
	return CancelBackfill200JSONResponse(wireBackfill(*b)), nil
}

func wireSchedule(s engine.Schedule) Schedule {
	w := Schedule{
		Project: s.Project, Name: s.Name, Number: s.Number, Generation: s.Generation, Workflow: s.Workflow, Version: s.Version,
		Cron: s.Cron, TimeZone: s.TimeZone, Jitter: s.Jitter.String(), CatchUp: ScheduleCatchUp(s.CatchUp), Overlap: ScheduleOverlap(s.Overlap),
		Input: s.Input, Labels: s.Labels, Priority: s.Priority, StartAfter: s.StartAfter, EndBefore: s.EndBefore, Enabled: s.Enabled,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DecidedUntil: optional(s.Cursor),
		Running: each(s.Running, wireScheduleRun), Waiting: each(s.Waiting, same), Ticks: each(s.Ticks, wireOutcome), Backfills: each(s.Backfills, wireBackfill),
	}
	if s.Delay > 0 {
		w.Delay = s.Delay.String()
	}
	if s.Next != nil {
		next := wireTick(*s.Next)
		w.Next = &next
	}
	slices.Reverse(w.Ticks)
	slices.Reverse(w.Backfills)
	return w
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func wireTick(t engine.PlannedTick) Tick { return Tick{Time: t.Time, DueAt: t.Due} }

func wireScheduleRun(r engine.ScheduleRun) ScheduleRun {
	return ScheduleRun{Execution: r.Execution, Time: r.Time}
}

func wireOutcome(t engine.ScheduleTick) TickOutcome {
	return TickOutcome{
		Time: t.Time, At: t.At, Outcome: TickOutcomeOutcome(t.Outcome), Reason: t.Reason, Execution: t.Execution, Error: t.Error, Count: t.Count,
	}
}

func wirePreview(p engine.BackfillPreview) BackfillPreview {
	w := BackfillPreview{Count: p.Count, Times: each(p.Times, same), Last: optional(p.Last)}
	if len(p.Times) > 0 {
		w.First = &p.Times[0]
	}
	return w
}

func wireBackfill(b engine.Backfill) Backfill {
	return Backfill{
		ID: b.ID, Status: BackfillStatus(b.Status), From: b.From, To: b.To, MaxRunning: b.MaxRunning, Input: b.Input, By: b.By,
		Cron: b.Cron, TimeZone: b.TimeZone, Count: b.Count, Started: b.Started, NotStarted: b.NotStarted, Succeeded: b.Succeeded, Failed: b.Failed,
		LastError: b.LastError, Cursor: b.Cursor, Running: each(b.Running, wireScheduleRun), CreatedAt: b.CreatedAt, EndedAt: b.EndedAt,
	}
}
