package main

import (
	"fmt"
	"strings"
)

// shells are the shells that completion has a script for.
var shells = map[string]func() string{"bash": bash, "zsh": zsh, "fish": fish}

// words returns what may follow the subcommand and is known beforehand.
func (c *subcommand) words() []string {
	switch c.name {
	case "completion":
		return strings.Split(c.operands, "|")
	case "help":
		words := []string{"man"}
		for _, c := range subcommands {
			words = append(words, c.name)
		}
		return words
	}
	return nil
}

// flags returns all flags of a subcommand, those with a value apart if asked.
func (c *subcommand) flags(valued bool) []string {
	var flags []string
	for _, o := range c.options {
		if valued && o.value == "" {
			continue
		}
		for _, letter := range o.letters() {
			flags = append(flags, "-"+letter)
		}
		flags = append(flags, "--"+o.long)
	}
	return flags
}

func names() []string {
	var names []string
	for _, c := range subcommands {
		names = append(names, c.name)
	}
	return names
}

// bash completes the command behind "--" by what bash knows of that command, as
// it does for sudo, where bash-completion is there; else by commands and files.
func bash() string {
	var flags, valued, words, values strings.Builder
	for _, c := range subcommands {
		fmt.Fprintf(&flags, "\t%s) flags='%s' ;;\n", c.name, strings.Join(c.flags(false), " "))
		fmt.Fprintf(&valued, "\t%s) valued=' %s ' ;;\n", c.name, strings.Join(c.flags(true), " "))
		if w := c.words(); w != nil {
			fmt.Fprintf(&words, "\t%s) words='%s' ;;\n", c.name, strings.Join(w, " "))
		}
		for _, o := range c.options {
			if o.values != nil {
				fmt.Fprintf(&values, "\t%s--%s) words='%s' ;;\n", c.name, o.long, strings.Join(o.values, " "))
			}
		}
	}
	return `# bash completion for dlock

_dlock() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local verb=${COMP_WORDS[1]} flags= valued= words= i
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W '` + strings.Join(names(), " ") + `' -- "$cur"))
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -- ]] || continue
		if declare -F _command_offset >/dev/null; then
			_command_offset $((i + 1))
		elif ((i + 1 == COMP_CWORD)); then
			COMPREPLY=($(compgen -c -- "$cur"))
		else
			COMPREPLY=($(compgen -f -- "$cur"))
		fi
		return
	done
	case $verb in
` + flags.String() + `	esac
	case $verb in
` + valued.String() + `	esac
	# COMP_WORDBREAKS has = stand as a word of its own.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	if [[ $valued == *" $prev "* ]]; then
		case $verb$prev in
` + strings.ReplaceAll(values.String(), "\t", "\t\t") + `		esac
	elif [[ $cur == -* ]]; then
		words=$flags
	else
		case $verb in
` + strings.ReplaceAll(words.String(), "\t", "\t\t") + `		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _dlock dlock
`
}

func zsh() string {
	var b strings.Builder
	b.WriteString("#compdef dlock\n\n_dlock() {\n" + zshCommand + "\tlocal line state\n\t_arguments -C '1:subcommand:(" +
		strings.Join(names(), " ") + ")' '*::argument:->rest'\n\t[[ $state == rest ]] || return\n\tcase $line[1] in\n")
	for _, c := range subcommands {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments -s -S", c.name)
		for _, o := range c.options {
			text := zshText(o.text)
			value := ""
			if o.value != "" {
				value = ":" + o.value + ":"
				if len(o.values) > 0 {
					value += "(" + strings.Join(o.values, " ") + ")"
				}
			}
			long := "--" + o.long
			if value != "" {
				long += "="
			}
			fmt.Fprintf(&b, " \\\n\t\t\t'%s[%s]%s'", long, text, value)
			for _, letter := range o.letters() {
				short := "-" + letter
				if value != "" {
					short += "+"
				}
				fmt.Fprintf(&b, " \\\n\t\t\t'%s[%s]%s'", short, text, value)
			}
		}
		switch {
		case c.name == "run":
			b.WriteString(" \\\n\t\t\t'1:name:'")
		case c.words() != nil:
			fmt.Fprintf(&b, " \\\n\t\t\t'1:argument:(%s)'", strings.Join(c.words(), " "))
		default:
			b.WriteString(" \\\n\t\t\t'1:name:'")
		}
		b.WriteString("\n\t\t;;\n")
	}
	b.WriteString("\tesac\n}\n\nif [[ $funcstack[1] == _dlock ]]; then\n\t_dlock \"$@\"\nelse\n\tcompdef _dlock dlock\nfi\n")
	return b.String()
}

// zshCommand completes the command behind "--", as if it stood alone.
const zshCommand = `	local -i mark=${words[(i)--]}
	if [[ ${words[2]} == run ]] && ((mark < CURRENT)); then
		shift $mark words
		((CURRENT -= mark))
		_normal
		return
	fi
`

var zshEscapes = strings.NewReplacer("'", "'\\''", "[", "\\[", "]", "\\]", ":", "\\:")

func zshText(text string) string { return zshEscapes.Replace(firstSentence(text)) }

func fish() string {
	var b strings.Builder
	b.WriteString("# fish completion for dlock\n\n" + fishCommand + "complete -c dlock -f\n")
	for _, c := range subcommands {
		fmt.Fprintf(&b, "complete -c dlock -n __fish_use_subcommand -a %s -d %s\n", c.name, fishText(c.text[0]))
	}
	for _, c := range subcommands {
		in := fmt.Sprintf("complete -c dlock -n '__fish_seen_subcommand_from %s; and not contains -- -- (commandline -opc)'", c.name)
		for _, o := range c.options {
			b.WriteString(in)
			for _, letter := range o.letters() {
				b.WriteString(" -s " + letter)
			}
			b.WriteString(" -l " + o.long)
			if o.value != "" {
				b.WriteString(" -x")
			}
			if len(o.values) > 0 {
				b.WriteString(" -a '" + strings.Join(o.values, " ") + "'")
			}
			b.WriteString(" -d " + fishText(o.text) + "\n")
		}
		if w := c.words(); w != nil {
			b.WriteString(in + " -a '" + strings.Join(w, " ") + "'\n")
		}
	}
	b.WriteString("complete -c dlock -n 'contains -- -- (commandline -opc)' -x -a '(__dlock_command)'\n")
	return b.String()
}

// fishCommand completes the command behind "--", as if it stood alone.
const fishCommand = `function __dlock_command
	set -l tokens (commandline -opc)
	set -l mark (contains -i -- -- $tokens); or return
	set -e tokens[1..$mark]
	complete -C (string join ' ' -- (string escape -- $tokens) (commandline -ct))
end

`

var fishEscapes = strings.NewReplacer("\\", "\\\\", "'", "\\'")

func fishText(text string) string { return "'" + fishEscapes.Replace(firstSentence(text)) + "'" }
