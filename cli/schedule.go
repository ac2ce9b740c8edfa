package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) scheduleCommand() *cli.Command {
	return group("schedule", "start executions by the clock", categoryWorkflows,
		explained(&cli.Command{
			Name: "apply", Usage: "create schedules, or change them to what the files say", ArgsUsage: "FILE...|-",
			Description: "A file holds one schedule, as YAML or JSON, or several YAML documents: name, workflow and cron; version, time_zone, delay, jitter, catch_up, overlap, input, labels, priority, start_after, end_before and enabled may be left out. Without enabled a schedule stays enabled or disabled as it is.",
			Action:      p.applySchedules,
		}, []string{"redrive schedule apply nightly.yaml", "redrive schedule apply schedules/*.yaml", "cat nightly.yaml | redrive schedule apply -"}, exitPartial),
		explained(&cli.Command{
			Name: "list", Usage: "list the schedules", Flags: []cli.Flag{limitFlag()}, Action: p.listSchedules,
		}, []string{"redrive schedule list", "redrive schedule list -o wide"}),
		explained(&cli.Command{
			Name: "get", Usage: "show a schedule, what its last ticks did, and its backfills", ArgsUsage: "NAME", Action: p.getSchedule,
		}, []string{"redrive schedule get nightly", "redrive schedule get nightly -o json"}, exitNotFound),
		explained(&cli.Command{
			Name: "enable", Usage: "let schedules go on from now", ArgsUsage: "NAME...", Action: p.switchSchedules(true),
			Description: "What was missed while a schedule was disabled is not caught up: backfill it.",
		}, []string{"redrive schedule enable nightly"}, exitNotFound, exitPartial),
		explained(&cli.Command{
			Name: "disable", Usage: "stop schedules; what runs goes on", ArgsUsage: "NAME...", Action: p.switchSchedules(false),
		}, []string{"redrive schedule disable nightly"}, exitNotFound, exitPartial),
		explained(&cli.Command{
			Name: "next", Usage: "preview the next ticks", ArgsUsage: "NAME",
			Flags:  []cli.Flag{&cli.IntFlag{Name: "count", Usage: "how many: `N`", Value: 10}},
			Action: p.nextTicks,
		}, []string{"redrive schedule next nightly", "redrive schedule next nightly --count 50 -o json"}, exitNotFound),
		p.backfillCommand(),
		explained(&cli.Command{
			Name: "delete", Usage: "remove schedules; their executions stay", ArgsUsage: "NAME...", Action: p.deleteSchedules,
		}, []string{"redrive schedule delete nightly"}, exitNotFound, exitPartial),
	)
}

func scheduleName(s client.Schedule) string { return s.Name }

func (p *program) listSchedules(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Schedules(c.Context, s.project), s.scheduleColumns(), scheduleName)
}

func (p *program) switchSchedules(enable bool) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, -1); err != nil {
			return err
		}
		s, err := p.connect(c)
		if err != nil {
			return err
		}
		do := s.api.DisableSchedule
		if enable {
			do = s.api.EnableSchedule
		}
		return each(c.Context, s, c.Args().Slice(), func(ctx context.Context, name string) (*client.Schedule, error) {
			return do(ctx, s.project, name)
		}, s.scheduleColumns(), scheduleName)
	}
}

func (p *program) deleteSchedules(c *cli.Context) error {
	if err := arguments(c, 1, -1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	type deleted struct {
		Name string `json:"name"`
	}
	return each(c.Context, s, c.Args().Slice(), func(ctx context.Context, name string) (*deleted, error) {
		return &deleted{name}, s.api.DeleteSchedule(ctx, s.project, name)
	}, []column[deleted]{{title: "deleted", value: func(d deleted) string { return d.Name }}}, func(d deleted) string { return d.Name })
}

func (p *program) nextTicks(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	preview, err := s.api.NextTicks(c.Context, s.project, c.Args().First(), c.Int("count"))
	if err != nil {
		return fieldsOf(err)
	}
	if !preview.Enabled {
		fmt.Fprintf(p.err, "The schedule is disabled: none of these starts anything until it is enabled.\n")
	}
	type t = client.Tick
	return printList(s.printer, preview.Items, []column[t]{
		{title: "tick", value: func(t t) string { return zoned(t.Time) }},
		{title: "starts", value: func(t t) string { return zoned(t.DueAt) }},
		{title: "in", value: func(t t) string { return ago(s.printer.now, t.DueAt) }},
	}, func(t t) string { return zoned(t.Time) })
}
