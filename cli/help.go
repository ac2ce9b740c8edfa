package cli

import (
	"fmt"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/worker/setup"
)

const commandHelp = `{{.HelpName}} - {{.Usage}}

Usage:
   {{.HelpName}}{{if .VisibleCommands}} [COMMAND]{{end}}{{if .VisibleFlags}} [flags]{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{if .Description}}

   {{wrap .Description 3}}{{end}}{{if .VisibleCommands}}

Commands:{{range .VisibleCommands}}{{if ne .Name "help"}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}{{end}}{{end}}{{if .VisibleFlags}}

Flags:{{range .VisibleFlags}}
   {{.}}{{end}}{{end}}

Global flags (--server, --api-key, --project, -o, ...) are listed by: redrive --help
`

const rootHelp = `{{.Usage}}

Usage:
   redrive [global flags] command [flags] [arguments]      flags may stand anywhere

{{range .VisibleCategories}}{{if .Name}}{{.Name}}:{{range .VisibleCommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}

{{end}}{{end}}Global flags:{{range .VisibleFlags}}
   {{.}}{{end}}
`

// explained gives a command its help text: the usual parts, then its examples
// and its exit codes.
func explained(c *cli.Command, examples []string, codes ...int) *cli.Command {
	var b strings.Builder
	if len(examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, e := range examples {
			b.WriteString("   " + e + "\n")
		}
	}
	b.WriteString(codesText(codes))
	// The text goes through a template: braces of examples are escaped.
	escaped := strings.ReplaceAll(b.String(), "{{", `{{"{{"}}`)
	c.CustomHelpTemplate = commandHelp + escaped
	if c.OnUsageError == nil {
		c.OnUsageError = onUsageError
	}
	c.HideHelpCommand = true
	return c
}

func codesText(codes []int) string {
	codes = append([]int{exitOK, exitFailed, exitUsage}, codes...)
	sort.Ints(codes)
	var b strings.Builder
	b.WriteString("\nExit codes:\n")
	for _, code := range codes {
		fmt.Fprintf(&b, "   %-3d  %s\n", code, exitMeanings[code])
	}
	return b.String()
}

// group is a noun: a command that only has verbs.
func group(name, usage, category string, verbs ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Category: category, Subcommands: verbs,
		CustomHelpTemplate: commandHelp, OnUsageError: onUsageError, HideHelpCommand: true,
		Action: onlyVerbs,
	}
}

// onlyVerbs is the action of a noun without a verb.
func onlyVerbs(c *cli.Context) error {
	if c.Args().Present() {
		return unknownCommand(c, c.Args().First(), c.Command.Subcommands)
	}
	return cli.ShowSubcommandHelp(c)
}

func unknownCommand(c *cli.Context, word string, known []*cli.Command) error {
	at := strings.TrimSpace(c.Command.HelpName)
	var names []string
	for _, k := range known {
		if !k.Hidden && k.Name != "help" {
			names = append(names, k.Name)
		}
	}
	sort.Strings(names)
	return &failure{
		code: exitUsage,
		err:  fmt.Errorf("%s has no command %q%s", at, word, setup.Meant("", word, names)),
		next: "It has: " + strings.Join(names, ", "),
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	name := "redrive"
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	return &failure{code: exitUsage, err: err, next: "See: " + name + " --help"}
}

// arguments checks how many arguments there are; most = -1 means any number.
func arguments(c *cli.Context, least, most int) error {
	n := c.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	wants := c.Command.ArgsUsage
	if wants == "" {
		wants = "no arguments"
	}
	return &failure{
		code: exitUsage,
		err:  fmt.Errorf("%s takes %s, and got %d arguments", c.Command.HelpName, wants, n),
		next: "See: " + c.Command.HelpName + " --help",
	}
}
