// Package fleet runs Redrive's real binaries as processes of their own, for the
// tests that kill them.
package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
)

// Redrive and Journal are the commands that tests build.
const (
	Redrive = "github.com/redrive/redrive/cli/redrive"
	Journal = "github.com/redrive/redrive/test/chaos/worker"
)

var built struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// Build compiles a command, once per test binary, with the race detector when the test has it.
func Build(command string) (string, error) {
	built.Lock()
	defer built.Unlock()
	if p, ok := built.paths[command]; ok {
		return p, nil
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "redrive-bin-")
		if err != nil {
			return "", fmt.Errorf("fleet: %w", err)
		}
		built.dir, built.paths = dir, map[string]string{}
	}
	out := filepath.Join(built.dir, path.Base(command))
	args := []string{"build", "-o", out}
	if race {
		args = append(args, "-race")
	}
	if text, err := exec.Command("go", append(args, command)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("fleet: building %s: %w\n%s", command, err, text)
	}
	built.paths[command] = out
	return out, nil
}

// Clean removes what Build made. Call it at the end of TestMain.
func Clean() error {
	built.Lock()
	defer built.Unlock()
	dir := built.dir
	built.dir, built.paths = "", nil
	if dir == "" {
		return nil
	}
	return errors.Join(os.RemoveAll(dir))
}
