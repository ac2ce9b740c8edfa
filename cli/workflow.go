package cli

import (
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/workflow"
)

func (p *program) workflowCommand() *cli.Command {
	return group("workflow", "publish, check and read workflows", categoryWorkflows,
		explained(&cli.Command{
			Name: "publish", Usage: "store definitions as the next versions of their workflows", ArgsUsage: "FILE|DIR|-...",
			Description: "The name is in the definition. Content equal to the newest version is not stored again. Of a folder, every .yaml, .yml and .json file below it that has tasks is a definition, but for what begins with a dot. Where there are several, all are checked first, and nothing is published when one has a problem.",
			Action:      p.publish(false),
		}, []string{"redrive workflow publish report.yaml", "redrive workflow publish ./workflows", "redrive workflow publish examples/*.yaml", "cat report.yaml | redrive workflow publish -"}, exitPartial),
		explained(&cli.Command{
			Name: "validate", Usage: "check definitions and store nothing", ArgsUsage: "FILE|DIR|-...",
			Action: p.publish(true),
		}, []string{"redrive workflow validate report.yaml", "redrive workflow validate ./workflows"}),
		explained(&cli.Command{
			Name: "list", Usage: "list the newest version of each workflow", Flags: []cli.Flag{limitFlag()},
			Action: p.listWorkflows,
		}, []string{"redrive workflow list", "redrive workflow list -o name"}),
		explained(&cli.Command{
			Name: "get", Usage: "show a workflow, as it was published", ArgsUsage: "NAME",
			Flags:  []cli.Flag{&cli.IntFlag{Name: "version", Usage: "version `N`", DefaultText: "the newest"}},
			Action: p.getWorkflow,
		}, []string{"redrive workflow get weather-report", "redrive workflow get weather-report --version 2 -o yaml"}, exitNotFound),
		explained(&cli.Command{
			Name: "versions", Usage: "list the versions of a workflow", ArgsUsage: "NAME", Flags: []cli.Flag{limitFlag()},
			Action: p.listVersions,
		}, []string{"redrive workflow versions weather-report"}, exitNotFound),
		explained(&cli.Command{
			Name: "diff", Usage: "show how two versions of a workflow differ", ArgsUsage: "NAME [FROM TO]",
			Description: "A unified diff of the sources as they were published; without versions, of the newest two.",
			Action:      p.diffVersions,
		}, []string{"redrive workflow diff weather-report", "redrive workflow diff weather-report 2 5"}, exitNotFound),
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
