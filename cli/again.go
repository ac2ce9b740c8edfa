package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// notAgain are the flags that a command line loses when it is to do what it
// showed: those that only looked, and the key, which is nobody else's to read.
var notAgain = []string{"dry-run", "output", "plan-hash", "api-key"}

// again is the command line that executes a plan: the one that made it, of one
// execution, with the hash of the plan and what must be acknowledged.
func (s *session) again(c *cli.Context, id string, p *client.Plan) string {
	line := append(strings.Fields(c.Command.HelpName), id)
	if c.Command.ArgsUsage == "EXECUTION REF" {
		line = append(line, c.Args().Get(1))
	}
	line = append(line, s.flagsAgain(c.App)...)
	line = append(line, acknowledgments(c, p)...)
	line = append(line, "--plan-hash", p.PlanHash)
	for i, word := range line {
		line[i] = shellWord(word)
	}
	return strings.Join(line, " ")
}

// acknowledgments are those that a plan wants and its command line did not give.
func acknowledgments(c *cli.Context, p *client.Plan) []string {
	var flags []string
	given := listed(c, "acknowledge")
	for _, ref := range p.Acknowledge {
		if !slices.Contains(given, ref) {
			flags = append(flags, "--acknowledge", ref)
		}
	}
	return flags
}

// flagsAgain are the flags as they were given, less those that are not wanted again.
func (p *program) flagsAgain(app *cli.App) []string {
	levels := commandLevels(app, p.args)
	var kept []string
	for i := 0; i < len(p.args) && p.args[i] != "--"; i++ {
		word := p.args[i]
		if !isFlag(word) {
			continue
		}
		words := []string{word}
		if takesNext(app, levels, word) && i+1 < len(p.args) {
			i++
			words = append(words, p.args[i])
		}
		f := namedFlag(levels, flagName(word))
		if f == nil || !slices.Contains(notAgain, f.Names()[0]) {
			kept = append(kept, words...)
		}
	}
	return kept
}

// shellWord is a word as a shell takes it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
