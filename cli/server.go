package cli

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker/setup"
)

func (p *program) serverCommand() *cli.Command {
	return process(&cli.Command{
		Name: "server", Usage: "the API server", Category: categoryProcesses,
		Description: "While there is no API key, the server asks for none; then it listens on loopback only, or elsewhere with --allow-open.",
		Flags: slices.Concat([]cli.Flag{
			listenFlag(),
			&cli.BoolFlag{Name: "allow-open", Usage: "listen on an address that others can reach although there is no API key", EnvVars: setup.Env("allow-open")},
			dialectsFlag(),
			cogniteURLFlag(),
			&cli.BoolFlag{Name: "check", Usage: "check the settings and Redis, start nothing"},
		}, setup.RedisFlags(), []cli.Flag{setup.RetentionFlag()}, setup.AuditFlags(), []cli.Flag{setup.SecretsFlag()}, logFlags("info")),
		Action: p.server,
	}, []string{
		"redrive server --redis redis://127.0.0.1:6379/0",
		"redrive server --listen 0.0.0.0:8080 --config /etc/redrive/server.yaml",
		"redrive server --check",
	})
}

func (p *program) server(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	log, err := setup.Logger(c, p.err)
	if err != nil {
		return err
	}
	types, err := tasks.NewRegistry(tasks.Builtin(tasks.DefaultOptions())...)
	if err != nil {
		return fmt.Errorf("register the task types: %w", err)
	}
	options := server.DefaultOptions()
	options.Version = p.version
	options.AllowOpen = c.Bool("allow-open")
	if options.Listen, err = setup.Listen(c); err != nil {
		return err
	}
	if options.Dialects, err = dialects(c); err != nil {
		return err
	}
	options.CogniteURL = c.String("cognite-url")
	retention, err := setup.Retention(c)
	if err != nil {
		return err
	}
	auditRetention, auditEntries, err := setup.Audit(c)
	if err != nil {
		return err
	}
	secrets, err := setup.Secrets(c)
	if err != nil {
		return err
	}
	if c.Bool("check") {
		return p.checkServer(c, options)
	}
	s, err := startStack(c.Context, stackOptions{
		redis: c.String("redis"), retention: retention, auditRetention: auditRetention, auditEntries: auditEntries, types: types, server: &options, secrets: secrets, openHere: true, log: log,
	})
	if err != nil {
		return err
	}
	log.Info("the server is ready", slog.String("url", s.url()), slog.String("version", p.version))
	if s.open {
		log.Warn("there is no API key: everybody who reaches this server may do everything; create a key and start the server again to close it",
			slog.String("listen", options.Listen))
	}
	<-c.Done()
	return p.end(c.Context, s.stop)
}

func (p *program) checkServer(c *cli.Context, options server.Options) error {
	e, closeStore, err := openEngine(c.Context, c.String("redis"))
	if err != nil {
		return err
	}
	defer closeStore()
	options.Engine = e
	if err := options.Validate(); err != nil {
		return &failure{code: exitUsage, err: err}
	}
	if options.Open, err = openWithoutKeys(c.Context, e, options); err != nil {
		return err
	}
	if err := options.CheckListen(c.Context); err != nil {
		return err
	}
	if err := e.Ready(c.Context); err != nil {
		return err
	}
	fmt.Fprintln(p.out, "the settings are valid, and Redis is ready")
	return nil
}
