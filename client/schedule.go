package client

import (
	"bytes"
	"context"
	"iter"
	"net/http"
)

// Schedules walks the schedules by name, without their ticks and backfills.
func (c *Client) Schedules(ctx context.Context, project string) iter.Seq2[Schedule, error] {
	return all(func(cursor *string) ([]Schedule, *string, error) {
		list, _, err := read[ScheduleList](c.api.ListSchedules(ctx, project, &ListSchedulesParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Schedule reads a schedule with what it did last.
func (c *Client) Schedule(ctx context.Context, project, name string) (*Schedule, error) {
	s, _, err := read[Schedule](c.api.GetSchedule(ctx, project, name))
	return s, err
}

// PutSchedule creates a schedule, or changes the whole of one. With problems in
// the request it is an *Error with code schedule_invalid and all of them.
func (c *Client) PutSchedule(ctx context.Context, project, name string, r ScheduleRequest) (s *Schedule, created bool, err error) {
	s, status, err := read[Schedule](c.api.PutSchedule(ctx, project, name, r))
	return s, status == http.StatusCreated, err
}

// DeleteSchedule removes a schedule and leaves its executions.
func (c *Client) DeleteSchedule(ctx context.Context, project, name string) error {
	_, _, err := read[struct{}](c.api.DeleteSchedule(ctx, project, name))
	return err
}

// EnableSchedule lets a schedule go on from now.
func (c *Client) EnableSchedule(ctx context.Context, project, name string) (*Schedule, error) {
	s, _, err := read[Schedule](c.api.EnableSchedule(ctx, project, name))
	return s, err
}

// DisableSchedule stops a schedule.
func (c *Client) DisableSchedule(ctx context.Context, project, name string) (*Schedule, error) {
	s, _, err := read[Schedule](c.api.DisableSchedule(ctx, project, name))
	return s, err
}

// NextTicks previews the next count ticks of a schedule.
func (c *Client) NextTicks(ctx context.Context, project, name string, count int) (*TickPreview, error) {
	p, _, err := read[TickPreview](c.api.NextTicks(ctx, project, name, &NextTicksParams{Count: &count}))
	return p, err
}

// Backfill runs the ticks of a range of the past.
func (c *Client) Backfill(ctx context.Context, project, name string, r BackfillRequest) (*Backfill, error) {
	r.DryRun = false
	b, _, err := read[Backfill](c.api.StartBackfill(ctx, project, name, &StartBackfillParams{}, r))
	return b, err
}

// PreviewBackfill answers what Backfill would start.
func (c *Client) PreviewBackfill(ctx context.Context, project, name string, r BackfillRequest) (*BackfillPreview, error) {
	r.DryRun = true
	p, _, err := read[BackfillPreview](c.api.StartBackfill(ctx, project, name, &StartBackfillParams{}, r))
	return p, err
}

// CancelBackfill starts nothing more of a backfill; what runs goes on.
func (c *Client) CancelBackfill(ctx context.Context, project, name string, id int) (*Backfill, error) {
	b, _, err := read[Backfill](c.api.CancelBackfill(ctx, project, name, id))
	return b, err
}

// PutScheduleSource is PutSchedule with a JSON body as its author wrote it, so
// that the server finds what does not belong there.
func (c *Client) PutScheduleSource(ctx context.Context, project, name string, source []byte) (s *Schedule, created bool, err error) {
	s, status, err := read[Schedule](c.api.PutScheduleWithBody(ctx, project, name, "application/json", bytes.NewReader(source)))
	return s, status == http.StatusCreated, err
}
