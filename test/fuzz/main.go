// Command fuzz runs every fuzz target of the module, each for a while: go test
// itself fuzzes only one target of one package at a time.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

func main() {
	each := flag.Duration("time", 10*time.Second, "how long each target is fuzzed")
	flag.Parse()
	if err := run(*each); err != nil {
		fmt.Fprintln(os.Stderr, "test/fuzz:", err)
		os.Exit(1)
	}
}

func run(each time.Duration) error {
	count := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range target.FindAllStringSubmatch(string(source), -1) {
			count++
			dir := "./" + filepath.ToSlash(filepath.Dir(path))
			fmt.Printf("==> %s %s for %s\n", dir, m[1], each)
			cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+m[1]+"$", "-fuzztime", each.String(), dir)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s in %s: %w", m[1], dir, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d fuzz targets, none found anything\n", count)
	return nil
}
