package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/worker/setup"
)

func (p *program) demoCommand() *cli.Command {
	return process(&cli.Command{
		Name: "demo", Usage: "see a real workflow fail, be retried and rerun; needs nothing else", Category: categoryProcesses,
		Description: "Starts everything in this process on a free port and runs a workflow that makes a report from four years of daily weather. One line of one year is damaged, so that year fails; it is retried with other data, and then the data of another year changes. Each step shows the command that does it, and what stays as it is.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "listen on `HOST:PORT`; a free port of loopback when left out"},
			&cli.BoolFlag{Name: "keep", Usage: "go on running until Ctrl-C, to look around"},
		}, logFlags("error")...),
		Action: p.demo,
	}, []string{"redrive demo", "redrive demo --keep --listen 127.0.0.1:8080"}, exitUnsuccess)
}

func (p *program) demo(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	log, err := setup.Logger(c, p.err)
	if err != nil {
		return err
	}
	listen, err := setup.Listen(c)
	if err != nil {
		return err
	}
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	d, err := startDev(c.Context, devOptions{listen: listen, concurrency: 10, version: p.version, log: log})
	if err != nil {
		return err
	}
	outcome := p.tell(c.Context, d.url(), c.Bool("keep"))
	if outcome == nil && c.Bool("keep") {
		fmt.Fprintf(p.out, "\n%s", d.banner(styleFor(p.out)))
		<-c.Done()
	}
	// The demo has ended, by itself or by a signal; stopping has its own time.
	ending, cancel := context.WithTimeout(context.WithoutCancel(c.Context), stopTime)
	defer cancel()
	return errors.Join(outcome, d.stop(ending))
}

// commandName is how this program is called, which is not always by its name.
func commandName() string {
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return "go run ./cli/redrive"
	}
	return "redrive"
}
