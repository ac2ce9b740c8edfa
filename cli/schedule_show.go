package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// zoned is a time with the offset of its schedule's time zone.
func zoned(t time.Time) string { return t.Format(time.RFC3339) }

func (p *printer) scheduleColumns() []column[client.Schedule] {
	type s = client.Schedule
	return []column[s]{
		{title: "name", value: scheduleName},
		{title: "state", value: func(s s) string {
			if s.Enabled {
				return p.style.paint(green, "enabled")
			}
			return p.style.paint(yellow, "disabled")
		}},
		{title: "workflow", value: workflowOf},
		{title: "cron", value: func(s s) string { return s.Cron }},
		{title: "time zone", value: func(s s) string { return s.TimeZone }},
		{title: "next", value: func(s s) string {
			if s.Next == nil {
				return ""
			}
			if p.format == formatWide {
				return zoned(s.Next.DueAt)
			}
			return ago(p.now, s.Next.DueAt)
		}},
		{title: "jitter", wide: true, value: func(s s) string { return s.Jitter }},
		{title: "catch up", wide: true, value: func(s s) string { return string(s.CatchUp) }},
		{title: "overlap", wide: true, value: func(s s) string { return string(s.Overlap) }},
		{title: "number", wide: true, value: func(s s) string { return strconv.FormatInt(s.Number, 10) }},
	}
}

func workflowOf(s client.Schedule) string {
	if s.Version == 0 {
		return s.Workflow
	}
	return fmt.Sprintf("%s v%d", s.Workflow, s.Version)
}

func (p *program) getSchedule(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	found, err := s.api.Schedule(c.Context, s.project, c.Args().First())
	if err != nil {
		return err
	}
	if err := printOne(s.printer, *found, s.scheduleDetails(), scheduleName); err != nil {
		return err
	}
	if s.format != formatTable && s.format != formatWide {
		return nil
	}
	if len(found.Ticks) > 0 {
		fmt.Fprintln(p.out)
		s.table(rows(s.printer, found.Ticks, s.outcomeColumns()))
	}
	if len(found.Backfills) > 0 {
		fmt.Fprintln(p.out)
		s.table(rows(s.printer, found.Backfills, s.backfillColumns()))
	}
	return nil
}

func (p *printer) scheduleDetails() []column[client.Schedule] {
	type s = client.Schedule
	return append(p.scheduleColumns()[:5:5], []column[s]{
		{title: "jitter", value: func(s s) string { return s.Jitter }},
		{title: "catch up", value: func(s s) string { return string(s.CatchUp) }},
		{title: "overlap", value: func(s s) string { return string(s.Overlap) }},
		{title: "input", value: func(s s) string { return compact(s.Input) }},
		{title: "labels", value: func(s s) string { return mapText(s.Labels) }},
		{title: "number", value: func(s s) string { return strconv.FormatInt(s.Number, 10) }},
		{title: "changed", value: func(s s) string { return p.time(s.UpdatedAt) }},
		{title: "next", value: func(s s) string {
			if s.Next == nil {
				return ""
			}
			return zoned(s.Next.DueAt) + " (" + ago(p.now, s.Next.DueAt) + ")"
		}},
		{title: "running", value: func(s s) string {
			var lines []string
			for _, r := range s.Running {
				lines = append(lines, r.Execution+" of "+zoned(r.Time))
			}
			return strings.Join(lines, "\n")
		}},
		{title: "waiting", value: func(s s) string {
			if len(s.Waiting) == 0 {
				return ""
			}
			return fmt.Sprintf("%d, from %s", len(s.Waiting), zoned(s.Waiting[0]))
		}},
	}...)
}

func (p *printer) outcomeColumns() []column[client.TickOutcome] {
	type t = client.TickOutcome
	return []column[t]{
		{title: "tick", value: func(t t) string {
			if t.Count > 1 {
				return fmt.Sprintf("%s and %d before", zoned(t.Time), t.Count-1)
			}
			return zoned(t.Time)
		}},
		{title: "outcome", value: func(t t) string {
			if t.Outcome == client.TickOutcomeOutcomeStarted {
				return p.style.paint(green, "started")
			}
			return p.style.status(string(t.Outcome))
		}},
		{title: "reason", value: func(t t) string { return t.Reason + clip(t.Error, 80) }},
		{title: "execution", value: func(t t) string { return t.Execution }},
		{title: "decided", value: func(t t) string { return p.time(t.At) }},
	}
}

func (p *printer) backfillColumns() []column[client.Backfill] {
	type b = client.Backfill
	count := func(get func(b) int) func(b) string { return func(b b) string { return strconv.Itoa(get(b)) } }
	return []column[b]{
		{title: "backfill", value: backfillID},
		{title: "status", value: func(b b) string { return string(b.Status) }},
		{title: "from", value: func(b b) string { return zoned(b.From) }},
		{title: "to", value: func(b b) string { return zoned(b.To) }},
		{title: "ticks", value: count(func(b b) int { return b.Count })},
		{title: "started", value: count(func(b b) int { return b.Started })},
		{title: "running", value: func(b b) string { return fmt.Sprintf("%d of %d", len(b.Running), b.MaxRunning) }},
		{title: "succeeded", value: count(func(b b) int { return b.Succeeded })},
		{title: "failed", value: count(func(b b) int { return b.Failed + b.NotStarted })},
		{title: "by", wide: true, value: func(b b) string { return b.By }},
		{title: "last error", wide: true, value: func(b b) string { return b.LastError }},
	}
}

func backfillID(b client.Backfill) string { return strconv.Itoa(b.ID) }
