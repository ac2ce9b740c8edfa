package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker/setup"
)

const exitCodes = `

Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage.`

// Main runs a worker binary with task types of your own and returns the exit
// code. SIGINT or SIGTERM drains it; a second one ends it at once.
//
//	func main() { os.Exit(worker.Main(registry)) }
//
// It takes the flags of Command. The built-in types come with it, as far as the
// flags allow; a type of yours with the name of a built-in one takes its place.
func Main(types *tasks.Registry) int {
	setup.CatchRedisLog()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal finds the default action again
	return run(ctx, types, os.Args, os.Stdout, os.Stderr)
}

func run(ctx context.Context, types *tasks.Registry, args []string, out, errOut io.Writer) int {
	c := Command(types, "")
	app := &cli.App{
		Name: "worker", Usage: c.Usage, Description: c.Description,
		Flags: c.Flags, Before: c.Before, Action: c.Action, OnUsageError: c.OnUsageError,
		Writer: out, ErrWriter: errOut, HideVersion: true, HideHelpCommand: true,
		ExitErrHandler: func(*cli.Context, error) {}, DisableSliceFlagSeparator: true,
	}
	err := app.RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(errOut, "error: %s\n", err)
	if usage, ok := errors.AsType[*setup.UsageError](err); ok {
		return usage.ExitCode()
	}
	if _, ok := errors.AsType[*queue.URLError](err); ok {
		return 2
	}
	return 1
}

// Command is the command that runs a worker until its context ends. types are
// those beside the built-in ones, nil for none.
func Command(types *tasks.Registry, version string) *cli.Command {
	d := DefaultOptions()
	own := []cli.Flag{
		&cli.StringFlag{Name: "queues", EnvVars: setup.Env("queues"), Value: "default=1", Usage: "`LIST` of queues with weights: critical=6,default=3,low=1"},
		&cli.IntFlag{Name: "concurrency", EnvVars: setup.Env("concurrency"), Value: d.Concurrency, Usage: "run `N` tasks at once"},
		&cli.DurationFlag{Name: "drain", EnvVars: setup.Env("drain"), Value: d.Drain, Usage: "`DURATION` that running tasks get to finish when the worker stops"},
		&cli.BoolFlag{Name: "builtin", EnvVars: setup.Env("builtin"), Value: true, Usage: "serve the built-in task types, too"},
		&cli.StringSliceFlag{Name: "allow-exec", EnvVars: setup.Env("allow-exec"), Usage: "`COMMAND` that exec may run, * for any (repeatable)"},
		&cli.StringSliceFlag{Name: "allow-address", EnvVars: setup.Env("allow-address"), Usage: "non-public `ADDRESS` that http may call: host, IP, CIDR or * (repeatable)"},
		&cli.StringFlag{Name: "listen", EnvVars: setup.Env("listen"), Usage: "`HOST:PORT` for /healthz, /readyz and /metrics (default: none)"},
	}
	flags, before := setup.Config(slices.Concat(setup.RedisFlags(), []cli.Flag{setup.RetentionFlag(), setup.SecretsFlag()}, own, setup.LogFlags()))
	return &cli.Command{
		Name:         "worker",
		Usage:        "Run tasks",
		Description:  "Takes jobs from the queues and runs them until SIGINT or SIGTERM; then it drains. A second signal ends it at once." + exitCodes,
		Flags:        flags,
		Before:       before,
		OnUsageError: setup.OnUsageError,
		Action: func(c *cli.Context) error {
			s, err := settingsOf(c, types, version)
			if err != nil {
				return err
			}
			return serve(c.Context, s)
		},
	}
}

// settings are what the flags of a worker process say.
type settings struct {
	redis     string
	retention time.Duration
	listen    string
	options   Options
	secrets   func(name string) (string, error)
	log       *slog.Logger
}

func settingsOf(c *cli.Context, types *tasks.Registry, version string) (settings, error) {
	if c.Args().Present() {
		return settings{}, &setup.UsageError{Err: fmt.Errorf("unexpected argument %q: a worker takes flags only", c.Args().First())}
	}
	errOut := c.App.ErrWriter
	if errOut == nil {
		errOut = os.Stderr
	}
	log, err := setup.Logger(c, errOut)
	if err != nil {
		return settings{}, err
	}
	s := settings{redis: c.String("redis"), options: DefaultOptions(), log: log}
	if s.listen, err = setup.Listen(c); err != nil {
		return settings{}, err
	}
	if s.retention, err = setup.Retention(c); err != nil {
		return settings{}, err
	}
	if s.secrets, err = setup.Secrets(c); err != nil {
		return settings{}, err
	}
	o := &s.options
	o.Version, o.Logger = version, log
	o.Concurrency, o.Drain = c.Int("concurrency"), c.Duration("drain")
	if o.Concurrency < 1 || o.Concurrency > MaxConcurrency {
		return settings{}, setup.Wrong("concurrency", strconv.Itoa(o.Concurrency), fmt.Sprintf("1 to %d", MaxConcurrency))
	}
	if o.Drain < 0 || o.Drain > maxDrain {
		return settings{}, setup.Wrong("drain", o.Drain.String(), fmt.Sprintf("0s to %s", maxDrain))
	}
	if o.Queues, err = ParseQueues(c.String("queues")); err != nil {
		return settings{}, err
	}
	o.Types, err = typesOf(c, types)
	return s, err
}

// typesOf adds the built-in types, under the permissions of the flags, to the caller's own.
func typesOf(c *cli.Context, own *tasks.Registry) (*tasks.Registry, error) {
	var all []tasks.Type
	if own != nil {
		for _, name := range own.Names() {
			t, _ := own.Get(name)
			all = append(all, t)
		}
	}
	if c.Bool("builtin") {
		o := tasks.DefaultOptions()
		o.ExecAllow, o.HTTPAllow = listOf(c, "allow-exec"), listOf(c, "allow-address")
		if err := o.Validate(); err != nil {
			return nil, &setup.UsageError{Err: fmt.Errorf("--allow-exec or --allow-address: %w", err)}
		}
		for _, t := range tasks.Builtin(o) {
			if !slices.ContainsFunc(all, func(x tasks.Type) bool { return x.Name == t.Name }) {
				all = append(all, t)
			}
		}
	}
	r, err := tasks.NewRegistry(all...)
	if err == nil && len(all) == 0 {
		err = &setup.UsageError{Err: errors.New("--builtin=false leaves this worker without a task type; register types of your own, or leave the flag out")}
	}
	return r, err
}

// listOf reads a repeatable flag, whose variable may hold a list with commas.
func listOf(c *cli.Context, flag string) []string {
	var all []string
	for _, text := range c.StringSlice(flag) {
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// ParseQueues reads name=weight,name=weight; a name alone has weight 1.
func ParseQueues(text string) (map[string]int, error) {
	queues := make(map[string]int)
	for part := range strings.SplitSeq(text, ",") {
		name, weight, given := strings.Cut(strings.TrimSpace(part), "=")
		n := 1
		if given {
			var err error
			if n, err = strconv.Atoi(weight); err != nil {
				n = 0
			}
		}
		if _, twice := queues[name]; twice || !queueName.MatchString(name) || n < 1 || n > maxWeight {
			return nil, setup.Wrong("queues", text, fmt.Sprintf("each queue once, with a weight of 1 to %d, such as critical=6,default=3,low=1", maxWeight))
		}
		queues[name] = n
	}
	return queues, nil
}

// stopTimeout is how long a process may take to stop beyond its drain.
func stopTimeout(o Options) time.Duration { return o.Drain + o.Lease + shutdownSlack }
