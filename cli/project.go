package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) projectCommand() *cli.Command {
	return group("project", "create and list projects", categoryManagement,
		explained(&cli.Command{
			Name: "list", Usage: "list the projects", Flags: []cli.Flag{limitFlag()}, Action: p.listProjects,
		}, []string{"redrive project list"}),
		explained(&cli.Command{
			Name: "create", Usage: "create a project, or change its description", ArgsUsage: "NAME",
			Flags:  []cli.Flag{&cli.StringFlag{Name: "description", Usage: "`TEXT` about the project"}},
			Action: p.createProject,
		}, []string{`redrive project create reports --description "Nightly reports"`}),
	)
}

func (p *printer) projectColumns() []column[client.Project] {
	type j = client.Project
	return []column[j]{
		{title: "project", value: func(j j) string { return j.Name }},
		{title: "description", value: func(j j) string { return j.Description }},
		{title: "created", value: func(j j) string { return p.time(j.CreatedAt) }},
	}
}

func projectName(j client.Project) string { return j.Name }

func (p *program) listProjects(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Projects(c.Context), s.projectColumns(), projectName)
}

func (p *program) createProject(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	project, _, err := s.api.PutProject(c.Context, c.Args().First(), client.ProjectRequest{Description: c.String("description")})
	if err != nil {
		return fieldsOf(err)
	}
	return printOne(s.printer, *project, s.projectColumns(), projectName)
}
