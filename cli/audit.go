package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) auditCommand() *cli.Command {
	return group("audit", "who changed what", categoryManagement,
		explained(&cli.Command{
			Name: "list", Usage: "list what was changed, or refused, the newest first",
			Description: "It needs a key with scope admin. With --fleet what concerns no single project: keys, queues, the dashboard.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "by", Usage: "only of the `KEY`, by id or name"},
				&cli.StringFlag{Name: "operation", Usage: "only this `OPERATION`, as retryExecution"},
				&cli.StringFlag{Name: "dialect", Usage: "only of this `DIALECT`: native, monitoring, conductor ..."},
				&cli.StringFlag{Name: "outcome", Usage: "only done or refused `OUTCOME`"},
				&cli.StringFlag{Name: "since", Usage: "only since `TIME` (RFC 3339) or for so long (2h, 30m)"},
				&cli.StringFlag{Name: "until", Usage: "only before `TIME` (RFC 3339) or longer ago than (2h)"},
				&cli.BoolFlag{Name: "fleet", Usage: "what was changed outside of projects"},
				limitFlag(),
			},
			Action: p.listAudit,
		}, []string{"redrive audit list --since 24h", "redrive audit list --by ci --outcome refused", "redrive audit list --fleet -o jsonl"}),
	)
}

func (p *program) listAudit(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	var f client.ListAuditParams
	for name, field := range map[string]**string{"by": &f.By, "operation": &f.Operation, "dialect": &f.Dialect} {
		if value := c.String(name); value != "" {
			*field = &value
		}
	}
	if text := c.String("outcome"); text != "" {
		outcome := client.ListAuditParamsOutcome(text)
		if !outcome.Valid() {
			return usagef("--outcome %s: want done or refused", text)
		}
		f.Outcome = &outcome
	}
	for name, field := range map[string]**time.Time{"since": &f.Since, "until": &f.Until} {
		text := c.String(name)
		if text == "" {
			continue
		}
		t, err := parseTime(p.now(), text)
		if err != nil {
			return usagef("--%s %s: want a time as 2026-01-31T08:00:00Z, or a duration as 2h", name, text)
		}
		*field = &t
	}
	entries := s.api.Audit(c.Context, s.project, f)
	if c.Bool("fleet") {
		entries = s.api.FleetAudit(c.Context, client.ListFleetAuditParams{
			By: f.By, Operation: f.Operation, Dialect: f.Dialect, Outcome: (*client.ListFleetAuditParamsOutcome)(f.Outcome), Since: f.Since, Until: f.Until,
		})
	}
	type e = client.AuditEntry
	return list(s, c, entries, []column[e]{
		{title: "when", value: func(e e) string { return s.time(e.At) }},
		{title: "by", value: func(e e) string { return e.By }},
		{title: "operation", value: func(e e) string { return e.Operation }},
		{title: "path", value: func(e e) string { return e.Path }},
		{title: "outcome", value: func(e e) string {
			if e.Outcome == client.AuditEntryOutcomeDone {
				return s.style.paint(green, "done")
			}
			return s.style.paint(red, fmt.Sprintf("refused %d %s", e.Status, e.Code))
		}},
		{title: "reason", value: func(e e) string { return clip(e.Reason, 60) }},
		{title: "from", value: func(e e) string { return e.Remote }},
		{title: "execution", wide: true, value: func(e e) string { return e.Execution }},
		{title: "dialect", wide: true, value: func(e e) string { return e.Dialect }},
		{title: "client", wide: true, value: func(e e) string { return clip(e.UserAgent, 40) }},
		{title: "status", wide: true, value: func(e e) string { return strconv.Itoa(e.Status) }},
		{title: "request", wide: true, value: func(e e) string { return e.RequestID }},
	}, func(e e) string { return e.ID })
}
