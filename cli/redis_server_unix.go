//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup keeps Ctrl-C from the child: it is stopped in order, after those who use it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }
