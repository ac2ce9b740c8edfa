package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/worker/setup"
)

// The groups of commands in the help text.
const (
	categoryProcesses  = "Processes"
	categoryWorkflows  = "Workflows and executions"
	categoryManagement = "Your fleet and access"
)

// program is one run of the command line: where it reads and writes.
type program struct {
	version  string
	args     []string // without the program's name
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	http     *http.Client // nil = the usual one

	played string       // of a command that the demo plays: its server
	shown  *client.Plan // last
}

// Main runs the command line and returns the exit code. args begins with the
// program's name. SIGINT and SIGTERM end what runs in an orderly way; a second
// one ends the process at once.
func Main(version string, args []string, in io.Reader, out, errOut io.Writer) int {
	setup.CatchRedisLog()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the default action is back, so the second one kills.
	context.AfterFunc(ctx, stop)
	return Run(ctx, version, args, in, out, errOut)
}

// Run is Main without signals.
func Run(ctx context.Context, version string, args []string, in io.Reader, out, errOut io.Writer) int {
	p := &program{version: version, args: args[min(1, len(args)):], in: in, out: out, err: errOut, now: time.Now}
	err := p.execute(ctx, args)
	if err != nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(errOut, "interrupted")
		return 130
	}
	code, text := explain(err)
	fmt.Fprint(errOut, text)
	return code
}

// execute is one command line; args begins with the program's name.
func (p *program) execute(ctx context.Context, args []string) error {
	app := p.app()
	if last := len(args) - 1; last > 0 && args[last] == completeFlag {
		p.complete(app, args[1:last])
		return nil
	}
	if err := checkFlags(app, args); err != nil {
		return err
	}
	return app.RunContext(ctx, arrange(app, args))
}

func (p *program) app() *cli.App {
	app := &cli.App{
		Name:                      "redrive",
		HelpName:                  "redrive",
		Usage:                     "Redrive: durable workflows for asynq",
		Version:                   p.version,
		Reader:                    p.in,
		Writer:                    p.out,
		ErrWriter:                 p.err,
		CustomAppHelpTemplate:     rootHelp + codesText([]int{exitNotFound, exitConflict, exitPartial, exitUnsuccess, exitWaitTimeout}),
		DisableSliceFlagSeparator: true,
		HideHelpCommand:           false,
		OnUsageError:              onUsageError,
		// Errors come back from Run as values: nothing exits in between.
		ExitErrHandler: func(*cli.Context, error) {},
		Flags:          globalFlags(),
		Commands: slices.Concat(
			[]*cli.Command{p.workflowCommand(), p.runCommand(), p.executionCommand(), p.sessionCommand(), p.scheduleCommand(), p.failureCommand()},
			p.redriveCommands(),
			p.controlCommands(),
			[]*cli.Command{p.bulkCommand()},
			[]*cli.Command{p.taskCommand(), p.queueCommand(), p.projectCommand(), p.keyCommand(), p.auditCommand(), p.doctorCommand(), p.completionCommand()},
			p.processCommands(),
		),
	}
	app.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return unknownCommand(c, c.Args().First(), app.Commands)
		}
		return cli.ShowAppHelp(c)
	}
	return app
}
