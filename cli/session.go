package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) sessionCommand() *cli.Command {
	return group("session", "see the sessions of workflows and their attempts", categoryWorkflows,
		explained(&cli.Command{
			Name: "list", Usage: "list sessions, newest first",
			Flags: []cli.Flag{&cli.StringFlag{Name: "workflow", Usage: "only of the workflow `NAME`"}, limitFlag()}, Action: p.listSessions,
		}, []string{"redrive session list --workflow nightly", "redrive session list --limit 0 -o json"}),
		explained(&cli.Command{
			Name: "get", Usage: "show the attempts of a session, oldest first", ArgsUsage: "NUMBER", Flags: []cli.Flag{limitFlag()},
			Description: "NUMBER is the number of the session. Each attempt is an execution.", Action: p.getSession,
		}, []string{"redrive session get 7", "redrive session get 7 -o json"}, exitNotFound),
	)
}

func (p *printer) sessionColumns() []column[client.Session] {
	type s = client.Session
	last := func(get func(client.Execution) string) func(s) string {
		return func(s s) string {
			if s.Last == nil {
				return ""
			}
			return get(*s.Last)
		}
	}
	return []column[s]{
		{title: "session", value: func(s s) string { return strconv.FormatInt(s.Number, 10) }},
		{title: "workflow", value: func(s s) string { return s.Workflow }},
		{title: "session time", value: func(s s) string { return s.SessionTime.UTC().Format(time.RFC3339) }},
		{title: "attempts", value: func(s s) string { return strconv.Itoa(s.Attempts) }},
		{title: "last", value: last(func(x client.Execution) string { return fmt.Sprintf("#%d", x.Number) })},
		{title: "status", value: last(func(x client.Execution) string { return p.style.status(string(x.Status)) })},
		{title: "created", value: last(func(x client.Execution) string { return p.time(x.CreatedAt) })},
	}
}

func (p *program) listSessions(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	var filter client.ListSessionsParams
	if name := c.String("workflow"); name != "" {
		filter.Workflow = &name
	}
	return list(s, c, s.api.Sessions(c.Context, s.project, filter), s.sessionColumns(), func(s client.Session) string {
		return strconv.FormatInt(s.Number, 10)
	})
}

func (p *program) getSession(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(c.Args().First(), 10, 64)
	if err != nil || number < 1 {
		return usagef("%q is no number of a session; `redrive session list` shows them", c.Args().First())
	}
	return list(s, c, s.api.SessionAttempts(c.Context, s.project, number), s.attemptColumns(), executionID)
}

func (p *printer) attemptColumns() []column[client.Execution] {
	type x = client.Execution
	return append([]column[x]{
		{title: "attempt", value: func(x x) string { return strconv.Itoa(x.SessionAttempt) }},
		{title: "name", value: func(x x) string { return x.AttemptName }},
	}, p.executionColumns()...)
}
