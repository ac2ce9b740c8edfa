package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

func testProgram() *program {
	return &program{version: "test", in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}, now: time.Now}
}

func TestArrange(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"redrive", "redrive"},
		{"redrive run x --wait", "redrive run --wait x"},
		{"redrive run x --set a=1 --wait --set b=2", "redrive run --set a=1 --wait --set b=2 x"},
		{"redrive run x -o json --server http://h", "redrive -o json --server http://h run x"},
		{"redrive -o json run x --wait", "redrive -o json run --wait x"},
		{"redrive --wait run x", "redrive run --wait x"},
		{"redrive --reason r cancel x y", "redrive cancel --reason r x y"},
		{"redrive execution list --limit=3 -o wide", "redrive -o wide execution list --limit=3"},
		{"redrive execution --limit 3 list", "redrive execution list --limit 3"},
		{"redrive workflow publish -", "redrive workflow publish -"},
		{"redrive cancel -- -x", "redrive cancel -- -x"},
		{"redrive run list --wait", "redrive run --wait list"},
		{"redrive run x --unknown", "redrive run --unknown x"},
		{"redrive run --help", "redrive run --help"},
		{"redrive run x --help", "redrive run --help"},
		{"redrive frob --wait", "redrive --wait frob"},
	} {
		got := arrange(testProgram().app(), strings.Fields(c.line))
		require.Equal(t, c.want, strings.Join(got, " "), c.line)
	}
}

// A flag that stands before its command is looked up by name alone, so a name
// must take a value everywhere or nowhere.
func TestFlagsOfOneNameAreAlike(t *testing.T) {
	takes := map[string]bool{}
	var walk func(path string, commands []*cli.Command)
	walk = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			for _, f := range c.Flags {
				value := f.(cli.DocGenerationFlag).TakesValue()
				for _, name := range f.Names() {
					if before, seen := takes[name]; seen {
						require.Equal(t, before, value, "%s %s --%s", path, c.Name, name)
					}
					takes[name] = value
				}
			}
			walk(path+" "+c.Name, c.Subcommands)
		}
	}
	app := testProgram().app()
	walk("redrive", append(app.Commands, &cli.Command{Name: "global", Flags: app.Flags}))
	require.True(t, takes["limit"])
}
