package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

var execSchema = json.RawMessage(`{
  "type": "object", "additionalProperties": false, "required": ["command"],
  "$defs": {"scalar": {"type": ["string", "number", "boolean"]}},
  "properties": {
    "command": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/scalar"}, "description": "the program and its arguments; no shell reads them"},
    "env": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}, "description": "more variables; null adds none"},
    "stdin": {"description": "a string as it is, any other value as JSON, null nothing"},
    "dir": {"type": "string", "minLength": 1},
    "parse": {"enum": ["json"], "description": "stdout is JSON: answer its value"},
    "fingerprint": {"type": "string", "minLength": 1, "maxLength": 255, "description": "the group of failures that those of this task belong to"}
  }
}`)

var execOutputSchema = json.RawMessage(`{
  "type": "object", "required": ["exit_code", "stdout", "stderr"],
  "properties": {
    "exit_code": {"type": "integer"},
    "stdout": {"description": "a string, or any value with parse: json"},
    "stderr": {"type": "string"},
    "stdout_cut": {"type": "integer", "description": "bytes of stdout that were not kept"},
    "stderr_cut": {"type": "integer", "description": "bytes of stderr that were not kept"}
  }
}`)

type execInput struct {
	Command []json.RawMessage          `json:"command"`
	Env     map[string]json.RawMessage `json:"env"`
	Stdin   json.RawMessage            `json:"stdin"`
	Dir     string                     `json:"dir"`
	Parse   string                     `json:"parse"`

	Fingerprint string `json:"fingerprint"`
}

type execOutput struct {
	ExitCode  int    `json:"exit_code"`
	Stdout    any    `json:"stdout"`
	Stderr    string `json:"stderr"`
	StdoutCut int64  `json:"stdout_cut,omitempty"`
	StderrCut int64  `json:"stderr_cut,omitempty"`
}

// inherited is what a command sees of the worker's own environment.
var inherited = []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}

// execType runs a command without a shell.
func execType(o Options) Type {
	t := New("exec", func(ctx context.Context, job *Job, in execInput) (execOutput, error) {
		cmd, err := in.command(ctx, o, job)
		if err != nil {
			return execOutput{}, err
		}
		out, err := runCommand(ctx, o, job, cmd, in.Parse == "json")
		return out, Grouped(in.Fingerprint, err)
	})
	t.Description = "Runs a command (no shell) and answers what it wrote."
	t.Input, t.Output = execSchema, execOutputSchema
	return t
}

// command builds the command that `with` describes, if the options allow it.
func (in execInput) command(ctx context.Context, o Options, job *Job) (*exec.Cmd, error) {
	if len(in.Command) == 0 {
		return nil, Fatal(CodeInputInvalid, "with.command: is missing; give a list: the program, then its arguments")
	}
	if in.Parse != "" && in.Parse != "json" {
		return nil, Fatal(CodeInputInvalid, "with.parse: is %q; allowed: json", in.Parse)
	}
	args := make([]string, len(in.Command))
	for i, raw := range in.Command {
		arg, err := scalar(fmt.Sprintf("with.command[%d]", i), raw)
		if err != nil {
			return nil, err
		}
		if strings.ContainsRune(arg, 0) {
			return nil, Fatal(CodeInputInvalid, "with.command[%d]: holds a NUL byte, which no argument can", i)
		}
		args[i] = arg
	}
	if err := o.allowed(args[0]); err != nil {
		return nil, err
	}
	env, err := in.environment(o, job)
	if err != nil {
		return nil, err
	}
	if in.Dir != "" {
		if info, err := os.Stat(in.Dir); err != nil || !info.IsDir() {
			return nil, Fatal(CodeInputInvalid, "with.dir: %q is no directory on this worker", in.Dir)
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = in.Dir, env, o.ExecGrace
	if stdin := bytes.TrimSpace(in.Stdin); len(stdin) > 0 && string(stdin) != "null" {
		cmd.Stdin = strings.NewReader(text(stdin))
	}
	ownGroup(cmd)
	return cmd, nil
}

// allowed says why a command may not be run on this worker.
func (o Options) allowed(name string) error {
	if slices.Contains(o.ExecAllow, Any) || slices.Contains(o.ExecAllow, name) && name != "" {
		return nil
	}
	if filepath.Base(name) == name { // by name: the path it stands for may be allowed, too
		if path, err := exec.LookPath(name); err == nil && slices.Contains(o.ExecAllow, path) {
			return nil
		}
	}
	if len(o.ExecAllow) == 0 {
		return Fatal("exec_not_allowed", "with.command: this worker runs no commands; to allow this one, start it with --allow-exec %s", name)
	}
	return Fatal("exec_not_allowed", "with.command: this worker does not run %q; allowed: %s; to allow it, start the worker with --allow-exec %s too",
		name, strings.Join(o.ExecAllow, ", "), name)
}

// environment is a little of the worker's own, then `env`, then what names the job.
func (in execInput) environment(o Options, job *Job) ([]string, error) {
	env := map[string]string{}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	for name, raw := range in.Env {
		if string(raw) == "null" {
			continue
		}
		value, err := scalar("with.env."+name, raw)
		switch {
		case err != nil:
			return nil, err
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0):
			return nil, Fatal(CodeInputInvalid, "with.env: %q: allowed: a name without =, neither with a NUL byte", name)
		case !slices.Contains(o.ExecAllow, Any) && (strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_")):
			return nil, Fatal("exec_not_allowed", "with.env.%s: would let any code into an allowed command; take it out, or allow every command (--allow-exec '*')", name)
		}
		env[name] = value
	}
	env["REDRIVE_IDEMPOTENCY_KEY"] = job.IdempotencyKey
	env["REDRIVE_EXECUTION"] = job.Execution
	env["REDRIVE_TASK"] = job.Ref
	env["REDRIVE_ATTEMPT"] = strconv.Itoa(job.Attempt)
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list, nil
}

// runCommand runs the command and ends its whole process group with it.
func runCommand(ctx context.Context, o Options, job *Job, cmd *exec.Cmd, parse bool) (execOutput, error) {
	stdout := &capture{ctx: ctx, log: job.Log, level: slog.LevelInfo, limit: o.ExecOutput}
	stderr := &capture{ctx: ctx, log: job.Log, level: slog.LevelWarn, limit: o.ExecOutput}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return execOutput{}, startError(ctx, cmd, err)
	}
	err := cmd.Wait()
	killGroup(cmd.Process)
	stdout.flush()
	stderr.flush()
	if errors.Is(err, exec.ErrWaitDelay) {
		job.Log.WarnContext(ctx, "the command ended and left processes behind that kept its output open; they were killed")
		err = nil // the command itself ended well
	}
	if err != nil {
		return execOutput{}, exitError(ctx, cmd, stderr, err)
	}
	out := execOutput{Stdout: stdout.text(), Stderr: stderr.text(), StdoutCut: stdout.cut, StderrCut: stderr.cut}
	if !parse {
		return out, nil
	}
	if stdout.cut > 0 {
		return out, Fatal("exec_output_too_large", "with.parse: stdout has %d bytes, of which %d are kept; write less, or to a file", stdout.cut+int64(len(stdout.head)), o.ExecOutput)
	}
	if !json.Valid(stdout.head) {
		return out, Fatal("exec_output_invalid", "with.parse: stdout is not one JSON value: %q", clip(stdout.text(), 200))
	}
	out.Stdout = json.RawMessage(stdout.head)
	return out, nil
}

// startError is a command that could not be started.
func startError(ctx context.Context, cmd *exec.Cmd, err error) error {
	name := cmd.Args[0]
	if ctx.Err() != nil {
		return fmt.Errorf("%s was not started: %w", filepath.Base(name), context.Cause(ctx))
	}
	switch {
	case errors.Is(err, exec.ErrDot):
		return Fatal("exec_not_found", "with.command: %q is only in the current directory; write ./%s", name, name)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return Fatal("exec_not_found", "with.command: %q was not found on this worker (PATH=%s); install it, or give its full path", name, os.Getenv("PATH"))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return Fatal("exec_not_executable", "with.command: %q cannot be executed by this worker; check its permissions and its first line (#!)", name)
	}
	return Error("exec_start_failed", "starting %q: %w", name, err)
}

// exitError is a command that ended badly, or was made to.
func exitError(ctx context.Context, cmd *exec.Cmd, stderr *capture, err error) error {
	name := filepath.Base(cmd.Args[0])
	if ctx.Err() != nil {
		return fmt.Errorf("%s was stopped: %w", name, context.Cause(ctx))
	}
	said := stderr.lastLines()
	if said != "" {
		said = ": " + said
	}
	if signal := killedBy(cmd.ProcessState); signal != "" {
		return Error("exec_signal_"+signal, "%s was killed by a signal%s", name, said)
	}
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		return Error("exit_"+strconv.Itoa(code), "%s ended with exit code %d%s", name, code, said)
	}
	return Error("exec_failed", "running %s: %w", name, err)
}
