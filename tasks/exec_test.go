//go:build unix

package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

func command(t testing.TB, args ...string) []byte {
	t.Helper()
	return mustJSON(t, map[string]any{"command": args})
}

func TestExecOutput(t *testing.T) {
	dir := t.TempDir()
	typ := builtin(t, "exec", DevOptions())
	for _, c := range []struct{ name, with, output string }{
		{"arguments are not read by a shell", `{"command":["printf","%s|","$HOME","; ls","$(id)","` + "`id`" + `","a\nb","*"]}`,
			`{"exit_code":0,"stdout":"$HOME|; ls|$(id)|` + "`id`" + `|a\nb|*|","stderr":""}`},
		{"scalars", `{"command":["echo",1,true,1.50]}`, `{"exit_code":0,"stdout":"1 true 1.50\n","stderr":""}`},
		{"stderr", `{"command":["sh","-c","echo out; echo err >&2"]}`, `{"exit_code":0,"stdout":"out\n","stderr":"err\n"}`},
		{"stdin text", `{"command":["cat"],"stdin":"a<b"}`, `{"exit_code":0,"stdout":"a<b","stderr":""}`},
		{"stdin JSON", `{"command":["cat"],"stdin":{"n":12345678901234567890}}`, `{"exit_code":0,"stdout":"{\"n\":12345678901234567890}","stderr":""}`},
		{"stdin not read", `{"command":["true"],"stdin":"` + strings.Repeat("x", 200_000) + `"}`, `{"exit_code":0,"stdout":"","stderr":""}`},
		{"no stdin", `{"command":["cat"],"stdin":null}`, `{"exit_code":0,"stdout":"","stderr":""}`},
		{"dir", `{"command":["pwd","-P"],"dir":"` + dir + `"}`, `{"exit_code":0,"stdout":"` + dir + `\n","stderr":""}`},
		{"parse", `{"command":["echo","{\"n\":12345678901234567890}"],"parse":"json"}`, `{"exit_code":0,"stdout":{"n":12345678901234567890},"stderr":""}`},
		{"not UTF-8", `{"command":["printf","a\\377b"]}`, `{"exit_code":0,"stdout":"a` + "\uFFFD" + `b","stderr":""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, failure := run(t, typ, c.with)
			require.Nil(t, failure)
			require.Equal(t, c.output, output)
		})
	}
}

func TestExecFailures(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("no script"), 0o600))
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("no script"), 0o700))
	for _, c := range []struct {
		name, with, code, message string
		retryable                 bool
	}{
		{"exit code", `{"command":["sh","-c","echo first >&2; echo last words >&2; exit 3"]}`, "exit_3", "sh ended with exit code 3: first\nlast words", true},
		{"silent", `{"command":["false"]}`, "exit_1", "false ended with exit code 1", true},
		{"signal", `{"command":["sh","-c","kill -SEGV $$"]}`, "exec_signal_segv", "killed by a signal", true},
		{"not found", `{"command":["no-such-command-here"]}`, "exec_not_found", "PATH=", false},
		{"no such path", `{"command":["/no/such/command"]}`, "exec_not_found", "/no/such/command", false},
		{"not executable", `{"command":["` + plain + `"]}`, "exec_not_executable", "permissions", false},
		{"no program", `{"command":["` + text + `"]}`, "exec_not_executable", "#!", false},
		{"no such dir", `{"command":["true"],"dir":"/no/such/dir"}`, "input_invalid", "with.dir", false},
		{"no command", `{}`, "input_invalid", "with.command: is missing", false},
		{"NUL", `{"command":["echo","a\u0000b"]}`, "input_invalid", "with.command[1]", false},
		{"bad argument", `{"command":["echo",{}]}`, "input_invalid", "with.command[1]: is {}", false},
		{"bad variable", `{"command":["env"],"env":{"A=B":"x"}}`, "input_invalid", `"A=B"`, false},
		{"bad parse", `{"command":["true"],"parse":"yaml"}`, "input_invalid", "with.parse", false},
		{"parse no JSON", `{"command":["echo","hello"],"parse":"json"}`, "exec_output_invalid", `"hello\n"`, false},
		{"parse too much", `{"command":["sh","-c","yes | head -c 70000"],"parse":"json"}`, "exec_output_too_large", "70000 bytes", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, failure := run(t, builtin(t, "exec", DevOptions()), c.with)
			require.NotNil(t, failure, "answered %s", output)
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
			require.Equal(t, c.retryable, failure.Retryable)
		})
	}
}

func TestExecAllow(t *testing.T) {
	dir := t.TempDir()
	fake := filepath.Join(dir, "echo")
	require.NoError(t, os.WriteFile(fake, []byte("#!/bin/sh\necho fake\n"), 0o700))
	echo := []string{"echo"}
	for _, c := range []struct {
		name    string
		allow   []string
		command string
		ok      bool
	}{
		{"nothing", nil, "echo", false},
		{"by name", echo, "echo", true},
		{"another name", echo, "true", false},
		{"any", []string{Any}, "true", true},
		{"same name elsewhere", echo, fake, false},
		{"relative path", echo, "./echo", false},
		{"path with the name behind", echo, dir + "/../echo", false},
		{"exact path", []string{fake}, fake, true},
		{"path in other words", []string{fake}, dir + "/./echo", false},
		{"prefix of a path", []string{dir}, fake, false},
		{"name of another path", []string{fake}, "echo", false},
		{"empty name", []string{""}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := DefaultOptions()
			o.ExecAllow = c.allow
			_, failure := runJob(t.Context(), builtin(t, "exec", o), &Job{Input: command(t, c.command)})
			if c.ok {
				require.Nil(t, failure)
				return
			}
			require.Equal(t, "exec_not_allowed", failure.Code)
			require.Contains(t, failure.Message, "--allow-exec "+c.command)
			require.False(t, failure.Retryable)
		})
	}
	t.Run("path of an allowed name", func(t *testing.T) {
		t.Setenv("PATH", dir)
		o := DefaultOptions()
		o.ExecAllow = []string{fake}
		output, failure := runJob(t.Context(), builtin(t, "exec", o), &Job{Input: command(t, "echo")})
		require.Nil(t, failure)
		require.Contains(t, output, "fake")
	})
	t.Run("the definition's PATH does not choose the program", func(t *testing.T) {
		o := DefaultOptions()
		o.ExecAllow = echo
		output, failure := run(t, builtin(t, "exec", o), `{"command":["echo","real"],"env":{"PATH":"`+dir+`"}}`)
		require.Nil(t, failure)
		require.Contains(t, output, "real")
	})
	t.Run("loader variables", func(t *testing.T) {
		o := DefaultOptions()
		o.ExecAllow = echo
		_, failure := run(t, builtin(t, "exec", o), `{"command":["echo"],"env":{"LD_PRELOAD":"/tmp/x.so"}}`)
		require.Equal(t, "exec_not_allowed", failure.Code)
		require.Contains(t, failure.Message, "with.env.LD_PRELOAD")
	})
}

func TestExecEnvironment(t *testing.T) {
	t.Setenv("REDRIVE_API_KEY", "canary")
	t.Setenv("TZ", "UTC")
	job := &Job{Input: []byte(`{"command":["env"],"env":{"OWN":"a b","N":1,"TZ":"CET","REDRIVE_TASK":"forged"}}`),
		Execution: "x-1", Ref: "each[eu].load", Attempt: 4, IdempotencyKey: "k"}
	output, failure := runJob(t.Context(), builtin(t, "exec", DevOptions()), job)
	require.Nil(t, failure)
	var out struct{ Stdout string }
	require.NoError(t, json.Unmarshal([]byte(output), &out))
	names := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(out.Stdout), "\n") {
		name, value, _ := strings.Cut(line, "=")
		names[name] = value
	}
	require.Equal(t, os.Getenv("PATH"), names["PATH"])
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR"} {
		delete(names, name)
	}
	require.Equal(t, map[string]string{"OWN": "a b", "N": "1", "TZ": "CET", "REDRIVE_TASK": "each[eu].load",
		"REDRIVE_EXECUTION": "x-1", "REDRIVE_ATTEMPT": "4", "REDRIVE_IDEMPOTENCY_KEY": "k"}, names)
}

func TestExecLogsLinesAndCutsOutput(t *testing.T) {
	var mu sync.Mutex
	var lines []record
	log := slog.New(recorder{func(r record) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, r)
	}})
	job := &Job{Log: log, Input: command(t, "sh", "-c", `printf 'one\r\n\ntwo'; printf 'bad\n' >&2; head -c 5000 /dev/zero | tr '\0' x >&2`)}
	o := DevOptions()
	o.ExecOutput = 5
	output, failure := runJob(t.Context(), builtin(t, "exec", o), job)
	require.Nil(t, failure)
	require.JSONEq(t, `{"exit_code":0,"stdout":"one\r\n","stderr":"bad\nx","stdout_cut":4,"stderr_cut":4999}`, output)
	require.ElementsMatch(t, []record{{slog.LevelInfo, "one"}, {slog.LevelInfo, "two"}, {slog.LevelWarn, "bad"},
		{slog.LevelWarn, strings.Repeat("x", maxLine)}, {slog.LevelWarn, strings.Repeat("x", 5000-maxLine)}}, lines)

	job = &Job{Input: command(t, "sh", "-c", `seq 1 2000 >&2; exit 9`)}
	_, failure = runJob(t.Context(), builtin(t, "exec", DevOptions()), job)
	require.Equal(t, "exit_9", failure.Code)
	require.True(t, strings.HasSuffix(failure.Message, "1999\n2000"), "the last lines, not the first")
	require.NotContains(t, failure.Message, "\n7\n")
	require.Less(t, len(failure.Message), maxTail+100)
}

// lifeline is a named pipe whose reader sees EOF when the last process that
// holds it open for writing is gone: no process id can be mistaken.
type lifeline struct {
	path string
	gone chan struct{}
}

func newLifeline(t *testing.T) *lifeline {
	t.Helper()
	l := &lifeline{path: filepath.Join(t.TempDir(), "fifo"), gone: make(chan struct{})}
	require.NoError(t, syscall.Mkfifo(l.path, 0o600))
	return l
}

// watch calls started when the processes are there, and closes gone when all of them are gone.
func (l *lifeline) watch(t *testing.T, started func()) {
	go func() {
		defer close(l.gone)
		f, err := os.Open(l.path) // returns when somebody opened it for writing
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.Read(make([]byte, 1)); err != nil {
			t.Error(err)
			return
		}
		started()
		_, _ = io.Copy(io.Discard, f)
	}()
}

// await waits until nobody holds the pipe; a process that lives on would hold it for minutes.
func (l *lifeline) await(t *testing.T) {
	t.Helper()
	select {
	case <-l.gone:
	case <-time.After(30 * time.Second):
		t.Fatal("a process of the command's group outlived it")
	}
}

func TestExecEndsTheWholeGroup(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"a child that waits", `exec 9>"$FIFO"; echo r >&9; sleep 600`},
		{"a grandchild", `(exec 9>"$FIFO"; echo r >&9; sleep 600) & wait`},
		{"a grandchild that ignores the signal and holds the output", `(trap '' TERM; exec 9>"$FIFO"; echo r >&9; while :; do sleep 600; done) & wait`},
		{"a child that ignores the signal", `trap '' TERM; exec 9>"$FIFO"; echo r >&9; while :; do sleep 600; done`},
		{"output without end", `exec 9>"$FIFO"; echo r >&9; exec yes`},
	} {
		for cause, code := range map[error]string{ErrCanceled: "canceled", context.DeadlineExceeded: "timed_out"} {
			t.Run(fmt.Sprint(c.name, " ", code), func(t *testing.T) {
				line := newLifeline(t)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				line.watch(t, func() { cancel(cause) })
				_, failure := runShell(ctx, t, line, c.script)
				require.NotNil(t, failure)
				require.Equal(t, code, failure.Code, failure.Message)
				line.await(t)
			})
		}
	}
}

func runShell(ctx context.Context, t *testing.T, line *lifeline, script string) (string, *workflow.Error) {
	t.Helper()
	o := DevOptions()
	o.ExecGrace = 200 * time.Millisecond
	with := mustJSON(t, map[string]any{"command": []string{"sh", "-c", script}, "env": map[string]string{"FIFO": line.path}})
	return runJob(ctx, builtin(t, "exec", o), &Job{Input: with})
}

func TestExecLeavesNothingBehindWhenItEndsWell(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"output held open", `(exec 9>"$FIFO"; echo r >&9; sleep 600) & while [ ! -e "$FIFO.on" ]; do sleep 0.01; done; echo done`},
		{"output closed", `(exec 9>"$FIFO" >/dev/null 2>&1; echo r >&9; sleep 600) & while [ ! -e "$FIFO.on" ]; do sleep 0.01; done; echo done`},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := newLifeline(t)
			line.watch(t, func() {
				if err := os.WriteFile(line.path+".on", nil, 0o600); err != nil {
					t.Error(err)
				}
			})
			output, failure := runShell(t.Context(), t, line, c.script)
			require.Nil(t, failure)
			require.Contains(t, output, `"stdout":"done\n"`)
			line.await(t)
		})
	}
}

func TestExecDoesNotStartAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrLost)
	file := filepath.Join(t.TempDir(), "touched")
	_, failure := runJob(ctx, builtin(t, "exec", DevOptions()), &Job{Input: command(t, "touch", file)})
	require.NotNil(t, failure)
	require.NoFileExists(t, file)
	require.Contains(t, failure.Message, ErrLost.Error())
}
