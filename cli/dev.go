package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
	"github.com/redrive/redrive/worker/setup"
)

// stopTime is how long a process may take to end in order.
const stopTime = 60 * time.Second

func (p *program) devCommand() *cli.Command {
	return process(&cli.Command{
		Name: "dev", Usage: "server, worker and Redis in one process, for your own machine", Category: categoryProcesses,
		Description: "Without --redis and --data the Redis is inside the process, and its state is gone when it stops. Task types: the built-in ones, with any command and any address allowed, and those of the demo.",
		Flags: append([]cli.Flag{
			listenFlag(),
			dialectsFlag(),
			cogniteURLFlag(),
			&cli.StringFlag{Name: "redis", Usage: "use the Redis at `URL`", EnvVars: setup.Env("redis")},
			&cli.StringFlag{Name: "data", Usage: "start a redis-server that keeps its state in the folder `DIR`", EnvVars: setup.Env("data")},
			&cli.IntFlag{Name: "concurrency", Usage: "run `N` tasks at once", EnvVars: setup.Env("concurrency"), Value: 10},
			&cli.StringFlag{Name: "queues", Usage: "`LIST` of queues to serve, with weights: gpu=2,default=1", EnvVars: setup.Env("queues"), Value: "default=1"},
			setup.SecretsFlag(),
		}, logFlags("warn")...),
		Action: p.dev,
	}, []string{"redrive dev", "redrive dev --data ./data", "redrive dev --listen 127.0.0.1:9000 --redis redis://127.0.0.1:6379/0"}, exitConflict)
}

func (p *program) dev(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	if c.String("redis") != "" && c.String("data") != "" {
		return usagef("--redis uses a Redis that runs, --data starts one: give one of them")
	}
	if n := c.Int("concurrency"); n < 1 || n > worker.MaxConcurrency {
		return setup.Wrong("concurrency", strconv.Itoa(n), fmt.Sprintf("1 to %d", worker.MaxConcurrency))
	}
	queues, err := worker.ParseQueues(c.String("queues"))
	if err != nil {
		return err
	}
	secrets, err := setup.Secrets(c)
	if err != nil {
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
	speaks, err := dialects(c)
	if err != nil {
		return err
	}
	d, err := startDev(c.Context, devOptions{
		listen: listen, dialects: speaks, cogniteURL: c.String("cognite-url"), redis: c.String("redis"), data: c.String("data"), concurrency: c.Int("concurrency"), queues: queues,
		secrets: secrets, version: p.version, log: log,
	})
	if err != nil {
		return err
	}
	fmt.Fprint(p.out, d.banner(styleFor(p.out)))
	<-c.Done()
	return p.end(c.Context, d.stop)
}

// end stops a process in order when it was asked to. Its ctx is done already:
// stopping has a time of its own.
func (p *program) end(ctx context.Context, stop func(context.Context) error) error {
	fmt.Fprintln(p.err, "stopping; once more to stop at once")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return stop(ending)
}

// devOptions are what an all-in-one process is made of.
type devOptions struct {
	listen, redis, data string
	concurrency         int
	queues              map[string]int // nil = default
	dialects            []string       // nil = all
	cogniteURL          string
	secrets             func(name string) (string, error) // nil = from the environment
	version             string
	log                 *slog.Logger
}

// dev is an all-in-one process.
type dev struct {
	*stack
	redis    string
	embedded bool
	data     string
	below    func(context.Context) error // stops the Redis that it owns
}

// devTypes are the built-in types, free to do anything, and those of the demo.
func devTypes() (*tasks.Registry, error) {
	registry, err := tasks.NewRegistry(append(tasks.Builtin(tasks.DevOptions()), weather.Types()...)...)
	if err != nil {
		return nil, fmt.Errorf("register the task types: %w", err)
	}
	return registry, nil
}

func startDev(ctx context.Context, o devOptions) (*dev, error) {
	types, err := devTypes()
	if err != nil {
		return nil, err
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	d := &dev{redis: o.redis, data: o.data}
	if err := d.startRedis(ctx); err != nil {
		return nil, err
	}
	serverOptions, workerOptions := server.DefaultOptions(), worker.DefaultOptions()
	serverOptions.Listen, serverOptions.Open, serverOptions.Dialects = o.listen, true, o.dialects
	serverOptions.CogniteURL, serverOptions.Version = o.cogniteURL, o.version
	workerOptions.Types, workerOptions.Concurrency, workerOptions.Version = types, o.concurrency, o.version
	workerOptions.Drain = 5 * time.Second
	if o.queues != nil {
		workerOptions.Queues = o.queues
	}
	d.stack, err = startStack(ctx, stackOptions{
		redis: d.redis, embedded: d.embedded, types: types, server: &serverOptions, worker: &workerOptions, secrets: o.secrets, log: o.log,
	})
	if err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, d.below(cleanup))
	}
	return d, nil
}

func (d *dev) startRedis(ctx context.Context) error {
	d.below = func(context.Context) error { return nil }
	switch {
	case d.redis != "":
	case d.data != "":
		own, err := startRedisServer(ctx, d.data)
		if err != nil {
			return err
		}
		d.redis, d.below = own.url(), own.stop
	default:
		embedded, err := queue.StartEmbedded("")
		if err != nil {
			return fmt.Errorf("start the embedded Redis: %w", err)
		}
		d.redis, d.embedded, d.below = embedded.URL(), true, embedded.Stop
	}
	return nil
}

func (d *dev) stop(ctx context.Context) error {
	return errors.Join(d.stack.stop(ctx), d.below(ctx))
}

func (d *dev) banner(s style) string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %s  %s\n", s.dim(fmt.Sprintf("%-10s", name)), value) }
	b.WriteString(s.bold("Redrive is running") + ", open to everybody on this machine. Ctrl-C stops it.\n\n")
	line("API", d.url())
	line("docs", d.url()+"/docs")
	line("monitoring", d.url()+"/monitoring/")
	line("Redis", withoutPassword(d.redis))
	switch {
	case d.embedded:
		line("state", s.paint(yellow, "embedded: gone when this stops")+" (--data DIR keeps it)")
	case d.data != "":
		line("state", "kept in "+d.data)
	}
	b.WriteString("\nTry, in another terminal:\n")
	if address := d.url(); address != defaultServer {
		fmt.Fprintf(&b, "  export REDRIVE_SERVER=%s\n", address)
	}
	fmt.Fprintf(&b, "  %s workflow publish FILE\n  %[1]s run NAME --wait\n  %[1]s execution list\n", commandName())
	return b.String()
}

func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "as --redis says"
	}
	return u.Redacted()
}

// reachable turns an address that a server listens on into one to call.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
