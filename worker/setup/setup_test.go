package setup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

// settings are what the action of a process saw.
type settings struct {
	redis       string
	queues      string
	concurrency int
	drain       time.Duration
	allow       []string
	verbose     bool
}

// parse runs a process with these arguments and this file.
func parse(t *testing.T, file string, args ...string) (settings, error) {
	t.Helper()
	flags, before := Config(append(RedisFlags(),
		&cli.StringFlag{Name: "queues", EnvVars: Env("queues"), Value: "default=1"},
		&cli.IntFlag{Name: "concurrency", EnvVars: Env("concurrency"), Value: 10},
		&cli.DurationFlag{Name: "drain", EnvVars: Env("drain"), Value: 20 * time.Second},
		&cli.StringSliceFlag{Name: "allow-exec", EnvVars: Env("allow-exec")},
		&cli.BoolFlag{Name: "verbose", EnvVars: Env("verbose")},
	))
	var s settings
	app := &cli.App{
		Writer: io.Discard, ErrWriter: io.Discard, OnUsageError: OnUsageError,
		ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{{
			Name: "work", Flags: flags, Before: before, OnUsageError: OnUsageError,
			Action: func(c *cli.Context) error {
				s = settings{c.String("redis"), c.String("queues"), c.Int("concurrency"), c.Duration("drain"), c.StringSlice("allow-exec"), c.Bool("verbose")}
				return nil
			},
		}, {Name: "other", Flags: []cli.Flag{&cli.StringFlag{Name: "x", EnvVars: []string{"REDRIVE_OF_ANOTHER_COMMAND"}}}}},
	}
	all := []string{"app", "work"}
	if file != "" {
		path := filepath.Join(t.TempDir(), "redrive.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		all = append(all, "--config", path)
	}
	err := app.Run(append(all, args...))
	return s, err
}

// quiet parses when only the error matters.
func quiet(t *testing.T, file string, args ...string) error {
	_, err := parse(t, file, args...)
	return err
}

func TestPrecedence(t *testing.T) {
	file := "redis: redis://file\nconcurrency: 3\nqueues: {critical: 6, default: 3}\ndrain: 5s\nallow_exec: [awk, sort]\nverbose: true\n"
	s, err := parse(t, file)
	require.NoError(t, err)
	require.Equal(t, settings{"redis://file", "critical=6,default=3", 3, 5 * time.Second, []string{"awk", "sort"}, true}, s)

	t.Setenv("REDRIVE_CONCURRENCY", "4")
	t.Setenv("REDRIVE_REDIS", "redis://env")
	s, err = parse(t, file, "--redis", "redis://flag")
	require.NoError(t, err)
	require.Equal(t, "redis://flag", s.redis)
	require.Equal(t, 4, s.concurrency)

	s, err = parse(t, "")
	require.NoError(t, err)
	require.Equal(t, settings{"redis://env", "default=1", 4, 20 * time.Second, nil, false}, s)
}

func TestFileIsChecked(t *testing.T) {
	for file, want := range map[string][]string{
		"redis: a\nconcurency: 3\n": {"redrive.yaml:2: ", `"concurency"`, "did you mean concurrency?", "allow_exec, concurrency, drain, queues, redis, verbose"},
		"\nconcurrency: many\n":     {"redrive.yaml:2: ", "--concurrency", "REDRIVE_CONCURRENCY", "concurrency in the config file", `"many"`, "whole number"},
		"drain: 5\n":                {"redrive.yaml:1: ", "--drain", "1m30s"},
		"drain:\n":                  {"redrive.yaml:1: drain", "has no value"},
		"allow_exec: [[awk]]\n":     {"redrive.yaml:1: allow_exec"},
		"- a\n":                     {"redrive.yaml:1: ", "name: value"},
		"a: [\n":                    {"redrive.yaml"},
		"allow-exec: awk\n":         {"did you mean allow_exec?"},
	} {
		err := quiet(t, file)
		for _, text := range want {
			require.ErrorContains(t, err, text)
		}
		var usage *UsageError
		require.True(t, errors.As(err, &usage) && usage.ExitCode() == 2)
	}
	require.ErrorContains(t, quiet(t, "", "--config", "/does/not/exist"), "/does/not/exist")
	require.NoError(t, quiet(t, "# nothing\n"))
	require.ErrorContains(t, quiet(t, "drain: never\n", "--drain", "1s"), "never", "also what is overruled has to be right")
}

func TestEnvironmentIsChecked(t *testing.T) {
	t.Setenv("REDRIVE_SERVER", "http://x")
	t.Setenv("REDRIVE_SECRET_TOKEN", "x")
	t.Setenv("REDRIVE_OF_ANOTHER_COMMAND", "x")
	require.NoError(t, quiet(t, ""))
	t.Setenv("REDRIVE_CONCURENCY", "3")
	require.ErrorContains(t, quiet(t, ""), "REDRIVE_CONCURENCY is unknown; did you mean REDRIVE_CONCURRENCY?")
}

func TestEnvironmentValuesAreChecked(t *testing.T) {
	t.Setenv("REDRIVE_DRAIN", "soon")
	require.EqualError(t, quiet(t, ""),
		`--drain (REDRIVE_DRAIN, drain in the config file): "soon" is not allowed; allowed: a duration, such as 1m30s`)
}

func TestFlagErrorsAreUsageErrors(t *testing.T) {
	var usage *UsageError
	require.ErrorAs(t, quiet(t, "", "--concurrency", "many"), &usage)
	require.ErrorAs(t, quiet(t, "", "--nonsense"), &usage)
}

func TestLogger(t *testing.T) {
	log := func(args ...string) (string, error) {
		var b bytes.Buffer
		app := &cli.App{Flags: LogFlags(), ExitErrHandler: func(*cli.Context, error) {}, Action: func(c *cli.Context) error {
			l, err := Logger(c, &b)
			if err == nil {
				l.Debug("hello", "n", 1)
			}
			return err
		}}
		err := app.Run(append([]string{"app"}, args...))
		return b.String(), err
	}
	text, err := log("--log-level", "debug")
	require.NoError(t, err)
	require.Contains(t, text, `"msg":"hello"`, "json when it is no terminal")
	text, err = log("--log-level", "debug", "--log-format", "text")
	require.NoError(t, err)
	require.Contains(t, text, "msg=hello n=1")
	text, err = log()
	require.NoError(t, err)
	require.Empty(t, text)
	_, err = log("--log-level", "loud")
	require.ErrorContains(t, err, "REDRIVE_LOG_LEVEL")
	_, err = log("--log-format", "xml")
	require.ErrorContains(t, err, "text, json or auto")
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"unix": "a\nb\n", "windows": "c\r\n", "bare": "d", "both": "of the file", ".hidden": "x", "large": strings.Repeat("x", maxSecret+1)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	t.Setenv("REDRIVE_SECRET_BOTH", "of the environment")
	t.Setenv("REDRIVE_SECRET_API_TOKEN", "t")
	secrets := func(args ...string) (func(string) (string, error), error) {
		var get func(string) (string, error)
		app := &cli.App{Flags: []cli.Flag{SecretsFlag()}, ExitErrHandler: func(*cli.Context, error) {}, Action: func(c *cli.Context) (err error) {
			get, err = Secrets(c)
			return err
		}}
		return get, app.Run(append([]string{"app"}, args...))
	}
	get, err := secrets("--secrets-dir", dir)
	require.NoError(t, err)
	for name, want := range map[string]string{"unix": "a\nb", "windows": "c", "bare": "d", "both": "of the environment", "api-token": "t"} {
		value, err := get(name)
		require.NoError(t, err)
		require.Equal(t, want, value)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bare"), []byte("new"), 0o600))
	value, err := get("bare")
	require.NoError(t, err)
	require.Equal(t, "new", value, "a secret can be changed while the process runs")
	for name, part := range map[string]string{
		"missing": "set REDRIVE_SECRET_MISSING where the worker (for a remote one: the server, or dev) runs, or put the file missing into " + dir,
		".hidden": "allowed are names without /", "../unix": "allowed are names without /", "a/b": "allowed are names without /", "": "allowed", "large": "more than 65536 bytes",
	} {
		_, err := get(name)
		require.ErrorContains(t, err, part, "%q", name)
	}
	get, err = secrets()
	require.NoError(t, err)
	_, err = get("unix")
	require.EqualError(t, err, `there is no secret "unix": set REDRIVE_SECRET_UNIX where the worker (for a remote one: the server, or dev) runs`)
	_, err = secrets("--secrets-dir", filepath.Join(dir, "unix"))
	require.ErrorContains(t, err, "allowed: a folder that is there and can be read")
}
