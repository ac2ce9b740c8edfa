package workflow

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The core computes: these packages have no I/O, no clock that we read and nothing that runs beside us.
var pure = []string{
	"bytes", "cmp", "crypto/sha256", "encoding/hex", "encoding/json", "errors", "fmt", "math",
	"maps", "regexp", "slices", "sort", "strconv", "strings", "sync", "time", "unicode", "unicode/utf8",
}

var libraries = []string{"cel.dev/cel-go/", "github.com/goccy/go-yaml", "github.com/santhosh-tekuri/jsonschema/v6", "golang.org/x/text/", "github.com/wI2L/jsondiff", "github.com/redrive/redrive/workflow/cron"}

// impure answers what a file does that the core must not.
func impure(f *ast.File) (faults []string) {
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		library := slices.ContainsFunc(libraries, func(l string) bool { return strings.HasPrefix(path, l) })
		if !library && !slices.Contains(pure, path) {
			faults = append(faults, "imports "+path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			faults = append(faults, "starts a goroutine")
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				faults = append(faults, "has an init function")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" &&
				slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, n.Sel.Name) {
				faults = append(faults, "reads the clock")
			}
		}
		return true
	})
	return faults
}

func TestThePackageIsPure(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	checked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		require.Empty(t, impure(f), file)
		checked++
	}
	require.Greater(t, checked, 20)
}

func TestImpureCodeIsFound(t *testing.T) {
	for want, source := range map[string]string{
		"imports os":           `import "os"`,
		"imports net/http":     `import "net/http"`,
		"imports context":      `import "context"`,
		"reads the clock":      "import \"time\"\nvar t = time.Now()",
		"starts a goroutine":   "func f() { go f() }",
		"has an init function": "func init() {}",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package workflow\n"+source, 0)
		require.NoError(t, err)
		require.Contains(t, impure(f), want)
	}
}
