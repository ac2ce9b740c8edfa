package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
	"github.com/redrive/redrive/workflow/cron"
)

const (
	maxJitter = 24 * time.Hour
	maxDelay  = 7 * 24 * time.Hour
)

var scheduleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func sameSpec(a, b ScheduleSpec) bool {
	one, err1 := json.Marshal(a)
	two, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(one, two)
}

// scheduleCheck collects everything that is wrong with a request.
type scheduleCheck struct {
	problems workflow.Problems
}

func (c *scheduleCheck) add(field, code, message, allowed string) {
	c.problems = append(c.problems, workflow.Problem{Field: field, Code: code, Message: message, Allowed: allowed})
}

// checkSchedule turns a request into what is stored, or answers all that is wrong with it.
func (e *Engine) checkSchedule(ctx context.Context, s *schedule, r ScheduleRequest) (ScheduleSpec, error) {
	c := &scheduleCheck{}
	if !scheduleName.MatchString(s.record.Name) {
		c.add("name", workflow.CodeBadName, fmt.Sprintf("%q is no name for a schedule", s.record.Name), "a letter or digit, then up to 127 of A-Z a-z 0-9 . _ -")
	}
	spec := ScheduleSpec{
		Workflow: r.Workflow, Version: r.Version, Cron: strings.Join(strings.Fields(r.Cron), " "), TimeZone: cmp.Or(r.TimeZone, "UTC"),
		CatchUp: CatchUp(cmp.Or(r.CatchUp, string(CatchUpLast))), Overlap: Overlap(cmp.Or(r.Overlap, string(OverlapSkip))),
		Labels: r.Labels, Priority: cmp.Or(r.Priority, workflow.DefaultPriority), StartAfter: inUTC(r.StartAfter), EndBefore: inUTC(r.EndBefore),
		Enabled: s.spec.Enabled,
	}
	if input := bytes.TrimSpace(r.Input); len(input) > 0 && !bytes.Equal(input, []byte("null")) {
		spec.Input = input
	}
	if r.Enabled != nil {
		spec.Enabled = *r.Enabled
	}
	times := c.times(spec)
	spec.Jitter = c.duration("jitter", r.Jitter, maxJitter)
	spec.Delay = c.duration("delay", r.Delay, maxDelay)
	if !slices.Contains([]CatchUp{CatchUpNone, CatchUpLast, CatchUpAll}, spec.CatchUp) {
		c.add("catch_up", workflow.CodeNotAllowed, fmt.Sprintf("%q is no policy", spec.CatchUp), "none, last, all")
	}
	if !slices.Contains([]Overlap{OverlapSkip, OverlapQueue, OverlapCancel, OverlapAllow}, spec.Overlap) {
		c.add("overlap", workflow.CodeNotAllowed, fmt.Sprintf("%q is no policy", spec.Overlap), "skip, queue, cancel, allow")
	}
	if spec.StartAfter != nil && spec.EndBefore != nil && !spec.StartAfter.Before(*spec.EndBefore) {
		c.add("end_before", workflow.CodeOutOfRange, "is not after start_after", "a time after start_after")
	}
	for _, key := range []string{LabelSchedule, LabelBackfill} {
		if _, taken := spec.Labels[key]; taken {
			c.add("labels."+key, workflow.CodeReserved, "is set by the schedule itself", "another name")
		}
	}
	if len(spec.Labels) > maxLabels-2 {
		c.add("labels", "too_many", fmt.Sprintf("has %d entries", len(spec.Labels)), fmt.Sprintf("at most %d: two are set by the schedule itself", maxLabels-2))
	}
	if times == nil {
		times = cron.Hourly()
	}
	draft := &schedule{record: s.record, spec: spec, times: times}
	if err := e.checkStarts(ctx, c, draft, spec.Input, "input"); err != nil {
		return spec, err
	}
	if len(c.problems) > 0 {
		return spec, Invalid("schedule_invalid", "the schedule cannot be stored", c.problems...)
	}
	return spec, nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}

func (c *scheduleCheck) times(spec ScheduleSpec) *cron.Times {
	zone, err := time.LoadLocation(spec.TimeZone)
	if err != nil || spec.TimeZone == "Local" {
		c.add("time_zone", workflow.CodeNotAllowed, fmt.Sprintf("%q is no time zone", spec.TimeZone), "a name of the IANA database, as UTC, Europe/Berlin, America/New_York")
		zone = time.UTC
	}
	if spec.Cron == "" {
		c.add("cron", workflow.CodeRequired, "is required", cron.Allowed)
		return nil
	}
	times, err := cron.Parse(spec.Cron, zone)
	if err != nil {
		c.add("cron", "bad_cron", fmt.Sprintf("%q: %v", spec.Cron, err), cron.Allowed)
	}
	return times
}

func (c *scheduleCheck) duration(field, text string, most time.Duration) workflow.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		c.add(field, workflow.CodeBadDuration, fmt.Sprintf("%q is no duration", text), "a duration as 30s or 5m")
	case d < 0 || d > most:
		c.add(field, workflow.CodeOutOfRange, fmt.Sprintf("is %s", d), fmt.Sprintf("0s to %s", most))
	}
	return workflow.Duration(d)
}

// checkStarts starts nothing, but checks what a tick would start: the workflow, and the input with a tick filled in.
func (e *Engine) checkStarts(ctx context.Context, c *scheduleCheck, s *schedule, input json.RawMessage, field string) error {
	if s.spec.Workflow == "" {
		c.add("workflow", workflow.CodeRequired, "is required", "the name of a workflow of the project")
		return nil
	}
	sample := s.times.Next(time.Unix(0, 0))
	if len(input) > 0 {
		if _, problems := workflow.Fill(input, field, s.values(sample), e.o.Limits); len(problems) > 0 {
			c.problems = append(c.problems, problems...)
			input = nil
		}
	}
	w, err := e.head(ctx, s.record.Project, s.spec.Workflow, s.spec.Version)
	var refused *Error
	switch {
	case errors.As(err, &refused) && refused.Kind == KindNotFound:
		what, allowed := "workflow", "a workflow that was published in the project"
		if refused.Code == "version_not_found" {
			what, allowed = "version", "a version that was published; none = the newest at each tick"
		}
		c.add(what, refused.Code, refused.Message, allowed)
		return nil
	case err != nil:
		return err
	}
	p, err := e.program(ctx, s.record.Project, w.Hash, "")
	if err != nil {
		return err
	}
	r := s.order(sample, "", input).request(sample)
	err = e.checkStart(p, &r)
	if errors.As(err, &refused) {
		for _, problem := range refused.Problems {
			if rest, ok := strings.CutPrefix(problem.Field, "input"); ok {
				problem.Field = field + rest
			}
			c.problems = append(c.problems, problem)
		}
		return nil
	}
	return err
}
