package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

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
