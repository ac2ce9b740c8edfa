package arrows

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// pureImports are the standard packages that the core may use: they compute.
var pureImports = []string{
	"bytes", "cmp", "crypto/sha256", "embed", "encoding/hex", "encoding/json", "errors", "fmt", "hash/fnv", "io", "iter", "maps",
	"math", "math/big", "math/bits", "reflect", "regexp", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
	"sync", // sync.Once and sync.Pool around compiled values; goroutines are refused below
}

// clocks are the functions of package time that read or wait for the clock.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

// CheckPure finds what makes the core impure: packages that do I/O, goroutines
// and readings of the clock.
func CheckPure(files []File) []string {
	var breaches []string
	for _, f := range files {
		if f.Test || top(f.Dir) != "workflow" {
			continue
		}
		for _, imported := range f.Imports {
			standard := !strings.Contains(top(imported), ".")
			if standard && !slices.Contains(pureImports, imported) {
				breaches = append(breaches, fmt.Sprintf("%s imports %s: the core does no I/O and holds no context; pass in what it needs, or add a package that only computes to the list in test/arrows", f.Path, imported))
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				breaches = append(breaches, f.Path+" starts a goroutine: the core decides, others run")
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
					breaches = append(breaches, fmt.Sprintf("%s calls time.%s: time is passed in, it comes from Redis", f.Path, n.Sel.Name))
				}
			}
			return true
		})
	}
	return breaches
}
