// Command run is the test command of the README: it makes sure that a
// redis-server is there, installing one when it is missing, and then runs
// every test with the race detector.
//
//	go run ./test/run                       everything
//	go run ./test/run ./engine/... -run X   what is named, as for go test
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	begin := time.Now()
	server, err := ensureRedis(ctx)
	if err != nil {
		return err
	}
	stepf("redis-server %s at %s", server.version, server.path)
	// The tests find the server on PATH, wherever the installer put it.
	path := filepath.Dir(server.path) + string(os.PathListSeparator) + os.Getenv("PATH")
	if err := os.Setenv("PATH", path); err != nil {
		return fmt.Errorf("set PATH: %w", err)
	}
	test := []string{"test", "-timeout", "15m"}
	if reason := withoutRace(ctx); reason == "" {
		test = append(test, "-race")
	} else {
		stepf("without the race detector: %s", reason)
	}
	if len(args) == 0 {
		args = []string{"./..."}
	}
	if err := command(ctx, "go", append(test, args...)...); err != nil {
		return err
	}
	stepf("all passed in %s", time.Since(begin).Round(time.Second))
	return nil
}

// withoutRace says why the race detector cannot be used here, or "".
func withoutRace(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		return "go env: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 2 || lines[0] != "1" {
		return "it needs cgo, and CGO_ENABLED is 0 (no C compiler was found)"
	}
	compiler := strings.Fields(lines[1])
	if len(compiler) == 0 {
		return "it needs a C compiler"
	}
	if _, err := exec.LookPath(compiler[0]); err != nil {
		return "it needs a C compiler, and " + compiler[0] + " is not on PATH"
	}
	return ""
}

func stepf(format string, args ...any) {
	fmt.Printf("==> "+format+"\n", args...)
}

// command shows a command, runs it and lets its output through.
func command(ctx context.Context, name string, args ...string) error {
	stepf("%s %s", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
