// Command generated writes the generated code again and fails when that
// changed a file: the generated code in the repository must be current.
package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
)

// marker is the line that the Go project fixed for generated files.
var marker = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "test/generated:", err)
		os.Exit(1)
	}
}

func run() error {
	before, err := generatedFiles(".")
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "generate", "./...")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go generate ./...: %w", err)
	}
	after, err := generatedFiles(".")
	if err != nil {
		return err
	}
	stale := compare(before, after)
	for _, path := range stale {
		fmt.Fprintln(os.Stderr, "was not current:", path)
	}
	if len(stale) > 0 {
		return fmt.Errorf("%d generated files were not current; they are now: look at them and commit them", len(stale))
	}
	fmt.Printf("%d generated files are current\n", len(after))
	return nil
}

// compare names the files that differ between two states, in order.
func compare(before, after map[string][]byte) []string {
	var stale []string
	for path, content := range after {
		if old, ok := before[path]; !ok || !bytes.Equal(old, content) {
			stale = append(stale, path)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			stale = append(stale, path)
		}
	}
	sort.Strings(stale)
	return stale
}

func generatedFiles(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if marker.Match(content[:min(len(content), 2048)]) {
			files[path] = content
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for generated files: %w", err)
	}
	return files, nil
}
