package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
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
