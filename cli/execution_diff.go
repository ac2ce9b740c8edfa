package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) diffCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "diff", Usage: "compare two executions, or two attempts of a task", ArgsUsage: "ID [ID]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "task", Usage: "compare attempts of the task `REF` of one execution"},
			&cli.StringFlag{Name: "attempts", Usage: "with --task: which two, as `N,M`", DefaultText: "the last two"},
		},
		Description: "Input, output, error and definition as changes that lead from the first to the second, and the tasks that differ.",
		Action:      p.diff,
	}, []string{
		"redrive execution diff 12 15",
		"redrive execution diff 12 --task 'year[2013]' --attempts 1,2",
		"redrive execution diff 12 15 -o json",
	}, exitNotFound)
}

func (p *program) diff(c *cli.Context) error {
	most := 2
	if c.IsSet("task") {
		most = 1
	}
	if err := arguments(c, most, most); err != nil {
		return err
	}
	if c.IsSet("attempts") && !c.IsSet("task") {
		return usagef("--attempts is of a task: name it with --task REF")
	}
	s, err := p.connect(c, formatTable, formatWide, formatJSON, formatJSONL, formatYAML)
	if err != nil {
		return err
	}
	d, err := s.compare(c)
	if err != nil {
		return fieldsOf(err)
	}
	if s.format != formatTable && s.format != formatWide {
		return printOne(s.printer, *d, nil, nil)
	}
	s.printComparison(*d)
	return nil
}

func (s *session) compare(c *cli.Context) (*client.Comparison, error) {
	if !c.IsSet("task") {
		return s.api.Diff(c.Context, c.Args().Get(0), c.Args().Get(1))
	}
	id, ref := c.Args().First(), c.String("task")
	if !c.IsSet("attempts") {
		t, err := s.api.Task(c.Context, id, ref)
		if err != nil {
			return nil, err
		}
		if t.Attempt < 2 {
			return nil, usagef("%[1]s has fewer than two attempts: there is nothing to compare; what ran is listed by: redrive task attempts %[2]s %[1]s", ref, id)
		}
		return s.api.DiffAttempts(c.Context, id, ref, t.Attempt-1, t.Attempt)
	}
	one, other, _ := strings.Cut(c.String("attempts"), ",")
	from, err := strconv.Atoi(strings.TrimSpace(one))
	to, err2 := strconv.Atoi(strings.TrimSpace(other))
	if err != nil || err2 != nil || from < 1 || to < 1 {
		return nil, usagef("--attempts %s: want two numbers, as 1,2", c.String("attempts"))
	}
	return s.api.DiffAttempts(c.Context, id, ref, from, to)
}

// printComparison writes both sides beside each other, then what differs.
func (s *session) printComparison(d client.Comparison) {
	header := table.Row{"", s.style.bold("A"), s.style.bold("B")}
	var body []table.Row
	for _, line := range []struct {
		title string
		value func(client.Side) string
	}{
		{"execution", func(x client.Side) string { return x.Execution }},
		{"task", func(x client.Side) string { return x.Ref }},
		{"attempt", func(x client.Side) string { return number(x.Attempt) }},
		{"redrive", func(x client.Side) string { return number(x.Redrive) }},
		{"version", func(x client.Side) string { return number(x.Version) }},
		{"status", func(x client.Side) string { return s.style.status(x.Status) }},
		{"took", func(x client.Side) string { return seconds(x.DurationSeconds) }},
		{"error", func(x client.Side) string { return s.style.paint(red, clip(printable(errorText(x.Error)), 60)) }},
	} {
		if a, b := line.value(d.A), line.value(d.B); a != "" || b != "" {
			body = append(body, table.Row{s.style.dim(line.title), a, b})
		}
	}
	s.table(header, body)
	same := len(d.Tasks) == 0
	for _, part := range []struct {
		name  string
		patch client.JSONPatch
	}{{"input", d.Input}, {"output", d.Output}, {"error", d.Error}, {"definition", d.Definition}} {
		s.changes(part.name, part.patch)
		same = same && compact(part.patch) == ""
	}
	if same {
		fmt.Fprintln(s.program.out, "\nInput, output, error and definition are the same in both.")
	}
	if len(d.Tasks) > 0 {
		fmt.Fprintln(s.program.out)
		s.table(rows(s.printer, d.Tasks, s.pairColumns()))
	}
	if d.Truncated {
		fmt.Fprintf(s.err, "More tasks differ: the first %d are shown.\n", len(d.Tasks))
	}
}

func (s *session) pairColumns() []column[client.TaskPair] {
	type t = client.TaskPair
	status := func(x *client.TaskSide) string {
		if x == nil {
			return s.style.dim("not there")
		}
		return s.style.status(string(x.Status))
	}
	duration := func(x *client.TaskSide) string {
		if x == nil {
			return ""
		}
		return seconds(x.DurationSeconds)
	}
	return []column[t]{
		{title: "task", value: func(t t) string { return t.Ref }},
		{title: "A", value: func(t t) string { return status(t.A) }},
		{title: "B", value: func(t t) string { return status(t.B) }},
		{title: "differs in", value: differences},
		{title: "took A", value: func(t t) string { return duration(t.A) }},
		{title: "took B", value: func(t t) string { return duration(t.B) }},
	}
}

func differences(t client.TaskPair) string {
	var parts []string
	for _, part := range []struct {
		differs bool
		name    string
	}{{t.Input, "input"}, {t.Output, "output"}, {t.Error, "error"}} {
		if part.differs {
			parts = append(parts, part.name)
		}
	}
	return strings.Join(parts, ", ")
}
