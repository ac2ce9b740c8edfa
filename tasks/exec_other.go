//go:build !unix

package tasks

import (
	"os"
	"os/exec"
)

// ownGroup leaves the command as it is: there are no process groups here.
func ownGroup(*exec.Cmd) {}

// killGroup ends the command; what it started is left to itself.
func killGroup(p *os.Process) { _ = p.Kill() } // it has usually ended

// killedBy is empty: there are no signals here.
func killedBy(*os.ProcessState) string { return "" }
