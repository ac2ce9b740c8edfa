package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/worker/setup"
)

// arrange puts flags before arguments, each at the level that defines it, so
// that flags may stand anywhere on the line: urfave/cli stops looking for them
// at the first argument. What follows "--" is left as it is.
func arrange(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	levels := commandLevels(app, args[1:])
	out := make([][]string, len(levels))
	var rest []string
	words := args[1:]
	depth := 0
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--":
			rest = append(rest, words[i+1:]...)
			i = len(words)
		case isFlag(word):
			level := definingLevel(levels, word)
			out[level] = append(out[level], word)
			if takesNext(app, levels, word) && i+1 < len(words) {
				i++
				out[level] = append(out[level], words[i])
			}
		case depth+1 < len(levels) && levels[depth+1].HasName(word):
			depth++
		default:
			rest = append(rest, word)
		}
	}
	line := append([]string{args[0]}, out[0]...)
	for i, level := range levels[1:] {
		line = append(append(line, level.Name), out[i+1]...)
	}
	if slices.ContainsFunc(out[len(out)-1], isHelp) {
		return line // urfave/cli would take an argument for a help topic
	}
	if slices.ContainsFunc(rest, isFlag) {
		line = append(line, "--")
	}
	return append(line, rest...)
}

// checkFlags refuses a flag that nothing on the line has, and a value that its
// flag does not take: the text of urfave/cli names neither what is there nor
// what is allowed.
func checkFlags(app *cli.App, args []string) error {
	if len(args) < 2 {
		return nil
	}
	words := args[1:]
	levels := commandLevels(app, words)
	last := levels[len(levels)-1]
	at := strings.TrimSpace(app.Name + " " + strings.Join(commandNames(levels[1:]), " "))
	refuse := func(format string, a ...any) error {
		return &failure{code: exitUsage, err: fmt.Errorf(format, a...), next: "See: " + at + " --help"}
	}
	for i := 0; i < len(words) && words[i] != "--"; i++ {
		if !isFlag(words[i]) {
			continue
		}
		name := flagName(words[i])
		f := namedFlag(levels, name)
		if f == nil {
			if name == "help" || name == "h" || name == "version" || name == "v" {
				continue
			}
			return refuse("%s has no flag --%s%s", at, name, setup.Meant("--", name, flagNames(last.Flags, app.Flags)))
		}
		_, value, given := strings.Cut(words[i], "=")
		if takes, _ := takesValue([]cli.Flag{f}, name); takes && !given {
			if i++; i == len(words) {
				return refuse("--%s wants a value after it", name)
			}
			value, given = words[i], true
		}
		if allowed := setup.Allowed(f, value); given && allowed != "" {
			return refuse("--%s %s: want %s", name, value, allowed)
		}
	}
	return nil
}

func commandNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return names
}

// namedFlag is the flag of that name of the deepest level that has one, nil when none has.
func namedFlag(levels []*cli.Command, name string) cli.Flag {
	for _, level := range slices.Backward(levels) {
		for _, f := range level.Flags {
			if slices.Contains(f.Names(), name) {
				return f
			}
		}
	}
	return nil
}

func flagNames(sets ...[]cli.Flag) []string {
	var names []string
	for _, flags := range sets {
		for _, f := range flags {
			names = append(names, f.Names()[0])
		}
	}
	return names
}

func isHelp(word string) bool {
	return isFlag(word) && (flagName(word) == "help" || flagName(word) == "h")
}

// commandLevels is the chain of commands that the words name, the app first.
func commandLevels(app *cli.App, words []string) []*cli.Command {
	levels := []*cli.Command{{Name: app.Name, Flags: app.Flags, Subcommands: app.Commands}}
	for i := 0; i < len(words) && words[i] != "--"; i++ {
		if isFlag(words[i]) {
			if takesNext(app, levels, words[i]) {
				i++
			}
			continue
		}
		next := find(levels[len(levels)-1].Subcommands, words[i])
		if next == nil {
			break
		}
		levels = append(levels, next)
	}
	return levels
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

func flagName(word string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return name
}

// definingLevel is the deepest level that has the flag; an unknown flag goes
// to the deepest of all, where it is refused.
func definingLevel(levels []*cli.Command, word string) int {
	name := flagName(word)
	for i, level := range slices.Backward(levels) {
		for _, f := range level.Flags {
			if slices.Contains(f.Names(), name) {
				return i
			}
		}
	}
	return len(levels) - 1
}

// takesNext reports whether the word is a flag whose value is the next word.
// Before the command is known, any command's flag of that name decides.
func takesNext(app *cli.App, levels []*cli.Command, word string) bool {
	if strings.Contains(word, "=") {
		return false
	}
	name := flagName(word)
	for _, level := range slices.Backward(levels) {
		if takes, known := takesValue(level.Flags, name); known {
			return takes
		}
	}
	return anyTakes(app.Commands, name)
}

func takesValue(flags []cli.Flag, name string) (takes, known bool) {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			doc, ok := f.(cli.DocGenerationFlag)
			return ok && doc.TakesValue(), true
		}
	}
	return false, false
}

func anyTakes(commands []*cli.Command, name string) bool {
	for _, c := range commands {
		if takes, known := takesValue(c.Flags, name); known {
			return takes
		}
		if anyTakes(c.Subcommands, name) {
			return true
		}
	}
	return false
}
