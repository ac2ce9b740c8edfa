//go:build unix

package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// screen is the terminal of a command that a person sits at.
type screen struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	over chan error // the output ended

	mu    sync.Mutex
	shown bytes.Buffer
	more  chan struct{}
}

// atTerminal starts redrive where input, output and errors are one terminal, which sends the signals of its keys.
func atTerminal(t *testing.T, server string, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, over: make(chan error, 1), more: make(chan struct{}, 1), cmd: exec.CommandContext(t.Context(), "redrive", args...)}
	s.cmd.Env = append(os.Environ(), "REDRIVE_SERVER="+server, "TERM=xterm", "NO_COLOR=", "GORACE="+noSleep)
	var err error
	s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 40, Cols: 140})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.tty.Close() })
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := s.tty.Read(part)
			s.mu.Lock()
			s.shown.Write(part[:n])
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				s.over <- err // on Linux EIO, when nobody writes any more
				return
			}
		}
	}()
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// sees waits for something on the screen.
func (s *screen) sees(pattern string) {
	s.t.Helper()
	late := time.After(30 * time.Second)
	for re := regexp.MustCompile(pattern); !re.MatchString(s.text()); {
		select {
		case <-s.more:
		case <-late:
			require.Regexp(s.t, pattern, s.text())
		}
	}
}

func (s *screen) types(keys string) {
	s.t.Helper()
	_, err := io.WriteString(s.tty, keys)
	require.NoError(s.t, err)
}

const ctrlC = "\x03"

// ends waits for the end of the command, and answers all that it showed.
func (s *screen) ends(code int) string {
	s.t.Helper()
	select {
	case <-s.over:
	case <-time.After(time.Minute):
		require.Fail(s.t, "it does not end", s.text())
	}
	err := s.cmd.Wait()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
	require.Equal(s.t, code, s.cmd.ProcessState.ExitCode(), s.text())
	return s.text()
}

// desk is an all-in-one process, and somebody who asks it from scripts and from a terminal.
type desk struct {
	t      *testing.T
	server string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d, err := startDev(t.Context(), devOptions{listen: "127.0.0.1:0", concurrency: 4, version: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { stopDev(t, d) })
	return &desk{t: t, server: d.url()}
}

// runs runs a command without a terminal, and answers its output.
func (d *desk) runs(code int, args ...string) string {
	d.t.Helper()
	var out, told bytes.Buffer
	require.Equal(d.t, code, Run(d.t.Context(), "test", append([]string{"redrive", "--server", d.server}, args...), strings.NewReader(""), &out, &told), told.String())
	return strings.TrimSpace(out.String())
}

// eventually repeats a command until its output matches.
func (d *desk) eventually(pattern string, args ...string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	for re := regexp.MustCompile(pattern); ctx.Err() == nil && !re.MatchString(d.runs(exitOK, args...)); {
	}
	require.NoError(d.t, ctx.Err(), "no output of %v matched %s", args, pattern)
}

// flaky publishes a workflow that fails until its input says otherwise, and has some executions of it fail.
func (d *desk) flaky(many int) {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "flaky.yaml")
	require.NoError(d.t, os.WriteFile(file, []byte(`name: flaky
input_schema: {type: object, properties: {ok: {type: boolean}}}
tasks: [{name: a, type: fail, if: "${!has(workflow.input.ok)}", with: {message: "the upstream is down"}}]
`), 0o600))
	d.runs(exitOK, "workflow", "publish", file)
	for range many {
		d.runs(exitUnsuccess, "run", "flaky", "--wait", "--input", "{}")
	}
}

func TestABulkOperationAtATerminal(t *testing.T) {
	d := newDesk(t)
	d.flaky(3)
	const question = `retry 3 executions\? \[y/N\] $`
	none := func() {
		t.Helper()
		require.Empty(t, d.runs(exitOK, "bulk", "list", "-o", "name"))
	}

	s := atTerminal(t, d.server, "bulk", "retry", "--workflow", "flaky")
	s.sees(question)
	s.types("n\r")
	require.Contains(t, s.ends(exitOK), "Nothing was done.")
	none()

	s = atTerminal(t, d.server, "bulk", "retry", "--workflow", "flaky")
	s.sees(question)
	s.types("\r")
	require.Contains(t, s.ends(exitOK), "Nothing was done.", "no answer is no")
	none()

	s = atTerminal(t, d.server, "bulk", "retry", "--workflow", "flaky")
	s.sees(question)
	s.types(ctrlC)
	text := s.ends(130)
	require.Contains(t, text, "Nothing was done.")
	require.Contains(t, text, "interrupted")
	require.NotContains(t, text, "goes on")
	none()

	// One an hour: the bar stands until Ctrl-C, which ends the bar and nothing else.
	s = atTerminal(t, d.server, "bulk", "retry", "--workflow", "flaky", "--rate", "1/h")
	s.sees(question)
	s.types("y\r")
	s.sees(`\r\x1b\[K\[\x1b\[32m#{10}\x1b\[0m\.{20}\] running  1/3  done 0  failed 1`)
	s.types(ctrlC)
	text = s.ends(130)
	id := d.runs(exitOK, "bulk", "list", "-o", "name")
	require.Contains(t, text, "\r\nThe bulk operation goes on. Watch it: redrive bulk watch "+id+"\r\ninterrupted")
	require.Contains(t, d.runs(exitOK, "bulk", "get", id, "-o", "json"), `"state": "running"`)

	// It is watched again, and what somebody else does is seen.
	s = atTerminal(t, d.server, "bulk", "watch", id)
	s.sees(`running  1/3`)
	d.runs(exitOK, "bulk", "abort", id, "--reason", "enough")
	text = s.ends(exitUnsuccess)
	require.Regexp(t, `\] aborted  1/3  done 0  failed 1[^\n]*\r\n`, text)
	require.Regexp(t, `why.*aborted.*: enough`, text)
	require.NotContains(t, text, "goes on")
}

func TestGroupsOfFailuresAtATerminal(t *testing.T) {
	d := newDesk(t)
	d.flaky(2)
	d.eventually(`(?m)^2 `, "failure", "list")
	group := d.runs(exitOK, "failure", "list", "-o", "name")

	require.Regexp(t, `2 +▁+█ .*\x1b\[31mopen\x1b\[0m .*`+group, atTerminal(t, d.server, "failure", "list").ends(exitOK))
	text := atTerminal(t, d.server, "failure", "get", group).ends(exitOK)
	require.Contains(t, text, "\x1b[31mopen\x1b[0m")
	require.Contains(t, text, "redrive failure retry "+group+" --dry-run")

	retry := []string{"failure", "retry", group, "--set", "workflow_input.ok=true", "--canary", "1"}
	s := atTerminal(t, d.server, retry...)
	s.sees(`retry 2 executions\? \[y/N\] $`)
	s.types("no\r")
	require.Contains(t, s.ends(exitOK), "Nothing was done.")
	d.eventually(`(?m)^2 `, "failure", "list")

	s = atTerminal(t, d.server, retry...)
	s.sees(`retry 2 executions\? \[y/N\] $`)
	s.types("yes\r")
	text = s.ends(exitOK)
	require.Regexp(t, `\[\x1b\[32m#{30}\x1b\[0m\] completed  2/2  done 2  failed 0`, text)
	d.eventually(`(?m)^0 `, "failure", "list")
}
