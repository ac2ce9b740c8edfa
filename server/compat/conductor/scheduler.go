package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow/cron"
)

// notesSchedules is the group of notes that holds schedules as they were saved.
const notesSchedules = "conductor.schedule"

// Schedules keeps and switches schedules.
type Schedules interface {
	PutSchedule(ctx context.Context, project, name string, r engine.ScheduleRequest) (*engine.Schedule, bool, error)
	Schedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	EnableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	DisableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	DeleteSchedule(ctx context.Context, project, name string) error
}

type schedule struct {
	Name      string        `json:"name"`
	Cron      string        `json:"cronExpression"`
	Zone      string        `json:"zoneId"`
	CatchUp   bool          `json:"runCatchupScheduleInstances"`
	Paused    bool          `json:"paused"`
	Start     *startRequest `json:"startWorkflowRequest"`
	StartTime *int64        `json:"scheduleStartTime"` // ms
	EndTime   *int64        `json:"scheduleEndTime"`
}

func (h *handlers) schedulerRoutes() []compat.Route {
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	const why = "schedules are listed, and paused and resumed one by one or all together"
	routes := []compat.Route{
		{Method: http.MethodPost, Path: "/api/scheduler/schedules", Rule: write, Serve: h.putSchedule},
		{Method: http.MethodGet, Path: "/api/scheduler/schedules", Rule: read, Serve: h.listSchedules},
		{Method: http.MethodGet, Path: "/api/scheduler/schedules/:name", Rule: read, Serve: h.getSchedule},
		{Method: http.MethodDelete, Path: "/api/scheduler/schedules/:name", Rule: write, Serve: h.deleteSchedule},
		compat.Absent(http.MethodGet, "/api/scheduler/schedules/search", why),
		{Method: http.MethodGet, Path: "/api/scheduler/search/executions", Rule: read, Serve: h.searchScheduled},
		{Method: http.MethodGet, Path: "/api/scheduler/nextFewSchedules", Rule: read, Serve: nextTimes},
		{Method: http.MethodGet, Path: "/api/scheduler/admin/requeue", Rule: write, Serve: func(c *gin.Context) error { return answerJSON(c, map[string]any{}) }}, // nothing waits to be queued again
		{Method: http.MethodGet, Path: "/api/scheduler/admin/pause", Rule: write, Serve: h.switchAll(true)},
		{Method: http.MethodGet, Path: "/api/scheduler/admin/resume", Rule: write, Serve: h.switchAll(false)},
		compat.Absent(http.MethodPut, "/api/scheduler/bulk/pause", why), compat.Absent(http.MethodPut, "/api/scheduler/bulk/resume", why),
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} { // clients send the one or the other
		routes = append(routes,
			compat.Route{Method: method, Path: "/api/scheduler/schedules/:name/pause", Rule: write, Serve: h.switchSchedule(true)},
			compat.Route{Method: method, Path: "/api/scheduler/schedules/:name/resume", Rule: write, Serve: h.switchSchedule(false)})
	}
	return routes
}

var cronFields = regexp.MustCompile(`^\S+( \S+){5}$`)

// nativeCron is a cron expression with seconds as one without them.
func nativeCron(expression string) (string, error) {
	expression = strings.Join(strings.Fields(expression), " ")
	if !cronFields.MatchString(expression) {
		return "", invalidDef{{Path: "cronExpression", Message: "has six fields: second minute hour day-of-month month day-of-week", InvalidValue: expression}}
	}
	second, rest, _ := strings.Cut(expression, " ")
	if second != "0" {
		return "", invalidDef{{Path: "cronExpression", Message: "a schedule begins at full minutes here: the second is 0", InvalidValue: expression}}
	}
	return strings.ReplaceAll(rest, "?", "*"), nil
}

func (h *handlers) putSchedule(c *gin.Context) error {
	var full map[string]any
	if err := read(c.Request, &full); err != nil {
		return err
	}
	var s schedule
	if err := mold(full, &s); err != nil {
		return malformed(err)
	}
	if s.Name == "" || s.Start == nil || s.Start.Name == "" {
		return invalidDef{{Path: "startWorkflowRequest", Message: "a schedule needs a name, and a startWorkflowRequest with the name of a workflow"}}
	}
	ctx := c.Request.Context()
	if err := h.keepSchedule(ctx, compat.Project(ctx), &s); err != nil {
		return err
	}
	if _, ok := full["createTime"]; !ok {
		full["createTime"] = time.Now().UnixMilli()
	}
	full["updatedTime"] = time.Now().UnixMilli()
	if err := h.engine.PutNote(ctx, compat.Project(ctx), notesSchedules, s.Name, encoded(full)); err != nil {
		return err
	}
	return answerJSON(c, full)
}

// keepSchedule makes the native schedule.
func (h *handlers) keepSchedule(ctx context.Context, project string, s *schedule) error {
	cron, err := nativeCron(s.Cron)
	if err != nil {
		return err
	}
	version, err := h.versionOf(ctx, project, s.Start)
	if err != nil {
		return err
	}
	enabled := !s.Paused
	r := engine.ScheduleRequest{
		Workflow: s.Start.Name, Version: version, Cron: cron, TimeZone: s.Zone, Input: given(s.Start.Input), Enabled: &enabled, Overlap: string(engine.OverlapAllow),
		StartAfter: moment(s.StartTime), EndBefore: moment(s.EndTime), CatchUp: string(engine.CatchUpNone),
	}
	if s.CatchUp {
		r.CatchUp = string(engine.CatchUpAll)
	}
	_, _, err = h.engine.PutSchedule(ctx, project, s.Name, r)
	if compat.IsMissing(err) {
		return undefined(s.Start)
	}
	return err
}

func moment(ms *int64) *time.Time {
	if ms == nil || *ms == 0 {
		return nil
	}
	t := time.UnixMilli(*ms).UTC()
	return &t
}

// follow moves the schedules that start the newest version of a workflow to it.
func (h *handlers) follow(ctx context.Context, project, name string) error {
	notes, err := h.engine.Notes(ctx, project, notesSchedules)
	if err != nil {
		return err
	}
	for _, key := range sorted(notes) {
		var s schedule
		if err := decode(notes[key], &s); err != nil {
			return malformed(err)
		}
		if s.Start == nil || s.Start.Name != name {
			continue
		}
		if now, err := h.engine.Schedule(ctx, project, key); err == nil {
			s.Paused = !now.Enabled
		}
		if err := h.keepSchedule(ctx, project, &s); err != nil {
			return err
		}
	}
	return nil
}

// shownSchedule is a schedule as it was saved, and whether it is paused now.
func (h *handlers) shownSchedule(ctx context.Context, name string, raw json.RawMessage) (map[string]any, error) {
	var full map[string]any
	if err := decode(raw, &full); err != nil {
		return nil, malformed(err)
	}
	s, err := h.engine.Schedule(ctx, compat.Project(ctx), name)
	if compat.IsMissing(err) { // it was deleted natively
		full["paused"] = true
		return full, nil
	}
	if err != nil {
		return nil, err
	}
	full["paused"] = !s.Enabled
	if s.Next != nil {
		full["nextRunTime"] = s.Next.Time.UnixMilli()
	}
	return full, nil
}

func (h *handlers) listSchedules(c *gin.Context) error {
	ctx := c.Request.Context()
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), notesSchedules)
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, name := range sorted(notes) {
		full, err := h.shownSchedule(ctx, name, notes[name])
		if err != nil {
			return err
		}
		if wanted := c.Query("workflowName"); wanted != "" {
			if start, ok := full["startWorkflowRequest"].(map[string]any); !ok || start["name"] != wanted {
				continue
			}
		}
		list = append(list, full)
	}
	return answerJSON(c, list)
}

func noSchedule(name string) error {
	return refuse(http.StatusNotFound, "Schedule not found by name: %s", name)
}

func (h *handlers) getSchedule(c *gin.Context) error {
	ctx, name := c.Request.Context(), c.Param("name")
	raw, err := h.engine.Note(ctx, compat.Project(ctx), notesSchedules, name)
	if compat.IsMissing(err) {
		return noSchedule(name)
	}
	if err != nil {
		return err
	}
	full, err := h.shownSchedule(ctx, name, raw)
	if err != nil {
		return err
	}
	return answerJSON(c, full)
}

func (h *handlers) deleteSchedule(c *gin.Context) error {
	ctx, name := c.Request.Context(), c.Param("name")
	if err := h.engine.DeleteSchedule(ctx, compat.Project(ctx), name); err != nil && !compat.IsMissing(err) {
		return err
	}
	err := h.engine.DeleteNote(ctx, compat.Project(ctx), notesSchedules, name)
	if compat.IsMissing(err) {
		return noSchedule(name)
	}
	if err == nil {
		err = h.dropTags(ctx, tagsOf("schedule", name), nil)
	}
	if err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

func (h *handlers) switchSchedule(off bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		ctx, name := c.Request.Context(), c.Param("name")
		if _, err := h.engine.Note(ctx, compat.Project(ctx), notesSchedules, name); compat.IsMissing(err) {
			return noSchedule(name)
		} else if err != nil {
			return err
		}
		change := h.engine.EnableSchedule
		if off {
			change = h.engine.DisableSchedule
		}
		if _, err := change(ctx, compat.Project(ctx), name); err != nil {
			return err
		}
		return silent(c.Writer, http.StatusOK)
	}
}

// switchAll pauses or resumes all schedules.
func (h *handlers) switchAll(off bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		ctx := c.Request.Context()
		notes, err := h.engine.Notes(ctx, compat.Project(ctx), notesSchedules)
		if err != nil {
			return err
		}
		change := h.engine.EnableSchedule
		if off {
			change = h.engine.DisableSchedule
		}
		for _, name := range sorted(notes) {
			if _, err := change(ctx, compat.Project(ctx), name); err != nil && !compat.IsMissing(err) {
				return err
			}
		}
		return answerJSON(c, map[string]any{})
	}
}

// maxNextTimes is how many times of a schedule are foreseen.
const maxNextTimes = 5

// nextTimes answers when a cron expression fires next, in ms.
func nextTimes(c *gin.Context) error {
	expression, err := nativeCron(c.Query("cronExpression"))
	if err != nil {
		return err
	}
	times, err := cron.Of(expression, cmp.Or(c.Query("zoneId"), "UTC"))
	if err != nil {
		return invalidDef{{Path: "cronExpression", Message: err.Error(), InvalidValue: c.Query("cronExpression")}}
	}
	most, err := count(c, "limit", 3)
	if err != nil {
		return err
	}
	from, err := count(c, "scheduleStartTime", 0)
	if err != nil {
		return err
	}
	till, err := count(c, "scheduleEndTime", 0)
	if err != nil {
		return err
	}
	at := time.Now()
	if start := time.UnixMilli(int64(from)); start.After(at) {
		at = start
	}
	next := []int64{}
	for range min(max(most, 0), maxNextTimes) {
		if at = times.Next(at); at.IsZero() || till > 0 && at.UnixMilli() > int64(till) {
			break
		}
		next = append(next, at.UnixMilli())
	}
	return answerJSON(c, next)
}

type scheduled struct {
	ExecutionID   string        `json:"executionId"`
	ScheduleName  string        `json:"scheduleName"`
	ScheduledTime int64         `json:"scheduledTime"` // ms
	ExecutionTime int64         `json:"executionTime"` // ms, when it was started
	WorkflowName  string        `json:"workflowName"`
	WorkflowID    string        `json:"workflowId"`
	Start         *startRequest `json:"startWorkflowRequest,omitempty"`
	State         string        `json:"state"`
	Zone          string        `json:"zoneId,omitempty"`
}

// maxScheduled is how many executions of one schedule are searched.
const maxScheduled = 1000

// scheduledColumns are what the executions of schedules are searched and sorted by.
var scheduledColumns = columns[scheduled]{
	texts: map[string]func(scheduled) string{
		"scheduleName": func(s scheduled) string { return s.ScheduleName }, "workflowId": func(s scheduled) string { return s.WorkflowID },
		"workflowName": func(s scheduled) string { return s.WorkflowName }, "state": func(s scheduled) string { return s.State },
	},
	numbers: map[string]func(scheduled) int64{
		"scheduledTime": func(s scheduled) int64 { return s.ScheduledTime }, "executionTime": func(s scheduled) int64 { return s.ExecutionTime },
		"startTime": func(s scheduled) int64 { return s.ExecutionTime },
	},
}

// searchScheduled answers what schedules started, newest first.
func (h *handlers) searchScheduled(c *gin.Context) error {
	q, err := scheduledColumns.asked(c, "executions")
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), notesSchedules)
	if err != nil {
		return err
	}
	// What is looked for may be anywhere; without, one more than the page tells that there is another.
	most := min(min(max(q.start, 0), maxScheduled)+min(max(q.size, 0), maxScheduled)+1, maxScheduled)
	if len(q.orders) > 0 || slices.ContainsFunc(q.conditions, func(c condition) bool { return c.field != "scheduleName" }) {
		most = maxScheduled
	}
	var found []scheduled
	looked := 0
	for _, name := range sorted(notes) {
		if looked >= maxSearched {
			break
		}
		if slices.ContainsFunc(q.conditions, func(c condition) bool { return c.field == "scheduleName" && !c.holds(name) }) {
			continue
		}
		var s schedule
		if err := decode(notes[name], &s); err != nil {
			return malformed(err)
		}
		list, _, err := h.engine.Executions(ctx, compat.Project(ctx), engine.ExecutionFilter{LabelKey: engine.LabelSchedule, LabelValue: name}, engine.Page{Limit: most})
		if err != nil {
			return err
		}
		looked += len(list)
		for i := range list {
			x := &list[i]
			one := scheduled{
				ExecutionID: x.ID, ScheduleName: name, ScheduledTime: x.CreatedAt.UnixMilli(), ExecutionTime: x.CreatedAt.UnixMilli(), WorkflowName: x.Workflow, WorkflowID: x.ID,
				Start: s.Start, State: "EXECUTED", Zone: s.Zone,
			}
			if at, err := time.Parse(time.RFC3339, x.Metadata[engine.MetadataScheduleTime]); err == nil {
				one.ScheduledTime = at.UnixMilli()
			}
			if scheduledColumns.meet(q.conditions, one) {
				found = append(found, one)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b scheduled) int { return cmp.Compare(b.ScheduledTime, a.ScheduledTime) })
	answer := searchAnswer{Results: []any{}}
	answer.TotalHits, found = scheduledColumns.page(q, found)
	for _, one := range found {
		answer.Results = append(answer.Results, one)
	}
	return answerJSON(c, answer)
}
