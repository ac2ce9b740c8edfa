// Package docs checks what the documents say about the repository itself.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// TestLinks: every relative link of every document leads to a file.
func TestLinks(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			seen++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, and there is no such file", path, m[1])
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, seen, 10, "no links were found: the pattern is broken")
}

// TestReadmeShowsTheWorker: the worker in the README is the one that compiles.
func TestReadmeShowsTheWorker(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(root, "examples", "worker", "main.go"))
	require.NoError(t, err)
	_, program, found := strings.Cut(string(source), "\npackage main")
	require.True(t, found)
	require.Contains(t, string(readme), "```go\npackage main"+strings.TrimRight(program, "\n")+"\n```",
		"the worker in README.md is not examples/worker/main.go")
}

// TestReadmeNamesTheTestCommand: CI runs what the README tells.
func TestReadmeNamesTheTestCommand(t *testing.T) {
	for _, file := range []string{"README.md", ".ci/run", "Makefile"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		require.Contains(t, strings.ReplaceAll(string(text), "$(GO)", "go"), "go run ./test/run", file)
	}
}
