package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/worker/setup"
)

func (p *program) processCommands() []*cli.Command {
	return []*cli.Command{p.demoCommand(), p.devCommand(), p.serverCommand(), p.workerCommand()}
}

// process makes a command a process: its settings come from flags, from the
// environment and from the file that --config names.
func process(c *cli.Command, examples []string, codes ...int) *cli.Command {
	c.Flags, c.Before = setup.Config(c.Flags)
	c.OnUsageError = setup.OnUsageError
	return explained(c, examples, codes...)
}

func listenFlag() cli.Flag {
	return &cli.StringFlag{Name: "listen", Usage: "listen on `HOST:PORT`; port 0 picks a free one", EnvVars: setup.Env("listen"), Value: "127.0.0.1:8080"}
}

// logFlags are the usual ones with another level to begin with.
func logFlags(level string) []cli.Flag {
	flags := setup.LogFlags()
	for _, f := range flags {
		if s, ok := f.(*cli.StringFlag); ok && s.Name == "log-level" {
			s.Value = level
		}
	}
	return flags
}
