package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/workflow"
)

func (p *program) workflowCommand() *cli.Command {
	return group("workflow", "publish, check and read workflows", categoryWorkflows,
		explained(&cli.Command{
			Name: "publish", Usage: "store a definition as the next version of its workflow", ArgsUsage: "FILE|-",
			Description: "The name is in the definition. Content equal to the newest version is not stored again.",
			Action:      p.publish(false),
		}, []string{"redrive workflow publish report.yaml", "cat report.yaml | redrive workflow publish -"}),
		explained(&cli.Command{
			Name: "validate", Usage: "check a definition and store nothing", ArgsUsage: "FILE|-",
			Action: p.publish(true),
		}, []string{"redrive workflow validate report.yaml"}),
		explained(&cli.Command{
			Name: "list", Usage: "list the newest version of each workflow", Flags: []cli.Flag{limitFlag()},
			Action: p.listWorkflows,
		}, []string{"redrive workflow list", "redrive workflow list -o name"}),
		explained(&cli.Command{
			Name: "get", Usage: "show a workflow, as it was published", ArgsUsage: "NAME",
			Flags:  []cli.Flag{&cli.IntFlag{Name: "version", Usage: "version `N`; the newest when left out"}},
			Action: p.getWorkflow,
		}, []string{"redrive workflow get weather-report", "redrive workflow get weather-report --version 2 -o yaml"}, exitNotFound),
		explained(&cli.Command{
			Name: "versions", Usage: "list the versions of a workflow", ArgsUsage: "NAME", Flags: []cli.Flag{limitFlag()},
			Action: p.listVersions,
		}, []string{"redrive workflow versions weather-report"}, exitNotFound),
		explained(&cli.Command{
			Name: "schema", Usage: "print the JSON Schema of definitions, for editors",
			Action: p.workflowSchema,
		}, []string{"redrive workflow schema > redrive.schema.json"}),
	)
}

var workflowColumns = []column[client.WorkflowSummary]{
	{title: "name", value: func(w client.WorkflowSummary) string { return w.Name }},
	{title: "version", value: func(w client.WorkflowSummary) string { return strconv.Itoa(w.Version) }},
	{title: "description", value: func(w client.WorkflowSummary) string { return clip(w.Description, 60) }},
	{title: "hash", wide: true, value: func(w client.WorkflowSummary) string { return clip(w.Hash, 13) }},
}

// workflowRows adds the column whose form depends on the format.
func workflowRows(p *printer) []column[client.WorkflowSummary] {
	return append(slices.Clip(workflowColumns),
		column[client.WorkflowSummary]{title: "published", value: func(w client.WorkflowSummary) string { return p.time(w.CreatedAt) }})
}

func workflowName(w client.WorkflowSummary) string { return w.Name }

func (p *program) publish(dryRun bool) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, 1); err != nil {
			return err
		}
		s, err := p.connect(c)
		if err != nil {
			return err
		}
		source, err := p.readFile(c.Args().First())
		if err != nil {
			return err
		}
		published, err := s.api.Publish(c.Context, s.project, source, dryRun)
		if err != nil {
			return definitionError(c.Args().First(), err)
		}
		for _, w := range published.Warnings {
			fmt.Fprintf(p.err, "%s %s\n", styleFor(p.err).paint(yellow, "warning:"), w.String())
		}
		switch s.format {
		case formatTable, formatWide:
			fmt.Fprintln(p.out, publishedText(published, dryRun))
			return nil
		}
		return printOne(s.printer, *published, nil, func(w client.Published) string { return w.Name })
	}
}

func publishedText(w *client.Published, dryRun bool) string {
	switch {
	case dryRun && w.Created:
		return fmt.Sprintf("%s is valid; it would become version %d", w.Name, w.Version)
	case dryRun && w.Version > 0:
		return fmt.Sprintf("%s is valid and equal to version %d", w.Name, w.Version)
	case dryRun:
		return fmt.Sprintf("%s is valid; nothing was stored", w.Name)
	case w.Created:
		return fmt.Sprintf("%s version %d published\nRun it: redrive run %s --wait", w.Name, w.Version, w.Name)
	default:
		return fmt.Sprintf("%s version %d already has this content; nothing was stored", w.Name, w.Version)
	}
}

// definitionError shows each problem as file:line:column, which editors understand.
func definitionError(file string, err error) error {
	var refusal *client.Error
	if !errors.As(err, &refusal) || len(refusal.Errors) == 0 {
		return err
	}
	f := &failure{code: exitUsage, err: fmt.Errorf("%s: %d problems in the definition", file, len(refusal.Errors))}
	if len(refusal.Errors) == 1 {
		f.err = fmt.Errorf("%s: a problem in the definition", file)
	}
	for _, field := range refusal.Errors {
		f.fields = append(f.fields, file+":"+field.String())
	}
	return f
}

func (p *program) listWorkflows(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Workflows(c.Context, s.project), workflowRows(s.printer), workflowName)
}

func (p *program) listVersions(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Versions(c.Context, s.project, c.Args().First()), workflowRows(s.printer), func(w client.WorkflowSummary) string {
		return strconv.Itoa(w.Version)
	})
}

func (p *program) getWorkflow(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	if c.Int("version") < 0 {
		return usagef("--version %d: versions count from 1", c.Int("version"))
	}
	w, err := s.api.Workflow(c.Context, s.project, c.Args().First(), c.Int("version"))
	if err != nil {
		return err
	}
	return printOne(s.printer, *w, []column[client.Workflow]{
		{title: "name", value: func(w client.Workflow) string { return w.Name }},
		{title: "project", value: func(w client.Workflow) string { return w.Project }},
		{title: "version", value: func(w client.Workflow) string { return strconv.Itoa(w.Version) }},
		{title: "description", value: func(w client.Workflow) string { return w.Description }},
		{title: "published", value: func(w client.Workflow) string { return s.time(w.CreatedAt) }},
		{title: "hash", value: func(w client.Workflow) string { return w.Hash }},
		{title: "source", value: func(w client.Workflow) string { return "\n" + w.Source }},
	}, func(w client.Workflow) string { return w.Name })
}

func (p *program) workflowSchema(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	_, err := p.out.Write(append(workflow.JSONSchema(), '\n'))
	return err
}

// readFile reads a file, or standard input for "-".
func (p *program) readFile(name string) ([]byte, error) {
	if name == "-" {
		source, err := io.ReadAll(p.in)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return source, nil
	}
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, &failure{code: exitUsage, err: err, next: "Give a file, or - for standard input."}
	}
	return source, nil
}
