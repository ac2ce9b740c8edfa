package digdag

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/compat/digdag/dig"
	"github.com/redrive/redrive/workflow/cron"
)

// wireSchedule is a schedule as Digdag has it. One that is disabled shows what would be next.
func (v *view) wireSchedule(s *engine.Schedule) (scheduleSummary, error) {
	made := scheduleSummary{CreatedAt: instant(s.CreatedAt), UpdatedAt: instant(s.UpdatedAt)}
	made.ID, made.Project, made.Workflow = strconv.FormatInt(s.Number, 10), named{Name: s.Project}, named{Name: s.Workflow}
	w, err := v.engine.Workflow(v.ctx, s.Project, s.Workflow, s.Version)
	if err != nil {
		return made, err
	}
	if made.Project.ID, err = v.projectID(s.Project); err != nil {
		return made, err
	}
	if made.Workflow.ID, err = v.workflowID(s.Project, w.Name, w.Version); err != nil {
		return made, err
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return made, err
	}
	next := s.Next
	if next == nil {
		ticks, _, err := v.engine.NextTicks(v.ctx, s.Project, s.Name, 1)
		if err != nil {
			return made, err
		}
		if next = (&engine.PlannedTick{Time: s.Cursor, Due: s.Cursor}); len(ticks) > 0 {
			next = &ticks[0]
		}
	}
	made.NextRunTime, made.NextScheduleTime = instant(next.Due), local(next.Time, zone)
	if !s.Enabled {
		made.DisabledAt = instantOf(&s.UpdatedAt)
	}
	return made, nil
}

func (h *handlers) listSchedules(c *gin.Context) error {
	v := h.view(c)
	all, err := v.projects()
	if err != nil {
		return err
	}
	return v.schedulesOf(c, all, "")
}

func (h *handlers) projectSchedules(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	return v.schedulesOf(c, []engine.Project{*p}, c.Query("workflow"))
}

func (v *view) schedulesOf(c *gin.Context, projects []engine.Project, name string) error {
	last, err := lastID(c)
	if err != nil {
		return err
	}
	var found []engine.Schedule
	for _, p := range projects {
		for page := (engine.Page{Limit: whole}); ; {
			some, next, err := v.engine.Schedules(v.ctx, p.Name, page)
			if err != nil {
				return err
			}
			for i := range some {
				if (name == "" || some[i].Workflow == name) && some[i].Number > last {
					found = append(found, some[i])
				}
			}
			if page.Cursor = next; next == "" {
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b engine.Schedule) int { return cmp.Compare(a.Number, b.Number) })
	made := schedules{[]schedule{}}
	for i := range found[:min(len(found), maxPage)] {
		one, err := v.wireSchedule(&found[i])
		if err != nil {
			return err
		}
		made.Schedules = append(made.Schedules, one.schedule)
	}
	return answer(c, made)
}

func (v *view) findSchedule(id string) (*engine.Schedule, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, missing("schedule id=%s", id)
	}
	s, err := v.engine.ScheduleByNumber(v.ctx, n)
	if compat.IsMissing(err) || err == nil && !auth.From(v.ctx).Sees(s.Project) {
		return nil, missing("schedule id=%s", id)
	}
	if err != nil {
		return nil, err
	}
	compat.Touch(v.ctx, s.Project)
	return s, nil
}

func (h *handlers) getSchedule(c *gin.Context) error {
	v := h.view(c)
	s, err := v.findSchedule(c.Param("id"))
	if err != nil {
		return err
	}
	made, err := v.wireSchedule(s)
	if err != nil {
		return err
	}
	return answer(c, made.schedule)
}

func (h *handlers) enable(c *gin.Context) error  { return h.change(c, h.engine.EnableSchedule) }
func (h *handlers) disable(c *gin.Context) error { return h.change(c, h.engine.DisableSchedule) }

func (h *handlers) change(c *gin.Context, to func(ctx context.Context, project, name string) (*engine.Schedule, error)) error {
	v := h.view(c)
	var q struct {
		SkipSchedule *bool   `json:"skipSchedule"`
		NextTime     *string `json:"nextTime"`
	}
	if err := read(c, &q); err != nil {
		return err
	}
	if q.NextTime != nil || q.SkipSchedule != nil && !*q.SkipSchedule {
		return refuse("what a schedule missed while it was disabled is not caught up here; allowed: no nextTime, and skipSchedule true or left out")
	}
	s, err := v.findSchedule(c.Param("id"))
	if err != nil {
		return err
	}
	if s, err = to(v.ctx, s.Project, s.Name); err != nil {
		return err
	}
	made, err := v.wireSchedule(s)
	if err != nil {
		return err
	}
	return answer(c, made)
}

const maxBackfill = 1000 // sessions

// backfill runs the sessions of a schedule from a time on, one after the other.
func (h *handlers) backfill(c *gin.Context) error {
	v := h.view(c)
	var q backfillRequest
	if err := read(c, &q); err != nil {
		return err
	}
	s, err := v.findSchedule(c.Param("id"))
	if err != nil {
		return err
	}
	r, err := q.request(s, time.Now())
	if err != nil {
		return err
	}
	r.By = auth.From(v.ctx).By()
	ticks, err := ticksOf(s, r)
	if err != nil {
		return err
	}
	if len(ticks) == 0 || q.Count != nil && len(ticks) < *q.Count {
		return refuse("count: there are %d sessions from %s to the next one of the schedule; allowed: as many or fewer", len(ticks), q.FromTime)
	}
	if err := v.unused(s, q.AttemptName, ticks); err != nil {
		return err
	}
	if q.DryRun {
		_, err = h.engine.PreviewBackfill(v.ctx, s.Project, s.Name, r)
	} else {
		_, err = h.engine.StartBackfill(v.ctx, s.Project, s.Name, r)
	}
	if err != nil {
		return err
	}
	shown, err := v.wireSchedule(s)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return err
	}
	made := backfill{ID: shown.ID, Project: shown.Project, Workflow: shown.Workflow, Attempts: []attempt{}}
	for _, tick := range ticks {
		made.Attempts = append(made.Attempts, attempt{
			// It has no id as long as it has not begun; Digdag's own dry run has 0 as well.
			state: state{Status: "queued", ID: "0", RetryAttemptName: &r.Attempt, Params: object(nil), CreatedAt: instant(time.Now())},
			Index: 1, Project: shown.Project, Workflow: shown.Workflow, SessionID: "0", SessionUUID: dig.SessionUUID(s.Project, s.Workflow, tick), SessionTime: local(tick, zone),
		})
	}
	return answer(c, made)
}

// unused refuses the name of an attempt that one of these sessions has, or that a backfill under way will give to one of them.
func (v *view) unused(s *engine.Schedule, name string, ticks []time.Time) error {
	used, err := v.engine.AttemptNamed(v.ctx, s.Project, s.Workflow, name, ticks)
	if err != nil {
		return err
	}
	for i, tick := range ticks {
		if used[i] || slices.ContainsFunc(s.Backfills, func(b engine.Backfill) bool {
			return b.Status == engine.BackfillRunning && b.Attempt == name && !tick.Before(b.From) && tick.Before(b.To)
		}) {
			return conflict("Attempt of project name=%s workflow=%s instant=%s attempt name=%s already exists", s.Project, s.Workflow, tick.UTC().Format(time.RFC3339), name)
		}
	}
	return nil
}

// request checks what is asked and turns it into the engine's words.
func (q *backfillRequest) request(s *engine.Schedule, now time.Time) (engine.BackfillRequest, error) {
	r := engine.BackfillRequest{MaxRunning: 1, Attempt: q.AttemptName}
	from, err := time.Parse(time.RFC3339, q.FromTime)
	switch {
	case err != nil:
		return r, refuse("fromTime is %q; allowed: a time with an offset, as 2026-03-01T00:00:00+09:00", q.FromTime)
	case q.AttemptName == "":
		return r, refuse("attemptName is missing; allowed: a name that no attempt of these sessions has")
	case utf8.RuneCountInString(q.AttemptName) > maxName:
		return r, refuse("attemptName is too long; allowed: 1 to 255 characters")
	case q.SkipExisting || q.AdvanceSchedule:
		return r, refuse("skipExisting and advanceSchedule are not available; allowed: false")
	case q.Count != nil && (*q.Count < 1 || *q.Count > maxBackfill):
		return r, refuse("count is %d; allowed: 1 to %d", *q.Count, maxBackfill)
	}
	r.From, r.To = from, now
	if s.Next != nil && s.Next.Time.Before(now) {
		r.To = s.Next.Time
	}
	if q.Count == nil || !from.Before(now) {
		return r, nil
	}
	times, err := cron.Of(s.Cron, s.TimeZone)
	if err != nil {
		return r, err
	}
	at := from.Add(-time.Nanosecond)
	for range *q.Count {
		next := times.Next(at)
		if next.IsZero() || !next.Before(r.To) {
			return r, nil
		}
		at = next
	}
	r.To = at.Add(time.Second)
	return r, nil
}

// ticksOf are the sessions of a backfill.
func ticksOf(s *engine.Schedule, r engine.BackfillRequest) (ticks []time.Time, err error) {
	times, err := cron.Of(s.Cron, s.TimeZone)
	if err != nil {
		return nil, err
	}
	for at := r.From.Add(-time.Nanosecond); len(ticks) <= maxBackfill; {
		at = times.Next(at)
		if at.IsZero() || !at.Before(r.To) {
			return ticks, nil
		}
		ticks = append(ticks, at)
	}
	return nil, refuse("there are more than %d sessions; allowed: count, or a later fromTime", maxBackfill)
}
