package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) backfillCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "backfill", Usage: "run the ticks of a range of the past", ArgsUsage: "NAME",
		Description: "Starts an execution for each tick with from <= tick < to, in order, at most 10,000. It goes on by itself; `redrive schedule get NAME` shows how far it is.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "`TIME` (RFC 3339), or a day as 2026-01-31, which begins in UTC"},
			&cli.StringFlag{Name: "to", Usage: "`TIME`, not in the future; ticks at it are not in the range"},
			&cli.IntFlag{Name: "max-running", Usage: "at most `N` executions at once, up to 100", Value: 1},
			&cli.StringFlag{Name: "input", Usage: "`JSON` or @FILE in place of the schedule's input"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show how many and which ticks it would run, and start nothing"},
			&cli.IntFlag{Name: "cancel", Usage: "start nothing more of the backfill `ID`; what runs goes on", DefaultText: "none"},
		},
		Action: p.backfill,
	}, []string{
		"redrive schedule backfill nightly --from 2026-01-01 --to 2026-02-01 --dry-run",
		"redrive schedule backfill nightly --from 2026-01-01 --to 2026-02-01 --max-running 4",
		"redrive schedule backfill nightly --cancel 1",
	}, exitNotFound, exitConflict)
}

func (p *program) backfill(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	if c.IsSet("cancel") {
		if c.IsSet("from") || c.IsSet("to") {
			return usagef("--cancel stands alone: it ends a backfill, --from and --to begin one")
		}
		b, err := s.api.CancelBackfill(c.Context, s.project, name, c.Int("cancel"))
		if err != nil {
			return fieldsOf(err)
		}
		return printList(s.printer, []client.Backfill{*b}, s.backfillColumns(), backfillID)
	}
	request, err := p.backfillRequest(c)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return s.previewBackfill(c, name, request)
	}
	b, err := s.api.Backfill(c.Context, s.project, name, request)
	if err != nil {
		return fieldsOf(err)
	}
	if s.format == formatTable {
		fmt.Fprintf(p.out, "backfill %d of %s began: %d ticks, %d at once\nSee how far it is: redrive schedule get %s\n", b.ID, name, b.Count, b.MaxRunning, name)
		return nil
	}
	return printOne(s.printer, *b, s.backfillColumns(), backfillID)
}

func (p *program) backfillRequest(c *cli.Context) (client.BackfillRequest, error) {
	var request client.BackfillRequest
	for flag, field := range map[string]*time.Time{"from": &request.From, "to": &request.To} {
		text := c.String(flag)
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t, err = time.Parse(time.DateOnly, text)
		}
		if err != nil {
			return request, usagef("--%s %s: want a time as 2026-01-31T08:00:00Z, or a day as 2026-01-31", flag, text)
		}
		*field = t
	}
	if request.MaxRunning = c.Int("max-running"); request.MaxRunning < 1 {
		return request, usagef("--max-running %d: want 1 to 100", request.MaxRunning)
	}
	var err error
	request.Input, err = p.input(c.String("input"), nil)
	return request, err
}

func (s *session) previewBackfill(c *cli.Context, name string, request client.BackfillRequest) error {
	preview, err := s.api.PreviewBackfill(c.Context, s.project, name, request)
	if err != nil {
		return fieldsOf(err)
	}
	if s.format != formatTable && s.format != formatWide {
		return printOne(s.printer, *preview, nil, func(b client.BackfillPreview) string { return fmt.Sprint(b.Count) })
	}
	if preview.First == nil || preview.Last == nil {
		fmt.Fprintln(s.printer.out, "no tick lies in the range")
		return nil
	}
	fmt.Fprintf(s.printer.out, "%d ticks, from %s to %s; nothing was started\n", preview.Count, zoned(*preview.First), zoned(*preview.Last))
	for _, t := range preview.Times {
		fmt.Fprintf(s.printer.out, "  %s\n", zoned(t))
	}
	if rest := preview.Count - len(preview.Times); rest > 0 {
		fmt.Fprintf(s.printer.out, "  and %d more\n", rest)
	}
	return nil
}
