//go:build unix

package tasks

import (
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup makes the command the leader of a process group, and cancellation
// ask the whole group to end.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return signalGroup(cmd.Process, syscall.SIGTERM) }
}

// killGroup ends whatever is left of the command's group.
func killGroup(p *os.Process) { _ = signalGroup(p, syscall.SIGKILL) } // ESRCH: nothing is left

func signalGroup(p *os.Process, s syscall.Signal) error { return syscall.Kill(-p.Pid, s) }

// killedBy names the signal that ended the process, as in kill or term; "" for none.
func killedBy(state *os.ProcessState) string {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG"))
}
