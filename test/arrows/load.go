// Package arrows keeps the rules about the code itself: which package may
// import which, that the core stays pure, that every package says what it is,
// and that files stay small. Each rule is a function from the loaded source to
// breaches, and has a planted case that must fail.
package arrows

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Module is the import path of this module.
const Module = "github.com/redrive/redrive"

// File is one Go file. Dir is its package's folder, with slashes, relative to
// the module's root.
type File struct {
	Path, Dir string
	Test      bool
	Generated bool
	Lines     int
	Imports   []string
	AST       *ast.File
}

// Load parses every Go file below root.
func Load(root fs.FS) ([]File, error) {
	var files []File
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if base == "testdata" || base == "node_modules" || base == "vendor" || (strings.HasPrefix(base, ".") && base != ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := Parse(name, source)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the module: %w", err)
	}
	return files, nil
}

// Parse reads one file; name is relative to the module's root.
func Parse(name string, source []byte) (File, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, fmt.Errorf("parse: %w", err)
	}
	f := File{
		Path: name, Dir: path.Dir(name), AST: tree,
		// A package as queuetest is for tests only.
		Test:      strings.HasSuffix(name, "_test.go") || strings.HasSuffix(tree.Name.Name, "test"),
		Generated: ast.IsGenerated(tree),
		Lines:     strings.Count(string(source), "\n"),
	}
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("parse an import of %s: %w", name, err)
		}
		f.Imports = append(f.Imports, imported)
	}
	return f, nil
}

// Root is the module's root folder, found from the working directory upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find the module: no go.mod above %s", dir)
		}
		dir = parent
	}
}
