package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/server"
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

func dialectsFlag() cli.Flag {
	return &cli.StringFlag{Name: "dialects", Usage: "speak the `LIST` of wire dialects: all, none, or names with commas between them", EnvVars: setup.Env("dialects"), Value: "all"}
}

func cogniteURLFlag() cli.Flag {
	return &cli.StringFlag{Name: "cognite-url", Usage: "send what cdf tasks of Cognite's workflows ask for below `URL`, as https://api.cognitedata.com/api/v1/projects/acme", EnvVars: setup.Env("cognite-url")}
}

// dialects reads the dialectsFlag: nil = all.
func dialects(c *cli.Context) ([]string, error) {
	known, names := server.Dialects(), []string{}
	switch text := c.String("dialects"); text {
	case "all":
		return nil, nil
	case "none":
		return names, nil
	default:
		for name := range strings.SplitSeq(text, ",") {
			name = strings.TrimSpace(name)
			if !slices.Contains(known, name) {
				return nil, setup.Wrong("dialects", text, "all, none, or a list of "+strings.Join(known, ", "))
			}
			names = append(names, name)
		}
		return names, nil
	}
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
