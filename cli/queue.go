package cli

import (
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) queueCommand() *cli.Command {
	return group("queue", "see, pause and resume queues", categoryManagement,
		explained(&cli.Command{Name: "list", Usage: "list the queues with what waits in them", Action: p.listQueues},
			[]string{"redrive queue list"}),
		explained(&cli.Command{
			Name: "pause", Usage: "pause queues: workers take nothing more from them", ArgsUsage: "NAME...",
			Action: p.steerQueues(true),
		}, []string{"redrive queue pause reports"}, exitNotFound, exitPartial),
		explained(&cli.Command{
			Name: "resume", Usage: "resume paused queues", ArgsUsage: "NAME...",
			Action: p.steerQueues(false),
		}, []string{"redrive queue resume reports"}, exitNotFound, exitPartial),
	)
}

func (p *printer) queueColumns() []column[client.Queue] {
	type q = client.Queue
	count := func(get func(q) int) func(q) string {
		return func(q q) string { return strconv.Itoa(get(q)) }
	}
	return []column[q]{
		{title: "queue", value: func(q q) string { return q.Name }},
		{title: "state", value: func(q q) string {
			if q.Paused {
				return p.style.status("paused")
			}
			return "open"
		}},
		{title: "workers", value: func(q q) string {
			if q.Workers == 0 {
				return p.style.paint(yellow, "0")
			}
			return strconv.Itoa(q.Workers)
		}},
		{title: "pending", value: count(func(q q) int { return q.Pending })},
		{title: "active", value: count(func(q q) int { return q.Active })},
		{title: "scheduled", wide: true, value: count(func(q q) int { return q.Scheduled })},
		{title: "retry", wide: true, value: count(func(q q) int { return q.Retry })},
		{title: "archived", value: count(func(q q) int { return q.Archived })},
		{title: "latency", value: func(q q) string { return q.Latency }},
	}
}

func queueName(q client.Queue) string { return q.Name }

func (p *program) listQueues(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	queues, err := s.api.Queues(c.Context)
	if err != nil {
		return err
	}
	return printList(s.printer, queues, s.queueColumns(), queueName)
}

func (p *program) steerQueues(pause bool) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, -1); err != nil {
			return err
		}
		s, err := p.connect(c)
		if err != nil {
			return err
		}
		do := s.api.ResumeQueue
		if pause {
			do = s.api.PauseQueue
		}
		return each(c.Context, s, c.Args().Slice(), do, s.queueColumns(), queueName)
	}
}
