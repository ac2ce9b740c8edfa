package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

// eachVerb calls f for every command that does something.
func eachVerb(f func(path string, levels []*cli.Command)) {
	app := testProgram().app()
	var walk func(levels []*cli.Command, commands []*cli.Command)
	walk = func(levels []*cli.Command, commands []*cli.Command) {
		for _, c := range commands {
			at := append(append([]*cli.Command{}, levels...), c)
			if len(c.Subcommands) == 0 {
				f(strings.Join(commandNames(at[1:]), " "), at)
			}
			walk(at, c.Subcommands)
		}
	}
	walk([]*cli.Command{{Flags: app.Flags}}, app.Commands)
}

func TestEveryCommandHasExamples(t *testing.T) {
	eachVerb(func(path string, levels []*cli.Command) {
		if c := levels[len(levels)-1]; !c.Hidden && c.Name != "help" {
			require.Contains(t, c.CustomHelpTemplate, "\nExamples:\n   ", path)
			require.Contains(t, c.CustomHelpTemplate, "redrive "+path, path)
		}
	})
}

// Words that are offered are of flags and commands that are there.
func TestWhatIsCompletedIsThere(t *testing.T) {
	flags, commands := map[string]bool{}, map[string]bool{}
	eachVerb(func(path string, levels []*cli.Command) {
		commands[path] = true
		for _, level := range levels {
			for _, f := range level.Flags {
				flags[f.Names()[0]], commands[path+" --"+f.Names()[0]] = true, true
			}
		}
	})
	for name := range flagWords {
		require.True(t, flags[name], name)
	}
	for name := range commandWords {
		require.True(t, commands[name], name)
	}
}
