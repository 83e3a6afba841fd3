package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"ossecd/keys/setting"
)

// completing is the word that a shell's completion puts behind a command line; package cli then prints what may stand there.
const completing = "--generate-bash-completion"

// The completions ask ossecd itself, so that they know what the version that is installed knows.
const (
	bashCompletion = `# bash completion for ossecd; for one user: ossecd completion bash > ~/.local/share/bash-completion/completions/ossecd
_ossecd() {
    local cur="${COMP_WORDS[COMP_CWORD]}" words=("${COMP_WORDS[@]:0:COMP_CWORD}")
    [[ $cur == -* ]] && words+=("$cur")
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _ossecd ossecd
`
	zshCompletion = `#compdef ossecd
# zsh completion for ossecd; put it as _ossecd into a directory of $fpath
_ossecd() {
    local -a line found
    line=("${(@)words[1,CURRENT-1]}")
    [[ ${words[CURRENT]} == -* ]] && line+=("${words[CURRENT]}")
    found=("${(@f)$("${line[@]}" --generate-bash-completion 2>/dev/null)}")
    if [[ -n ${found[1]} ]]; then
        _describe 'ossecd' found
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _ossecd ]]; then _ossecd "$@"; else compdef _ossecd ossecd; fi
`
)

// forPackages is the category of the commands that print what packages install beside ossecd.
const forPackages = "what packages install"

// shells are those that completion knows, with what makes the script for each.
var shells = []struct {
	name   string
	script func(*cli.App) (string, error)
}{
	{"bash", func(*cli.App) (string, error) { return bashCompletion, nil }},
	{"zsh", func(*cli.App) (string, error) { return zshCompletion, nil }},
	{"fish", (*cli.App).ToFishCompletion},
}

func completionCommand() *cli.Command {
	c := &cli.Command{
		Name:      "completion",
		Category:  forPackages,
		Usage:     "print a script that completes ossecd's command lines in a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Examples:
   ossecd completion bash > /etc/bash_completion.d/ossecd
   ossecd completion zsh > /usr/local/share/zsh/site-functions/_ossecd
   ossecd completion fish > ~/.config/fish/completions/ossecd.fish`,
	}
	for _, s := range shells {
		c.Subcommands = append(c.Subcommands, &cli.Command{
			Name: s.name, Usage: "print the script for " + s.name, ArgsUsage: " ",
			Action: func(c *cli.Context) error {
				text, err := s.script(c.App)
				if err == nil {
					_, err = fmt.Fprint(c.App.Writer, text)
				}
				return err
			},
		})
	}
	return c
}

// ordered is a command line with its flags before its arguments. A line that is to be completed stays as it is.
func ordered(args []string, app *cli.App) (line, renamed []string) {
	if slices.Contains(args[1:], completing) {
		return args[1:], nil
	}
	return setting.FlagsFirst(args[1:], app.Flags, app.Commands)
}
