package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

// SecretsFlag names the folder of the secrets.
func SecretsFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "secrets-dir", EnvVars: Env("secrets-dir"), TakesFile: true,
		Usage: "folder `DIR` with a file for each secret, named as it; REDRIVE_SECRET_<NAME> goes before it",
	}
}

// Secrets answers secrets.<name> of expressions from the environment and from
// the folder that the SecretsFlag names, which must be there.
func Secrets(c *cli.Context) (func(name string) (string, error), error) {
	dir := c.String("secrets-dir")
	if dir == "" {
		return Secret, nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, wrong("secrets-dir", dir, "a folder that is there and can be read")
	}
	return func(name string) (string, error) {
		value, err := Secret(name)
		if err == nil {
			return value, nil
		}
		value, found, fileErr := secretFile(dir, name)
		if fileErr == nil && !found {
			return "", fmt.Errorf("%w, or put the file %s into %s", err, name, dir)
		}
		return value, fileErr
	}, nil
}

// Secret is secrets.<name> in expressions: secrets.api_token is REDRIVE_SECRET_API_TOKEN.
func Secret(name string) (string, error) {
	variable := envPrefix + "SECRET_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
	value, ok := os.LookupEnv(variable)
	if !ok {
		return "", fmt.Errorf("there is no secret %q: set %s where the worker (for a remote one: the server, or dev) runs", name, variable)
	}
	return value, nil
}

// secretFile reads a secret; the line end at its end is not part of it. It is
// read each time, so that a secret can be changed while the process runs.
func secretFile(dir, name string) (value string, found bool, err error) {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`+"\x00") {
		return "", false, fmt.Errorf("secret %q cannot be read from a file: allowed are names without / and \\, that do not begin with a dot", name)
	}
	file, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("secret %q cannot be read: %w", name, err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	b, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", false, fmt.Errorf("secret %q cannot be read: %w", name, err)
	}
	if len(b) > maxSecret {
		return "", false, fmt.Errorf("secret %q has more than %d bytes", name, maxSecret)
	}
	text := strings.TrimSuffix(string(b), "\n")
	return strings.TrimSuffix(text, "\r"), true, nil
}
