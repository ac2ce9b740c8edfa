package arrows

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// MaxLines is how long a file may get; most stay below 400.
const MaxLines = 600

// junk are package names that say nothing about what is inside.
var junk = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared"}

// CheckPackages finds packages without a comment, packages named like a
// drawer, and files that grew too long.
func CheckPackages(files []File) []string {
	var breaches []string
	commented, seen := map[string]bool{}, []string{}
	for _, f := range files {
		if !f.Generated && f.Lines > MaxLines {
			breaches = append(breaches, fmt.Sprintf("%s has %d lines: split it by what its parts do, %d is the most", f.Path, f.Lines, MaxLines))
		}
		if f.Test {
			continue
		}
		if !slices.Contains(seen, f.Dir) {
			seen = append(seen, f.Dir)
		}
		if f.AST.Doc != nil && !f.Generated && len(strings.TrimSpace(f.AST.Doc.Text())) > 0 {
			commented[f.Dir] = true
		}
		if name := f.AST.Name.Name; slices.Contains(junk, name) {
			breaches = append(breaches, fmt.Sprintf("%s is in package %s: name a package by what it provides", f.Path, name))
		}
	}
	for _, dir := range seen {
		if !commented[dir] {
			breaches = append(breaches, dir+" has no package comment: say in a sentence what it is, in doc.go or the main file")
		}
	}
	return breaches
}

// machine finds absolute paths of somebody's machine.
var machine = regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(home/\w+|Users/\w+|root|work)/`)

// text are the files that people read or machines run.
var text = []string{".go", ".lua", ".md", ".yaml", ".yml", ".json", ".sh", ".mod", ".txt", ".txtar"}

// CheckWords finds lines that speak of one machine instead of the project.
func CheckWords(root fs.FS) ([]string, error) {
	var breaches []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains(text, path.Ext(name)) {
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(bytes.NewReader(content))
		lines.Buffer(nil, len(content)+1)
		for n := 1; lines.Scan(); n++ {
			if found := machine.FindString(lines.Text()); found != "" {
				breaches = append(breaches, fmt.Sprintf("%s:%d says %q: that is a path of one machine; use a relative one, or a variable", name, n, strings.TrimSpace(found)))
			}
		}
		return lines.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("check words: %w", err)
	}
	return breaches, nil
}
