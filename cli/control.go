package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// controlCommands steer executions that have not ended.
func (p *program) controlCommands() []*cli.Command {
	type verb func(s *session) func(ctx context.Context, id, reason string) (*client.Execution, error)
	command := func(name, usage string, do verb) *cli.Command {
		return explained(&cli.Command{
			Name: name, Usage: usage, ArgsUsage: "ID...", Category: categoryWorkflows,
			Flags: []cli.Flag{&cli.StringFlag{Name: "reason", Usage: "`TEXT` that is kept in the history"}},
			Action: func(c *cli.Context) error {
				if err := arguments(c, 1, -1); err != nil {
					return err
				}
				s, err := p.connect(c)
				if err != nil {
					return err
				}
				steer := do(s)
				return each(c.Context, s, c.Args().Slice(), func(ctx context.Context, id string) (*client.Execution, error) {
					return steer(ctx, id, c.String("reason"))
				}, s.executionColumns(), executionID)
			},
		}, []string{
			"redrive " + name + ` 12 --reason "the upstream is down"`,
			"redrive " + name + " $(redrive execution list --label team=data -o name)",
		}, exitNotFound, exitConflict, exitPartial)
	}
	return []*cli.Command{
		command("pause", "pause executions: what runs goes on, nothing new starts", func(s *session) func(context.Context, string, string) (*client.Execution, error) {
			return s.api.Pause
		}),
		command("resume", "resume paused executions", func(s *session) func(context.Context, string, string) (*client.Execution, error) {
			return s.api.Resume
		}),
		command("cancel", "cancel executions: running tasks are told to stop", func(s *session) func(context.Context, string, string) (*client.Execution, error) {
			return s.api.Cancel
		}),
	}
}
