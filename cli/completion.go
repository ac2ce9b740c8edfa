package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/server"
)

// completeFlag is the last word of a command line that a shell wants completed.
const completeFlag = "--generate-bash-completion"

var (
	executionWords = []string{"queued", "running", "paused", "canceling", "succeeded", "failed", "canceled", "timed_out"}
	levelWords     = []string{"debug", "info", "warn", "error"}
)

// flagWords are the words that flags take, where they mean the same everywhere.
var flagWords = map[string][]string{
	"output": formats, "status": executionWords, "definition": {"same", "latest"}, "scope": {"downstream", "only", "changed"}, "input-mode": {"replace", "merge"},
	"budget": {"full", "one"}, "subworkflows": {"resume", "restart"}, "lane": {"low", "same"}, "when-full": {"queue", "reject"}, "level": levelWords,
	"log-level": levelWords, "log-format": {"text", "json", "auto"},
}

// commandWords are those that one command takes: of a flag, or as its argument.
var commandWords = map[string][]string{
	"failure list --state":  {"open", "acknowledged", "resolved"},
	"bulk report --outcome": {"pending", "in_flight", "succeeded", "failed", "skipped"},
	"bulk report --output":  {"csv", "json", "jsonl"},
	"audit list --outcome":  {"done", "refused"},
	"audit list --dialect":  slices.Concat([]string{"native", "monitoring"}, server.Dialects()),
	"key create --scope":    {"read", "write", "admin"},
	"completion":            {"bash", "zsh", "fish"},
}

// complete writes what may come next behind the words of a command line. A shell hands the word in over that is being
// written only when it begins with a dash.
func (p *program) complete(app *cli.App, words []string) {
	levels := commandLevels(app, words)
	command := levels[len(levels)-1]
	path := strings.Join(commandNames(levels[1:]), " ")
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	known := namedFlag(levels, flagName(last))
	var offered []string
	switch {
	case isFlag(last) && known != nil && takesNext(app, levels, last):
		name := known.Names()[0]
		if offered = commandWords[path+" --"+name]; offered == nil {
			offered = flagWords[name]
		}
	case isFlag(last) && known == nil:
		for _, name := range flagNames(command.Flags, app.Flags) {
			if flag := "--" + name; strings.HasPrefix(flag, last) {
				offered = append(offered, flag)
			}
		}
	default:
		offered = commandWords[path]
		for _, c := range command.Subcommands {
			if !c.Hidden && c.Name != "help" {
				offered = append(offered, c.Name)
			}
		}
	}
	for _, word := range offered {
		fmt.Fprintln(p.out, word)
	}
}

var completions = map[string]string{
	"bash": `_redrive() {
  local cur="${COMP_WORDS[COMP_CWORD]}" words
  if [[ "$cur" == -* ]]; then
    words=$("${COMP_WORDS[@]:0:COMP_CWORD}" "$cur" --generate-bash-completion 2>/dev/null)
  else
    words=$("${COMP_WORDS[@]:0:COMP_CWORD}" --generate-bash-completion 2>/dev/null)
  fi
  COMPREPLY=($(compgen -W "${words}" -- "$cur"))
}
complete -o bashdefault -o default -F _redrive redrive
`,
	"zsh": `#compdef redrive
_redrive() {
  local -a opts
  local cur="${words[-1]}"
  if [[ "$cur" == -* ]]; then
    opts=("${(@f)$(${words[@]:0:#words[@]-1} ${cur} --generate-bash-completion 2>/dev/null)}")
  else
    opts=("${(@f)$(${words[@]:0:#words[@]-1} --generate-bash-completion 2>/dev/null)}")
  fi
  if [[ -n "${opts[1]}" ]]; then compadd -a opts; else _files; fi
}
compdef _redrive redrive
`,
	"fish": `function __redrive_complete
  set -l tokens (commandline -opc)
  set -l current (commandline -ct)
  if string match -q -- '-*' $current
    set -a tokens $current
  end
  $tokens --generate-bash-completion 2>/dev/null
end
complete -c redrive -f -a '(__redrive_complete)'
`,
}

func (p *program) completionCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "completion", Usage: "print the completion script of a shell", ArgsUsage: "bash|zsh|fish", Category: categoryManagement,
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			script, known := completions[c.Args().First()]
			if !known {
				return usagef("no completion for %q: want bash, zsh or fish", c.Args().First())
			}
			_, err := fmt.Fprint(p.out, script)
			return err
		},
	}, []string{
		"source <(redrive completion bash)",
		"redrive completion zsh > \"${fpath[1]}/_redrive\"",
		"redrive completion fish > ~/.config/fish/completions/redrive.fish",
	})
}
