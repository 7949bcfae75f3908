package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// errHelp is what a flag that asks for help says.
var errHelp = errors.New("help")

// parse reads arguments as those of getopt_long are read: -n, -nq, -w 5s, -w5s,
// --timeout 5s, --timeout=5s. Flags may stand behind operands, too. What begins
// behind the first "--" is the command: it is nil when there is no such mark.
func (c *subcommand) parse(j *job, args []string) (operands, command []string, err error) {
	if mark := slices.Index(args, "--"); mark >= 0 {
		args, command = args[:mark], args[mark+1:]
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case strings.HasPrefix(arg, "--"):
			name, value, glued := strings.Cut(arg[2:], "=")
			args, err = c.apply(j, "--"+name, value, glued, args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = c.applyShort(j, arg[1:], args)
		default:
			operands = append(operands, arg)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return operands, command, nil
}

// applyShort applies a bundle of short flags, the last of which may have a value.
func (c *subcommand) applyShort(j *job, bundle string, args []string) (rest []string, err error) {
	for bundle != "" && err == nil {
		_, n := utf8.DecodeRuneInString(bundle)
		flag := "-" + bundle[:n]
		bundle = bundle[n:]
		if o := c.option(flag); o != nil && o.value != "" {
			return c.apply(j, flag, bundle, bundle != "", args)
		}
		args, err = c.apply(j, flag, "", false, args)
	}
	return args, err
}

// apply applies one flag, with the value that is glued to it or, if it needs one
// and has none, the next argument.
func (c *subcommand) apply(j *job, flag, value string, glued bool, args []string) (rest []string, err error) {
	o := c.option(flag)
	switch {
	case o == nil:
		return nil, fmt.Errorf("%s has no flag %s", c.name, flag)
	case o.value == "" && glued:
		return nil, fmt.Errorf("%s takes no value", flag)
	case o.value != "" && !glued:
		if len(args) == 0 {
			return nil, fmt.Errorf("%s needs a value: %s %s", flag, flag, o.value)
		}
		value, args = args[0], args[1:]
	}
	if err := o.set(j, value); errors.Is(err, errHelp) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, value, err)
	}
	return args, nil
}

// option returns the option of a flag as it is written, or nil.
func (c *subcommand) option(flag string) *option {
	for i := range c.options {
		o := &c.options[i]
		if flag == "--"+o.long || slices.Contains(o.letters(), strings.TrimPrefix(flag, "-")) {
			return o
		}
	}
	return nil
}
