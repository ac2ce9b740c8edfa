package fleet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running binary. Its output goes to a file that a failing test shows.
type Process struct {
	Name string

	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone

	mu   sync.Mutex
	code int
}

// Launch starts a binary; the end of the test kills it.
func Launch(t testing.TB, name, path string, env []string, args ...string) *Process {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Name: name, log: file.Name(), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.Env = append(cleanEnvironment(), env...)
	err = p.cmd.Start()
	_ = file.Close() // the process has its own
	if err != nil {
		t.Fatalf("fleet: starting %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.mu.Lock()
		p.code = p.cmd.ProcessState.ExitCode()
		p.mu.Unlock()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if text := p.Log(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic: ") {
			t.Errorf("%s: see its log", name)
		}
		if t.Failed() {
			t.Logf("the log of %s (pid %d) ends:\n%s", name, p.PID(), tail(p.Log(), 6000))
		}
	})
	return p
}

// cleanEnvironment is the environment without settings of Redrive.
func cleanEnvironment() []string {
	var all []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "REDRIVE_") {
			all = append(all, e)
		}
	}
	return all
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Terminate sends SIGTERM.
func (p *Process) Terminate() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits for the end of the process and answers its exit code.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.code, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("fleet: %s did not end: %w", p.Name, ctx.Err())
	}
}

// Log is what the process wrote so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Alive says whether a process other than a zombie has this id.
func Alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil || p.Signal(syscall.Signal(0)) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// Await asks every 20 ms until the answer is true, and fails the test after a while.
func Await(t testing.TB, within time.Duration, what string, ask func() bool) {
	t.Helper()
	if !AwaitQuiet(t.Context(), within, ask) {
		t.Fatalf("not within %s: %s", within, what)
	}
}

// AwaitQuiet is Await that answers instead of failing, for other goroutines.
func AwaitQuiet(ctx context.Context, within time.Duration, ask func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			return ask()
		case <-tick.C:
		}
	}
	return true
}
