package cli

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

var update = flag.Bool("update", false, "write docs/cli.md again")

const cliPage = "../docs/cli.md"

const cliIntro = `# The command line

Written from the help texts by ` + "`go test ./cli -run TestPage -update`" + `; a test fails when it is not current.

- Flags may stand before or after arguments. Everything after ` + "`--`" + ` is an argument.
- Results go to standard output, all else (progress, warnings, errors) to standard error.
- An execution is named by its id or by its number.
- ` + "`-o`" + ` chooses the format: ` + "`table`" + ` (relative times), ` + "`wide`" + ` (more columns, absolute times), ` + "`json`" + `, ` + "`jsonl`" + ` (an item a line),
  ` + "`yaml`" + ` and ` + "`name`" + ` (what other commands take as an argument).
- Colours and the live board appear on a terminal only; ` + "`NO_COLOR`" + ` turns colours off.
- The first Ctrl-C ends a command in order; a second one ends it at once.

`

// TestPage keeps docs/cli.md equal to the help texts.
func TestPage(t *testing.T) {
	for _, name := range []string{"REDRIVE_SERVER", "REDRIVE_API_KEY", "REDRIVE_PROJECT", "REDRIVE_OUTPUT"} {
		t.Setenv(name, "")
		require.NoError(t, os.Unsetenv(name))
	}
	var page strings.Builder
	page.WriteString(cliIntro)
	page.WriteString("## redrive\n\n" + helpText(t, nil))
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden || c.Name == "help" {
				continue
			}
			full := append(append([]string{}, path...), c.Name)
			page.WriteString("## redrive " + strings.Join(full, " ") + "\n\n" + helpText(t, full))
			walk(full, c.Subcommands)
		}
	}
	walk(nil, testProgram().app().Commands)
	if *update {
		require.NoError(t, os.WriteFile(cliPage, []byte(page.String()), 0o644))
	}
	written, err := os.ReadFile(cliPage)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(written), "docs/cli.md is not current: go test ./cli -run TestPage -update")
}

func helpText(t *testing.T, path []string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	args := append(append([]string{"redrive"}, path...), "--help")
	code := Run(t.Context(), "dev", args, strings.NewReader(""), &out, &errOut)
	require.Equal(t, exitOK, code, errOut.String())
	return "```text\n" + strings.TrimRight(out.String(), "\n") + "\n```\n\n"
}

// TestEveryCommandExplainsItself: examples and exit codes in each help text.
func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			full := append(append([]string{}, path...), c.Name)
			if len(c.Subcommands) == 0 && c.Name != "help" {
				text := helpText(t, full)
				require.Contains(t, text, "Examples:\n   ", "%v", full)
				require.Contains(t, text, "Exit codes:\n   0 ", "%v", full)
				require.NotContains(t, text, "<no value>", "%v", full)
			}
			walk(full, c.Subcommands)
		}
	}
	walk(nil, testProgram().app().Commands)
}
