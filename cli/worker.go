package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/worker"
)

// workerCommand is the worker process; as a noun it has verbs, too.
func (p *program) workerCommand() *cli.Command {
	c := worker.Command(nil, p.version)
	c.Usage = "a worker process; `worker list` shows the live ones"
	c.Category = categoryProcesses
	c.Description = "Takes jobs from the queues and runs them until SIGINT or SIGTERM; then it drains. A second signal ends it at once. Task types of your own need a worker binary of your own: examples/worker is one."
	c.Subcommands = []*cli.Command{p.workerListCommand()}
	run := c.Action
	c.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return unknownCommand(c, c.Args().First(), c.Command.Subcommands)
		}
		return run(c)
	}
	return explained(c, []string{
		"redrive worker --redis redis://127.0.0.1:6379/0",
		"redrive worker --queues critical=6,default=3 --concurrency 50 --allow-exec awk",
		"redrive worker --config worker.yaml",
		"redrive worker list",
	})
}

func (p *program) workerListCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "list", Usage: "list the live workers", Action: p.listWorkers,
	}, []string{"redrive worker list", "redrive worker list -o wide"})
}

func (p *program) listWorkers(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	workers, err := s.api.Workers(c.Context)
	if err != nil {
		return err
	}
	type w = client.Worker
	return printList(s.printer, workers, []column[w]{
		{title: "id", value: func(w w) string { return w.ID }},
		{title: "state", value: func(w w) string {
			switch {
			case w.Draining:
				return s.style.paint(yellow, "draining")
			case w.Remote:
				return s.style.paint(green, "polling")
			}
			return s.style.paint(green, "serving")
		}},
		{title: "running", value: func(w w) string {
			if w.Remote {
				return "-" // it does not say
			}
			return fmt.Sprintf("%d/%d", w.Running, w.Concurrency)
		}},
		{title: "queues", value: func(w w) string { return weights(w.Queues) }},
		{title: "types", value: func(w w) string { return strings.Join(w.Types, ",") }},
		{title: "started", value: func(w w) string { return s.time(w.StartedAt) }},
		{title: "seen", value: func(w w) string { return s.time(w.SeenAt) }},
		{title: "host", wide: true, value: func(w w) string { return w.Host }},
		{title: "pid", wide: true, value: func(w w) string { return strconv.Itoa(w.Pid) }},
		{title: "version", wide: true, value: func(w w) string { return w.Version }},
	}, func(w w) string { return w.ID })
}

func weights(queues map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		list = append(list, fmt.Sprintf("%s=%d", name, queues[name]))
	}
	return strings.Join(list, ",")
}
