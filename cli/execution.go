package cli

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) executionCommand() *cli.Command {
	return group("execution", "find, watch and look into executions", categoryWorkflows,
		explained(&cli.Command{
			Name: "list", Usage: "list executions, newest first",
			Flags: []cli.Flag{
				&cli.StringSliceFlag{Name: "status", Usage: "only with this `STATUS`; may be repeated, or comma-separated"},
				&cli.StringFlag{Name: "workflow", Usage: "only of the workflow `NAME`"},
				&cli.StringFlag{Name: "since", Usage: "only created since `TIME` (RFC 3339) or for so long (2h, 30m)"},
				&cli.StringFlag{Name: "until", Usage: "only created before `TIME` (RFC 3339) or longer ago than (2h)"},
				&cli.StringFlag{Name: "correlation-id", Usage: "only with this correlation `ID`"},
				&cli.StringFlag{Name: "label", Usage: "only with the label `KEY=VALUE`"},
				&cli.StringFlag{Name: "fingerprint", Usage: "only open failures of the group with this `FINGERPRINT`; see redrive failure list"},
				limitFlag(),
			},
			Action: p.listExecutions,
		}, []string{"redrive execution list --status failed,timed_out --since 24h", "redrive execution list --label team=data -o name"}),
		explained(&cli.Command{
			Name: "get", Usage: "show an execution", ArgsUsage: "ID",
			Description: "ID is the id of an execution, or its number. It also shows what the execution waits for, with the command\nthat answers, and the executions above and below it.",
			Action:      p.getExecution,
		}, []string{"redrive execution get 12", "redrive execution get 12 -o json"}, exitNotFound),
		explained(&cli.Command{
			Name: "watch", Usage: "show the progress until the end", ArgsUsage: "ID",
			Description: "With -o jsonl every event is a line of JSON.",
			Flags:       []cli.Flag{&cli.DurationFlag{Name: "timeout", Usage: "stop watching after `DURATION`; the execution goes on", DefaultText: "never"}},
			Action:      p.watchExecution,
		}, []string{"redrive execution watch 12", "redrive execution watch 12 -o jsonl"}, exitNotFound, exitUnsuccess, exitWaitTimeout),
		explained(&cli.Command{
			Name: "history", Usage: "list what happened to an execution, oldest first", ArgsUsage: "ID", Flags: []cli.Flag{limitFlag()},
			Action: p.history,
		}, []string{"redrive execution history 12 --limit 0 -o wide"}, exitNotFound),
		p.logsCommand(),
		p.redrivesCommand(), p.lineageCommand(), p.diffCommand(),
		explained(&cli.Command{
			Name: "tasks", Usage: "list the tasks of an execution", ArgsUsage: "ID", Flags: []cli.Flag{limitFlag()},
			Action: p.tasks,
		}, []string{"redrive execution tasks 12", "redrive execution tasks 12 -o wide"}, exitNotFound),
		explained(&cli.Command{
			Name: "graph", Usage: "draw an execution: -o mermaid (default), dot, svg or json", ArgsUsage: "ID",
			Description: "More than 50 items of a for_each, or iterations of a loop, are drawn as one node for each status.",
			Action:      p.graph,
		}, []string{"redrive execution graph 12", "redrive execution graph 12 -o svg > graph.svg"}, exitNotFound),
	)
}

func (p *printer) executionColumns() []column[client.Execution] {
	type x = client.Execution
	return []column[x]{
		{title: "number", value: func(e x) string { return strconv.FormatInt(e.Number, 10) }},
		{title: "workflow", value: func(e x) string { return fmt.Sprintf("%s v%d", e.Workflow, e.Version) }},
		{title: "status", value: func(e x) string { return p.style.status(string(e.Status)) }},
		{title: "tasks", value: func(e x) string { return summary(e.TasksSummary) }},
		{title: "created", value: func(e x) string { return p.time(e.CreatedAt) }},
		{title: "took", value: func(e x) string { return took(p.now, at(e.StartedAt), at(e.EndedAt)) }},
		{title: "error", value: func(e x) string { return clip(errorText(e.Error), 60) }},
		{title: "id", wide: true, value: func(e x) string { return e.ID }},
		{title: "correlation", wide: true, value: func(e x) string { return e.CorrelationID }},
		{title: "labels", wide: true, value: func(e x) string { return mapText(e.Labels) }},
	}
}

func executionID(e client.Execution) string { return e.ID }

// summary says how many tasks are done, and of those how many not well.
func summary(counts map[string]int) string {
	total, done := 0, 0
	for status, n := range counts {
		total += n
		switch client.TaskStatus(status) {
		case client.TaskStatusSucceeded, client.TaskStatusSkipped, client.TaskStatusFailed, client.TaskStatusTimedOut, client.TaskStatusCanceled:
			done += n
		}
	}
	text := fmt.Sprintf("%d/%d", done, total)
	if bad := counts["failed"] + counts["timed_out"]; bad > 0 {
		text += fmt.Sprintf(" (%d failed)", bad)
	}
	return text
}

func errorText(e *client.TaskError) string {
	if e == nil {
		return ""
	}
	return e.Code + ": " + e.Message
}

func mapText(m map[string]string) string {
	list := make([]string, 0, len(m))
	for k, v := range m {
		list = append(list, k+"="+v)
	}
	sort.Strings(list)
	return strings.Join(list, ",")
}

func sessionText(x client.Execution) string {
	if x.SessionTime == nil {
		return ""
	}
	text := fmt.Sprintf("%d of %s, attempt %d", x.Session, x.SessionTime.UTC().Format(time.RFC3339), x.SessionAttempt)
	if x.AttemptName != "" {
		text += " (" + x.AttemptName + ")"
	}
	return text
}

func (s *session) printExecution(x client.Execution) error { return s.printAround(x, nil) }

func (s *session) printAround(x client.Execution, a *around) error {
	type e = client.Execution
	return printOne(s.printer, x, []column[e]{
		{title: "execution", value: func(x e) string { return fmt.Sprintf("#%d  %s", x.Number, x.ID) }},
		{title: "workflow", value: func(x e) string { return fmt.Sprintf("%s version %d, project %s", x.Workflow, x.Version, x.Project) }},
		{title: "status", value: func(x e) string { return s.style.status(string(x.Status)) }},
		{title: "reason", value: func(x e) string { return x.Reason }},
		{title: "error", value: func(x e) string { return s.style.paint(red, errorText(x.Error)) }},
		{title: "tasks", value: func(x e) string { return summary(x.TasksSummary) }},
		{title: "failed", value: func(x e) string { return a.whatFailed(x) }},
		{title: "waits for", value: func(x e) string { return a.waitsFor(s.printer, x) }},
		{title: "redrives", value: func(x e) string { return number(x.Redrives) }},
		{title: "parent", value: parentText},
		{title: "origin", value: originText},
		{title: "children", value: func(x e) string { return a.started(s.printer, x) }},
		{title: "session", value: sessionText},
		{title: "start at", value: func(x e) string { return absolute(at(x.StartAt)) }},
		{title: "created", value: func(x e) string { return s.time(x.CreatedAt) }},
		{title: "started", wide: true, value: func(x e) string { return absolute(at(x.StartedAt)) }},
		{title: "ended", wide: true, value: func(x e) string { return absolute(at(x.EndedAt)) }},
		{title: "took", value: func(x e) string { return took(s.printer.now, at(x.StartedAt), at(x.EndedAt)) }},
		{title: "correlation", value: func(x e) string { return x.CorrelationID }},
		{title: "labels", value: func(x e) string { return mapText(x.Labels) }},
		{title: "priority", wide: true, value: func(x e) string { return strconv.Itoa(x.Priority) }},
		{title: "input", wide: true, value: func(x e) string { return indented(x.Input) }},
		{title: "output", value: func(x e) string { return indented(x.Output) }},
	}, executionID)
}

func (p *program) listExecutions(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	filter, err := p.executionFilter(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Executions(c.Context, s.project, filter), s.executionColumns(), executionID)
}

func (p *program) executionFilter(c *cli.Context) (client.ListExecutionsParams, error) {
	var f client.ListExecutionsParams
	var statuses []client.ExecutionStatus
	for _, list := range c.StringSlice("status") {
		for status := range strings.SplitSeq(list, ",") {
			if !client.ExecutionStatus(status).Valid() {
				return f, usagef("--status %s: want queued, running, paused, canceling, succeeded, failed, canceled or timed_out", status)
			}
			statuses = append(statuses, client.ExecutionStatus(status))
		}
	}
	if len(statuses) > 0 {
		f.Status = &statuses
	}
	for name, field := range map[string]**string{"workflow": &f.Workflow, "correlation-id": &f.CorrelationID, "label": &f.Label, "fingerprint": &f.Fingerprint} {
		if value := c.String(name); value != "" {
			*field = &value
		}
	}
	for name, field := range map[string]**time.Time{"since": &f.Since, "until": &f.Until} {
		text := c.String(name)
		if text == "" {
			continue
		}
		t, err := parseTime(p.now(), text)
		if err != nil {
			return f, usagef("--%s %s: want a time as 2026-01-31T08:00:00Z, or a duration as 2h", name, text)
		}
		*field = &t
	}
	return f, nil
}

// parseTime reads a time, or a duration before now.
func parseTime(now time.Time, text string) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	return time.Parse(time.RFC3339, text)
}

func (p *program) getExecution(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	x, err := s.api.Execution(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if s.format != formatTable && s.format != formatWide {
		return s.printExecution(*x)
	}
	a, err := s.around(c.Context, x)
	if err != nil {
		return err
	}
	return s.printAround(*x, a)
}

func (p *program) watchExecution(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c, formatTable, formatWide, formatJSON, formatJSONL, formatYAML, formatName)
	if err != nil {
		return err
	}
	x, err := s.api.Execution(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if s.format != formatJSONL {
		return s.await(c.Context, x, c.Duration("timeout"))
	}
	ctx := c.Context
	if d := c.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return s.watchLines(ctx, x)
}

// watchLines writes each event as a line of JSON.
func (s *session) watchLines(ctx context.Context, x *client.Execution) error {
	for event, err := range s.api.Events(ctx, x.ID, "") {
		if err != nil {
			if ctx.Err() == context.DeadlineExceeded {
				return &failure{code: exitWaitTimeout, err: fmt.Errorf("execution #%d did not end in time; it goes on", x.Number)}
			}
			return err
		}
		if err := s.jsonLine(event); err != nil {
			return err
		}
	}
	end, err := s.api.Execution(ctx, x.ID)
	if err != nil {
		return err
	}
	if end.Status != client.ExecutionStatusSucceeded {
		return &failure{code: exitUnsuccess, err: fmt.Errorf("execution #%d ended %s", end.Number, end.Status)}
	}
	return nil
}

func (p *program) history(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	type e = client.Event
	return list(s, c, s.api.History(c.Context, c.Args().First()), []column[e]{
		{title: "when", value: func(e e) string { return s.eventTime(e.At) }},
		{title: "event", value: func(e e) string { return e.Type }},
		{title: "task", value: func(e e) string { return e.Ref }},
		{title: "attempt", value: func(e e) string { return number(e.Attempt) }},
		{title: "status", value: func(e e) string { return s.style.status(e.Status) }},
		{title: "by", value: func(e e) string { return e.By }},
		{title: "reason", value: func(e e) string { return e.Reason }},
		{title: "seq", wide: true, value: func(e e) string { return e.Seq }},
	}, func(e e) string { return e.Seq })
}

// eventTime is exact to the millisecond: events follow each other closely.
func (p *printer) eventTime(t time.Time) string {
	if p.format == formatWide {
		return t.Local().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return t.Local().Format("15:04:05.000")
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (p *program) graph(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c, "mermaid", "dot", "svg", formatJSON)
	if err != nil {
		return err
	}
	if s.format == formatJSON {
		g, err := s.api.Graph(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		return s.json(g)
	}
	drawing, err := s.api.Drawing(c.Context, c.Args().First(), s.format)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.program.out, strings.TrimRight(drawing, "\n"))
	return nil
}
