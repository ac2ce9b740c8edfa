package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) failureCommand() *cli.Command {
	note := &cli.StringFlag{Name: "note", Usage: "`TEXT` that is shown with the group"}
	return group("failure", "what failed and why: groups of failures with the same cause", categoryWorkflows,
		explained(&cli.Command{
			Name: "list", Usage: "list the groups of failures, the last seen first",
			Description: "OPEN counts the executions that failed so and have neither been redriven with success since nor superseded by one that\nsucceeded. TREND is the failures per hour of the last day, of two days with -o wide. Resolved groups are left out unless --all or --state asks for them.",
			Flags: []cli.Flag{
				&cli.StringSliceFlag{Name: "state", Usage: "only in this `STATE`: open, acknowledged or resolved; may be repeated, or comma-separated"},
				&cli.BoolFlag{Name: "all", Usage: "resolved groups, too"},
				&cli.StringFlag{Name: "workflow", Usage: "only groups in which the workflow `NAME` failed"},
				limitFlag(),
			},
			Action: p.listFailures,
		}, []string{"redrive failure list", "redrive failure list --workflow etl --all", "redrive failure list -o json"}),
		explained(&cli.Command{
			Name: "get", Usage: "show a group of failures, some of its executions, and how to go on", ArgsUsage: "FINGERPRINT", Action: p.getFailure,
		}, []string{"redrive failure get 1f0c44f0a1b2c3d4"}, exitNotFound),
		p.failureRetryCommand(),
		explained(&cli.Command{
			Name: "ack", Usage: "say that somebody knows of groups", ArgsUsage: "FINGERPRINT...", Flags: []cli.Flag{note},
			Description: "A group stays acknowledged, whatever fails so again, until it is resolved or reopened.",
			Action:      p.judgeFailures(func(s *session) judgment { return s.api.AcknowledgeFailure }),
		}, []string{`redrive failure ack 1f0c44f0a1b2c3d4 --note "the certificate expired, ticket 4711"`}, exitNotFound, exitPartial),
		explained(&cli.Command{
			Name: "resolve", Usage: "say that the cause of groups is mended", ArgsUsage: "FINGERPRINT...", Flags: []cli.Flag{note},
			Description: "An execution that fails so again opens the group again. Executions that failed before stay failed until they are redriven.",
			Action:      p.judgeFailures(func(s *session) judgment { return s.api.ResolveFailure }),
		}, []string{`redrive failure resolve 1f0c44f0a1b2c3d4 --note "fixed in 4.2"`}, exitNotFound, exitPartial),
		explained(&cli.Command{
			Name: "reopen", Usage: "have groups looked at again", ArgsUsage: "FINGERPRINT...", Flags: []cli.Flag{note},
			Action: p.judgeFailures(func(s *session) judgment { return s.api.ReopenFailure }),
		}, []string{"redrive failure reopen 1f0c44f0a1b2c3d4"}, exitNotFound, exitPartial),
	)
}

func failureName(g client.FailureGroup) string { return g.Fingerprint }

func (p *program) listFailures(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	states := []client.FailureState{client.Open, client.Acknowledged}
	if c.Bool("all") {
		states = append(states, client.Resolved)
	}
	if given := c.StringSlice("state"); len(given) > 0 {
		states = nil
		for state := range strings.SplitSeq(strings.Join(given, ","), ",") {
			if !client.FailureState(state).Valid() {
				return usagef("--state %s: want open, acknowledged or resolved", state)
			}
			states = append(states, client.FailureState(state))
		}
	}
	filter := client.ListFailuresParams{State: &states}
	if name := c.String("workflow"); name != "" {
		filter.Workflow = &name
	}
	return list(s, c, s.api.Failures(c.Context, s.project, filter), s.failureColumns(), failureName)
}

func (p *printer) failureColumns() []column[client.FailureGroup] {
	type g = client.FailureGroup
	return []column[g]{
		{title: "open", value: func(g g) string { return strconv.Itoa(g.Open) }},
		{title: "trend", value: func(g g) string {
			hours := 24
			if p.format == formatWide {
				hours = len(g.Trend)
			}
			return sparkline(g.Trend[max(0, len(g.Trend)-hours):])
		}},
		{title: "last seen", value: func(g g) string { return p.time(g.LastSeen) }},
		{title: "state", value: func(g g) string { return p.failureState(g.State) }},
		{title: "workflows", value: func(g g) string { return firstOf(g.Workflows, 3) }},
		{title: "task", value: func(g g) string { return g.Task }},
		{title: "message", value: func(g g) string { return clip(g.Code+": "+g.Message, 60) }},
		{title: "fingerprint", value: failureName},
		{title: "ever", wide: true, value: func(g g) string { return strconv.Itoa(g.Executions) }},
		{title: "first seen", wide: true, value: func(g g) string { return p.time(g.FirstSeen) }},
		{title: "note", wide: true, value: func(g g) string { return g.Note }},
	}
}

func (p *printer) failureState(s client.FailureState) string {
	color := map[client.FailureState]string{client.Open: red, client.Acknowledged: yellow, client.Resolved: green}[s]
	return p.style.paint(color, string(s))
}

// firstOf shows the first of a list and how many more there are.
func firstOf(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ","), len(list)-most)
}

// sparkline draws counts as bars; nothing is the lowest.
func sparkline(counts []int) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	most := slices.Max(append([]int{1}, counts...))
	line := make([]rune, len(counts))
	for i, n := range counts {
		line[i] = bars[0]
		if n > 0 {
			line[i] = bars[1+(n*(len(bars)-2))/most]
		}
	}
	return string(line)
}

func (p *program) getFailure(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	g, err := s.api.Failure(c.Context, s.project, c.Args().First())
	if err != nil {
		return err
	}
	if err := printOne(s.printer, *g, s.failureDetails(), failureName); err != nil {
		return err
	}
	if s.format == formatTable || s.format == formatWide {
		s.failureNext(g)
	}
	return nil
}

func (p *printer) failureDetails() []column[client.FailureGroup] {
	type g = client.FailureGroup
	return []column[g]{
		{title: "fingerprint", value: failureName},
		{title: "state", value: func(g g) string {
			text := p.failureState(g.State)
			if g.By != "" {
				text += " by " + g.By + ", " + p.time(g.StateAt)
			}
			return text
		}},
		{title: "note", value: func(g g) string { return g.Note }},
		{title: "reopened", value: func(g g) string { return p.optionalTime(g.ReopenedAt) }},
		{title: "code", value: func(g g) string { return g.Code }},
		{title: "message", value: func(g g) string { return g.Message }},
		{title: "task", value: func(g g) string {
			if g.Task == "" {
				return "" // the execution as a whole
			}
			return g.Task + " (" + g.Type + ")"
		}},
		{title: "workflows", value: func(g g) string { return firstOf(g.Workflows, len(g.Workflows)) }},
		{title: "open", value: func(g g) string { return fmt.Sprintf("%d of %d executions that failed so", g.Open, g.Executions) }},
		{title: "first seen", value: func(g g) string { return p.time(g.FirstSeen) }},
		{title: "last seen", value: func(g g) string { return p.time(g.LastSeen) }},
		{title: "trend", value: func(g g) string { return sparkline(g.Trend) + " (48 hours)" }},
		{title: "samples", value: func(g g) string { return strings.Join(g.Samples, "\n") }},
	}
}

// failureNext shows the commands that go on from here.
func (s *session) failureNext(g *client.FailureGroup) {
	if g.Open == 0 {
		fmt.Fprintf(s.printer.out, "\nNothing of it is open. Resolve it: redrive failure resolve %s\n", g.Fingerprint)
		return
	}
	if len(g.Samples) > 0 {
		fmt.Fprintf(s.printer.out, "\nLook at one: redrive execution get %s\n", g.Samples[0])
	}
	fmt.Fprintf(s.printer.out, "Find all:    redrive execution list --fingerprint %s\n", g.Fingerprint)
	fmt.Fprintf(s.printer.out, "Retry them:  redrive failure retry %s --dry-run\n", g.Fingerprint)
}

type judgment = func(ctx context.Context, project, fingerprint, note string) (*client.FailureGroup, error)

func (p *program) judgeFailures(how func(*session) judgment) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, -1); err != nil {
			return err
		}
		s, err := p.connect(c)
		if err != nil {
			return err
		}
		return each(c.Context, s, c.Args().Slice(), func(ctx context.Context, fingerprint string) (*client.FailureGroup, error) {
			return how(s)(ctx, s.project, fingerprint, c.String("note"))
		}, s.failureColumns(), failureName)
	}
}
