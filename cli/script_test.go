package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"redrive": func() { os.Exit(Main("test", os.Args, os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// leakChecked fails a run that leaves goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			return 1
		}
	}
	return code
}

// scriptTime is after how long a command that hangs is killed and its output shown.
const scriptTime = 4 * time.Minute

// noSleep: under the race detector every program would sleep a second before it ends.
const noSleep = "atexit_sleep_ms=0"

// TestScripts run the program against an all-in-one process of their own, in
// testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"), RequireExplicitExec: true, RequireUniqueNames: true, Deadline: time.Now().Add(scriptTime),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually, "remember": remember, "exits": exits},
		Setup: func(env *testscript.Env) error {
			d, err := startDev(context.Background(), devOptions{listen: "127.0.0.1:0", concurrency: 4, version: "test"})
			if err != nil {
				return err
			}
			env.Defer(func() { stopDev(t, d) })
			env.Setenv("REDRIVE_SERVER", d.url())
			env.Setenv("GORACE", noSleep)
			examples, err := filepath.Abs(filepath.Join("..", "examples"))
			env.Setenv("EXAMPLES", examples)
			return err
		},
	})
}

// TestProcesses run server and worker as processes of their own on a real
// redis-server, in testdata/process/*.txtar.
func TestProcesses(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "process"), RequireExplicitExec: true, RequireUniqueNames: true, Deadline: time.Now().Add(scriptTime),
		Setup: func(env *testscript.Env) error {
			ctx := context.Background()
			own, err := startRedisServer(ctx, filepath.Join(env.WorkDir, "redis"))
			if err != nil {
				return err
			}
			env.Defer(func() { require.NoError(t, own.stop(ctx)) })
			addr, err := freeAddr(ctx)
			if err != nil {
				return err
			}
			env.Setenv("REDRIVE_REDIS", own.url())
			env.Setenv("GORACE", noSleep)
			env.Setenv("ADDR", addr)
			env.Setenv("REDRIVE_SERVER", "http://"+addr)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": ready},
	})
}

// ready waits until the URL answers.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, url := range args {
		ts.Check(waitForURL(ctx, url))
	}
}

// eventually PATTERN COMMAND... repeats the command until its output matches.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if ts.Exec(args[1], args[2:]...) == nil && regexp.MustCompile(args[0]).MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("no output of %v matched %q in 30 s", args[1:], args[0])
}

// remember NAME keeps the last output as a variable.
func remember(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// exits CODE COMMAND... expects the command to end with this code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%v exited with %d, want %s", args[1:], code, args[0])
	}
}

func stopDev(t *testing.T, d *dev) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, d.stop(ctx))
}
