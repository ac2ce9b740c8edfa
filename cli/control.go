package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// steering is what is done to one execution; it is asked for each that is named.
type steering func(ctx context.Context, id string) (*client.Execution, error)

// controlCommands steer executions that have not ended.
func (p *program) controlCommands() []*cli.Command {
	command := func(c cli.Command, examples []string, do func(c *cli.Context, s *session) (steering, error)) *cli.Command {
		c.ArgsUsage, c.Category = "ID...", categoryWorkflows
		c.Flags = append(c.Flags, reasonFlag())
		c.Action = func(c *cli.Context) error {
			if err := arguments(c, 1, -1); err != nil {
				return err
			}
			s, err := p.connect(c)
			if err != nil {
				return err
			}
			steer, err := do(c, s)
			if err != nil {
				return err
			}
			return each(c.Context, s, c.Args().Slice(), steer, s.executionColumns(), executionID)
		}
		return explained(&c, examples, exitNotFound, exitConflict, exitPartial)
	}
	return []*cli.Command{
		command(cli.Command{
			Name: "pause", Usage: "pause executions: what runs goes on, nothing new starts",
			Flags: []cli.Flag{&cli.DurationFlag{Name: "for", Usage: "fail it when it is still paused after `DURATION`, 1s to 720h", DefaultText: "without limit"}},
		}, []string{
			`redrive pause 12 --reason "the upstream is down"`,
			"redrive pause 12 --for 2h",
			"redrive pause $(redrive execution list --label team=data -o name)",
		}, p.pause),
		command(cli.Command{
			Name: "resume", Usage: "resume paused executions, or answer what they wait for",
			Description: "With --input it answers a task that waits for one: an approval, or a wait that is ended from outside.\n" +
				"`redrive execution get ID` shows what an execution waits for.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "input", Usage: "the answer as `JSON`, or @file, or @- for standard input"},
				&cli.StringFlag{Name: "task", Usage: "with --input: the `REF` of the task that it answers; needed where several wait"},
				&cli.StringFlag{Name: "answered-by", Usage: "with --input: the `NAME` of who answers; the API key when left out"},
			},
		}, []string{
			"redrive resume 12",
			`redrive resume 12 --task approve --input '{"approved": true}' --answered-by ann`,
			"redrive resume 12 --input @answer.json",
			"redrive resume $(redrive execution list --status paused --label team=data -o name)",
		}, p.resume),
		command(cli.Command{Name: "cancel", Usage: "cancel executions: running tasks are told to stop"}, []string{
			`redrive cancel 12 --reason "wrong input"`,
			"redrive cancel $(redrive execution list --label team=data -o name)",
		}, func(c *cli.Context, s *session) (steering, error) {
			return func(ctx context.Context, id string) (*client.Execution, error) {
				return s.api.Cancel(ctx, id, c.String("reason"))
			}, nil
		}),
	}
}

func reasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Usage: "`TEXT` that is kept in the history"}
}

func (p *program) pause(c *cli.Context, s *session) (steering, error) {
	d := c.Duration("for")
	if c.IsSet("for") && d < time.Second {
		return nil, usagef("--for %s: want a duration of 1s to 720h such as 30m or 2h", d)
	}
	return func(ctx context.Context, id string) (*client.Execution, error) {
		return s.api.PauseFor(ctx, id, c.String("reason"), d)
	}, nil
}

func (p *program) resume(c *cli.Context, s *session) (steering, error) {
	reason := c.String("reason")
	if !c.IsSet("input") {
		for _, name := range []string{"task", "answered-by"} {
			if c.IsSet(name) {
				return nil, usagef("--%s is of an answer: give that with --input JSON, which may be null", name)
			}
		}
		return func(ctx context.Context, id string) (*client.Execution, error) { return s.api.Resume(ctx, id, reason) }, nil
	}
	input, err := p.jsonFlag(c, "input")
	if err != nil {
		return nil, err
	}
	answer := client.ResumeRequest{Input: input, Task: c.String("task"), AnsweredBy: c.String("answered-by"), Reason: reason}
	return func(ctx context.Context, id string) (*client.Execution, error) { return s.api.Answer(ctx, id, answer) }, nil
}

// jsonFlag reads a flag that is JSON, or @file; nil when it is not given.
func (p *program) jsonFlag(c *cli.Context, name string) (json.RawMessage, error) {
	if !c.IsSet(name) {
		return nil, nil
	}
	raw, err := p.valueOf(c.String(name))
	if err == nil && !json.Valid(raw) {
		err = usagef(`--%s is not JSON: want a value as '{"approved": true}', '"text"' or null, or @file`, name)
	}
	return raw, err
}
