package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) bulkCommand() *cli.Command {
	start := func(operation client.BulkOperation, usage, description string, flags []cli.Flag, examples ...string) *cli.Command {
		return explained(&cli.Command{
			Name: string(operation), Usage: usage, Flags: slices.Concat(bulkFilterFlags(), flags, bulkFlags()),
			Description: description + "\n\nIt shows how many there are and what would be done, and asks. Without a terminal it does nothing unless --yes says so.\nOf very many it counts for a few seconds, says \"at least\", and means all. With --yes it waits a quarter of a minute for that at most.\nThen it shows how far it is. Ctrl-C ends only that: the operation goes on, and `redrive bulk watch` shows it again.",
			Action:      func(c *cli.Context) error { return p.startBulk(c, operation) },
		}, examples, exitNotFound, exitConflict, exitPartial, exitUnsuccess)
	}
	one := func(name, usage, description string, flags []cli.Flag, do cli.ActionFunc, examples []string, codes ...int) *cli.Command {
		return explained(&cli.Command{Name: name, Usage: usage, ArgsUsage: "BULK", Description: description, Flags: flags, Action: do}, examples, codes...)
	}
	control := func(name, usage, description, reason string, do func(api *client.Client) steeringBulk) *cli.Command {
		return one(name, usage, description, []cli.Flag{reasonFlag()}, func(c *cli.Context) error { return p.controlBulk(c, do) },
			[]string{"redrive bulk " + name + " 0190a1b2-0000-7000-8000-000000000001 --reason " + strconv.Quote(reason)}, exitNotFound, exitConflict)
	}
	return group("bulk", "do something to many executions: retry, rerun, resume, pause or cancel", categoryWorkflows,
		start(client.BulkRetry, "run again what did not succeed, in many executions", "Without --status those that failed or timed out.", bulkRedriveFlags(),
			`redrive bulk retry --workflow etl --since 48h --rate 20/s --canary 10 --max-error-rate 5% --reason "the upstream is back"`,
			"redrive bulk retry --fingerprint 3f1c9a02 --dry-run",
			"redrive bulk retry --workflow etl --set 'workflow_input.region=${workflow.input.region == \"eu-1\" ? \"eu-2\" : workflow.input.region}'",
			"redrive execution list --status failed --limit 0 -o name | redrive bulk retry --ids @- --yes"),
		start(client.BulkRerun, "run chosen tasks again, or everything, in many executions", "Without --status whatever their status is.", bulkRedriveFlags(),
			"redrive bulk rerun --workflow etl --status succeeded --since 24h --from load --dry-run",
			"redrive bulk rerun --ids 12,15,19 --new --definition latest --yes"),
		start(client.BulkResume, "resume many paused executions", "Those that are paused.", nil, "redrive bulk resume --workflow etl --rate 5/s"),
		start(client.BulkPause, "pause many executions", "Without --status those that are queued or running.", nil, "redrive bulk pause --label team=data --yes"),
		start(client.BulkCancel, "cancel many executions", "Without --status those that are queued, running or paused.", nil, `redrive bulk cancel --workflow etl --status queued --reason "wrong input"`),
		explained(&cli.Command{
			Name: "list", Usage: "list bulk operations, newest first", Flags: []cli.Flag{limitFlag()}, Action: p.listBulk,
		}, []string{"redrive bulk list", "redrive bulk list -o json"}),
		one("get", "show a bulk operation: how far it is, which executions it chose, its pace", "Overrides are shown with -o wide. `redrive bulk report` shows what became of each execution.", nil, p.getBulk,
			[]string{"redrive bulk get 0190a1b2-0000-7000-8000-000000000001", "redrive bulk get 0190a1b2-0000-7000-8000-000000000001 -o json"}, exitNotFound),
		one("report", "write what became of every execution", "As csv with a line of names, unless -o says json or jsonl. With --outcome it is a list as of other commands.",
			[]cli.Flag{&cli.StringFlag{Name: "outcome", Usage: "as a table, only those with the outcome `WORD`: pending, in_flight, succeeded, failed or skipped"}, limitFlag()},
			p.reportBulk, []string{"redrive bulk report 0190a1b2-0000-7000-8000-000000000001 > report.csv", "redrive bulk report 0190a1b2-0000-7000-8000-000000000001 --outcome failed"}, exitNotFound),
		one("watch", "show how far a bulk operation is, until it ends or is held",
			"Ctrl-C ends only that: the operation goes on. A server that gives no answer is asked again for 30 seconds. It ends, too, when the operation\nis held and nothing of it moves for 10 seconds.", nil, p.watchBulk,
			[]string{"redrive bulk watch 0190a1b2-0000-7000-8000-000000000001"}, exitNotFound, exitPartial, exitUnsuccess),
		control("hold", "take and send out nothing more for now; what was sent out goes on",
			"What was taken and not sent out yet stays in flight as it is, until the operation is continued or aborted.", "the database is slow",
			func(api *client.Client) steeringBulk { return api.HoldBulk }),
		control("continue", "let a bulk operation go on that is held", "Errors are counted anew. A canary that did not pass is sent once more, with the next executions.", "now it is mended",
			func(api *client.Client) steeringBulk { return api.ContinueBulk }),
		control("abort", "take and send out nothing more, ever; what was sent out goes on",
			"What is pending stays as it is, what was taken and not sent out yet is skipped as `aborted`. The outcomes of what was sent out are still recorded.", "wrong filter",
			func(api *client.Client) steeringBulk { return api.AbortBulk }),
	)
}

// failureRetryCommand is a bulk retry of a group of failures.
func (p *program) failureRetryCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "retry", Usage: "run again what did not succeed, in all executions that failed so", ArgsUsage: "FINGERPRINT", Flags: slices.Concat(bulkRedriveFlags(), bulkFlags()),
		Description: "It is `redrive bulk retry` of the open failures of the group: it shows how many there are and what would be done, and asks.\nWithout a terminal it does nothing unless --yes says so.",
		Action:      p.retryFailures,
	}, []string{
		`redrive failure retry 1f0c44f0a1b2c3d4 --rate 20/s --canary 10 --max-error-rate 5% --reason "the certificate is renewed"`,
		"redrive failure retry 1f0c44f0a1b2c3d4 --dry-run",
	}, exitNotFound, exitConflict, exitPartial, exitUnsuccess)
}

func bulkFilterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "status", Usage: "only with this `STATUS`; may be repeated, or comma-separated"},
		&cli.StringFlag{Name: "workflow", Usage: "only of the workflow `NAME`"},
		&cli.IntFlag{Name: "workflow-version", Usage: "only of this `VERSION` of the workflow", DefaultText: "any"},
		&cli.StringFlag{Name: "since", Usage: "only created since `TIME` (RFC 3339) or for so long (48h, 30m)"},
		&cli.StringFlag{Name: "until", Usage: "only created before `TIME` (RFC 3339) or longer ago than (2h)"},
		&cli.StringFlag{Name: "with-correlation-id", Usage: "only with this correlation `ID`"},
		&cli.StringFlag{Name: "label", Usage: "only with the label `KEY=VALUE`"},
		&cli.StringFlag{Name: "fingerprint", Usage: "only the open failures of the group with this `FINGERPRINT`"},
		&cli.StringFlag{Name: "ids", Usage: "`IDS` or numbers instead: comma-separated, or @file, or @- for standard input, where each is a line"},
	}
}

// bulkRedriveFlags are those of one redrive that make sense for many.
func bulkRedriveFlags() []cli.Flag {
	var flags []cli.Flag
	for _, f := range redriveFlags() {
		switch name := f.Names()[0]; name {
		case "wait", "timeout", "plan-hash", "attempt-name", "reason", "dry-run", "idempotency-key":
		case "set":
			flags = append(flags, &cli.StringSliceFlag{Name: "set", Usage: "set one field of the input: `workflow_input.PATH=VALUE`, the value as JSON or else as text, which may hold ${expressions} over the execution; may be repeated"})
		default:
			flags = append(flags, f)
		}
	}
	return append(flags, &cli.StringFlag{Name: "lane", Usage: "`WORD` is low (other work goes first), or same (as the priority of the execution says)", DefaultText: "low"})
}

func bulkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "rate", Usage: "at most `N` executions a second, as 20 or 20/s, or 300/m", DefaultText: "any number"},
		&cli.IntFlag{Name: "max-in-flight", Usage: "at most `N` whose outcome is not known yet", Value: 100},
		&cli.DurationFlag{Name: "jitter", Usage: "put each off by up to `DURATION`", DefaultText: "none"},
		&cli.IntFlag{Name: "canary", Usage: "`N` executions first, and the others when these turned out well", DefaultText: "none"},
		&cli.StringFlag{Name: "max-error-rate", Usage: "hold when more than `PART` fail, as 5% or 0.05", DefaultText: "5% with --canary, else no limit"},
		reasonFlag(),
		&cli.StringFlag{Name: "idempotency-key", Usage: "the same `KEY` again shows the first one"},
		&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and do nothing"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		&cli.BoolFlag{Name: "detach", Usage: "do not wait for the end"},
	}
}

func (p *printer) bulkColumns() []column[client.Bulk] {
	type b = client.Bulk
	return []column[b]{
		{title: "bulk", value: bulkID},
		{title: "operation", value: func(b b) string { return string(b.Operation) }},
		{title: "state", value: func(b b) string { return p.style.status(string(b.State)) }},
		{title: "total", value: func(b b) string { return grouped(b.Total) }},
		{title: "done", value: func(b b) string { return grouped(b.Succeeded) }},
		{title: "failed", value: func(b b) string { return grouped(b.Failed) }},
		{title: "skipped", value: func(b b) string { return grouped(b.Skipped) }},
		{title: "left", value: func(b b) string { return grouped(b.Pending + b.InFlight) }},
		{title: "created", value: func(b b) string { return p.time(b.CreatedAt) }},
		{title: "chosen", value: chosenText},
		{title: "reason", wide: true, value: func(b b) string { return b.Reason }},
		{title: "by", wide: true, value: func(b b) string { return b.By }},
	}
}

func bulkID(b client.Bulk) string { return b.ID }

// chosenText says which executions a bulk operation means.
func chosenText(b client.Bulk) string {
	if b.Named > 0 {
		return fmt.Sprintf("%s by id", grouped(b.Named))
	}
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	f := b.Filter
	add("workflow", f.Workflow)
	add("version", number(f.Version))
	var statuses []string
	for _, s := range f.Status {
		statuses = append(statuses, string(s))
	}
	add("status", strings.Join(statuses, ","))
	add("fingerprint", f.Fingerprint)
	add("label", f.Label)
	add("correlation", f.CorrelationID)
	moment := func(name string, at *time.Time, ago string) {
		if d, err := time.ParseDuration(ago); err == nil {
			add(name, absolute(b.CreatedAt.Add(-d)))
		} else if at != nil {
			add(name, absolute(*at))
		}
	}
	moment("since", f.Since, f.SinceAgo)
	moment("until", f.Until, f.UntilAgo)
	return strings.Join(parts, ", ")
}

func (s *session) printBulk(b client.Bulk) error {
	type t = client.Bulk
	count := func(of func(t) int) func(t) string { return func(b t) string { return grouped(of(b)) } }
	return printOne(s.printer, b, []column[t]{
		{title: "bulk", value: bulkID},
		{title: "operation", value: func(b t) string { return string(b.Operation) }},
		{title: "state", value: func(b t) string { return s.style.status(string(b.State)) }},
		{title: "why", value: func(b t) string { return s.style.paint(yellow, b.Why) }},
		{title: "chosen", value: chosenText},
		{title: "total", value: count(func(b t) int { return b.Total })},
		{title: "succeeded", value: count(func(b t) int { return b.Succeeded })},
		{title: "failed", value: count(func(b t) int { return b.Failed })},
		{title: "skipped", value: count(func(b t) int { return b.Skipped })},
		{title: "in flight", value: count(func(b t) int { return b.InFlight })},
		{title: "pending", value: count(func(b t) int { return b.Pending })},
		{title: "pace", value: paceText},
		{title: "overrides", wide: true, value: func(b t) string { return compact(b.Redrive) }},
		{title: "reason", value: func(b t) string { return b.Reason }},
		{title: "by", value: func(b t) string { return b.By }},
		{title: "created", value: func(b t) string { return s.time(b.CreatedAt) }},
		{title: "took", value: func(b t) string { return took(s.printer.now, b.CreatedAt, at(b.EndedAt)) }},
	}, bulkID)
}

func paceText(b client.Bulk) string {
	parts := []string{fmt.Sprintf("%d in flight", b.MaxInFlight)}
	if b.Rate > 0 {
		parts = append(parts, strconv.FormatFloat(b.Rate, 'g', 4, 64)+"/s")
	}
	if d, err := time.ParseDuration(b.Jitter); err == nil && d > 0 {
		parts = append(parts, "jitter of "+b.Jitter)
	}
	if b.Canary > 0 {
		parts = append(parts, fmt.Sprintf("canary of %d", b.Canary))
	}
	if b.MaxErrorRate != nil {
		parts = append(parts, strconv.FormatFloat(100**b.MaxErrorRate, 'g', 6, 64)+"% may fail")
	}
	if b.Lane == string(client.LaneLow) {
		parts = append(parts, "low lane")
	}
	return strings.Join(parts, ", ")
}

func (p *program) listBulk(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Bulks(c.Context, s.project), s.bulkColumns(), bulkID)
}

func (p *program) getBulk(c *cli.Context) error {
	s, b, err := p.namedBulk(c)
	if err != nil {
		return err
	}
	return s.printBulk(*b)
}

// namedBulk reads the bulk operation that the command line names.
func (p *program) namedBulk(c *cli.Context, formats ...string) (*session, *client.Bulk, error) {
	if err := arguments(c, 1, 1); err != nil {
		return nil, nil, err
	}
	s, err := p.connect(c, formats...)
	if err != nil {
		return nil, nil, err
	}
	b, err := s.api.Bulk(c.Context, s.project, c.Args().First())
	return s, b, err
}

func (p *program) watchBulk(c *cli.Context) error {
	s, b, err := p.namedBulk(c)
	if err != nil {
		return err
	}
	return s.followBulk(c.Context, b)
}

// steeringBulk is what is done to a bulk operation.
type steeringBulk func(ctx context.Context, project, id, reason string) (*client.Bulk, error)

func (p *program) controlBulk(c *cli.Context, of func(*client.Client) steeringBulk) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	b, err := of(s.api)(c.Context, s.project, c.Args().First(), c.String("reason"))
	if err != nil {
		return fieldsOf(err)
	}
	return s.printBulk(*b)
}

func (p *program) reportBulk(c *cli.Context) error {
	written := []string{formatTable, formatWide, "csv", formatJSON, formatJSONL}
	if c.IsSet("outcome") {
		written = formats
	}
	s, b, err := p.namedBulk(c, written...)
	if err != nil {
		return err
	}
	if outcome := client.BulkOutcome(c.String("outcome")); outcome != "" {
		if !outcome.Valid() {
			return usagef("--outcome %s: want pending, in_flight, succeeded, failed or skipped", outcome)
		}
		return list(s, c, s.api.BulkItems(c.Context, s.project, b.ID, outcome), s.bulkItemColumns(), func(i client.BulkItem) string { return i.Execution })
	}
	format := "csv"
	if s.format == formatJSON || s.format == formatJSONL {
		format = s.format
	}
	report, err := s.api.BulkReport(c.Context, s.project, b.ID, format)
	if err != nil {
		return err
	}
	_, err = io.Copy(p.out, report)
	if closed := report.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("the report broke off: %w", err)
	}
	return nil
}

func (p *printer) bulkItemColumns() []column[client.BulkItem] {
	type i = client.BulkItem
	return []column[i]{
		{title: "execution", value: func(i i) string { return i.Execution }},
		{title: "outcome", value: func(i i) string { return p.style.status(string(i.Outcome)) }},
		{title: "before", value: func(i i) string { return p.style.status(i.Before) }},
		{title: "after", value: func(i i) string { return p.style.status(i.After) }},
		{title: "error", value: func(i i) string {
			if i.Code == "" {
				return ""
			}
			return clip(i.Code+": "+i.Message, 80)
		}},
		{title: "into", wide: true, value: func(i i) string { return i.Into }},
		{title: "index", wide: true, value: func(i i) string { return strconv.Itoa(i.Index) }},
	}
}
