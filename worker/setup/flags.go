package setup

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

const envPrefix = "REDRIVE_"

// Env is the environment variable of a flag: allow-exec is REDRIVE_ALLOW_EXEC.
func Env(flag string) []string {
	return []string{envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// key is a flag's name in the file.
func key(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// UsageError is a setting that cannot be used. The exit code for it is 2.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// ExitCode makes it a cli.ExitCoder.
func (e *UsageError) ExitCode() int { return 2 }

func usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// RedisFlags say which Redis to use.
func RedisFlags() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{
		Name: "redis", EnvVars: Env("redis"), Value: "redis://127.0.0.1:6379/0",
		Usage: "`URL`: redis:// or rediss://; several hosts = Cluster, ?master_name= = Sentinel",
	}}
}

// maxRetention is ten years.
const maxRetention = 10 * 365 * 24 * time.Hour

// RetentionFlag says how long ended executions are kept.
func RetentionFlag() cli.Flag {
	return &cli.DurationFlag{
		Name: "retention", EnvVars: Env("retention"), Value: 30 * 24 * time.Hour,
		Usage: "keep ended executions for `DURATION`; give all servers and workers the same",
	}
}

// Retention reads the RetentionFlag.
func Retention(c *cli.Context) (time.Duration, error) {
	d := c.Duration("retention")
	if d < time.Second || d > maxRetention {
		return 0, wrong("retention", d.String(), fmt.Sprintf("1s to %s, such as 720h for 30 days", maxRetention))
	}
	return d, nil
}

// AuditFlags say how long, and how many, entries of the audit are kept.
func AuditFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{
			Name: "audit-retention", EnvVars: Env("audit-retention"), Value: 90 * 24 * time.Hour,
			Usage: "keep entries of the audit for `DURATION`; give all servers the same",
		},
		&cli.Int64Flag{
			Name: "audit-entries", EnvVars: Env("audit-entries"), Value: 100_000,
			Usage: "keep at most about `N` entries of each project; give all servers the same",
		},
	}
}

const maxAuditEntries = 10_000_000

// Audit reads the AuditFlags.
func Audit(c *cli.Context) (retention time.Duration, entries int64, err error) {
	retention, entries = c.Duration("audit-retention"), c.Int64("audit-entries")
	if retention < time.Minute || retention > maxRetention {
		return 0, 0, wrong("audit-retention", retention.String(), fmt.Sprintf("1m to %s, such as 2160h for 90 days", maxRetention))
	}
	if entries < 1 || entries > maxAuditEntries {
		return 0, 0, wrong("audit-entries", strconv.FormatInt(entries, 10), fmt.Sprintf("1 to %d", maxAuditEntries))
	}
	return retention, entries, nil
}

// LogFlags say how much is logged, and how.
func LogFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-level", EnvVars: Env("log-level"), Value: "info", Usage: "debug, info, warn or error"},
		&cli.StringFlag{Name: "log-format", EnvVars: Env("log-format"), Value: "auto", Usage: "text, json or auto: text in a terminal, else json"},
	}
}

// Logger is the logger that the LogFlags ask for, writing to w.
func Logger(c *cli.Context, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	switch text := c.String("log-level"); text {
	case "debug":
		level = slog.LevelDebug
	case "info":
		level = slog.LevelInfo
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		return nil, wrong("log-level", text, "debug, info, warn or error")
	}
	o := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(w, o)
	switch text := c.String("log-format"); text {
	case "json":
	case "text":
		handler = slog.NewTextHandler(w, o)
	case "auto":
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			handler = slog.NewTextHandler(w, o)
		}
	default:
		return nil, wrong("log-format", text, "text, json or auto")
	}
	log := slog.New(handler)
	redisSays.to.Store(log)
	return log, nil
}

// wrong says in all its names which setting has a value that is not allowed.
func wrong(flag, value, allowed string) error {
	return usagef("--%s (%s, %s in the config file): %q is not allowed; allowed: %s", flag, Env(flag)[0], key(flag), value, allowed)
}

// Wrong is the error for a setting whose value is not allowed.
func Wrong(flag, value, allowed string) error { return wrong(flag, value, allowed) }

// Listen is the address that --listen gives; "" where none is given.
func Listen(c *cli.Context) (string, error) {
	address := c.String("listen")
	if address == "" {
		return "", nil
	}
	_, port, err := net.SplitHostPort(address)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return "", wrong("listen", address, "HOST:PORT, as 127.0.0.1:8080, with a port from 0 to 65535; 0 picks a free one")
	}
	return address, nil
}

// OnUsageError explains a value that a flag could not be set to. It is a cli.OnUsageErrorFunc.
func OnUsageError(c *cli.Context, err error, _ bool) error {
	flags := c.App.Flags
	if c.Command != nil {
		flags = append(slices.Clip(flags), c.Command.Flags...)
	}
	var wrongs []error
	for _, f := range flags {
		for _, name := range envOf(f) {
			if value, ok := os.LookupEnv(name); ok && value != "" {
				if allowed := Allowed(f, value); allowed != "" {
					wrongs = append(wrongs, wrong(f.Names()[0], value, allowed))
				}
			}
		}
	}
	if len(wrongs) > 0 {
		return &UsageError{errors.Join(wrongs...)}
	}
	return &UsageError{err}
}

func envOf(f cli.Flag) []string {
	if d, ok := f.(cli.DocGenerationFlag); ok {
		return d.GetEnvVars()
	}
	return nil
}

// Allowed is what the flag takes when it does not take the value, else "".
func Allowed(f cli.Flag, value string) string {
	var err error
	var allowed string
	switch f.(type) {
	case *cli.IntFlag, *cli.Int64Flag:
		_, err = strconv.ParseInt(value, 0, 64)
		allowed = "a whole number, such as 10"
	case *cli.UintFlag, *cli.Uint64Flag:
		_, err = strconv.ParseUint(value, 0, 64)
		allowed = "a whole number from 0, such as 10"
	case *cli.Float64Flag:
		_, err = strconv.ParseFloat(value, 64)
		allowed = "a number, such as 0.5"
	case *cli.BoolFlag:
		_, err = strconv.ParseBool(value)
		allowed = "true or false"
	case *cli.DurationFlag:
		_, err = time.ParseDuration(value)
		allowed = "a duration, such as 1m30s"
	}
	if err != nil {
		return allowed
	}
	return ""
}
