// Dlock runs commands under locks that hold across processes and machines, and
// tells who holds them.
//
//	dlock run NAME -- COMMAND…
//	dlock status NAME
//	dlock inspect NAME
//
// See dlock help for the rest. All that it says of itself stands in manual.go.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	e := dispatch(os.Args[1:])
	if e.err != nil {
		say(e.err)
	}
	e.leave()
}

func dispatch(args []string) exit {
	if len(args) == 0 {
		return usage("there is no subcommand")
	}
	switch args[0] {
	case "-h", "-help", "--help":
		args[0] = "help"
	case "-version", "--version":
		args[0] = "version"
	case guardName:
		return standGuard(os.Stdin)
	}
	c, ok := find(args[0])
	if !ok {
		return usage("%q is not a subcommand", args[0])
	}
	e := c.call(args[1:])
	if errors.Is(e.err, errHelp) {
		return printText(c.helpText(), exit{})
	}
	return e
}

// call runs the subcommand.
func (c *subcommand) call(args []string) exit {
	switch c.name {
	case "run", "status", "inspect", "path":
		j, err := c.parseJob(args)
		if err != nil {
			return usage("%w", err)
		}
		if c.name == "run" {
			return j.run()
		}
		store, e := j.resolve()
		if store == nil {
			return e
		}
		switch c.name {
		case "status":
			return j.status(store)
		case "path":
			return j.path(store)
		}
		return j.inspect(store)
	}
	operands, command, err := c.parse(new(job), args)
	if err == nil && (command != nil || len(operands) > 1) {
		err = fmt.Errorf("%s takes no more than one argument", c.name)
	}
	if err != nil {
		return usage("%w", err)
	}
	operand := ""
	if len(operands) > 0 {
		operand = operands[0]
	}
	switch c.name {
	case "completion":
		return complete(operand)
	case "help":
		return printHelp(operand)
	}
	if operand != "" {
		return usage("version takes no argument")
	}
	return printText(fmt.Sprintf("dlock %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH), exit{})
}

func printHelp(topic string) exit {
	switch c, ok := find(topic); {
	case topic == "":
		return printText(overviewText(), exit{})
	case topic == "man":
		return printText(manPage(), exit{})
	case ok:
		return printText(c.helpText(), exit{})
	}
	return usage("there is no help on %q", topic)
}

func complete(shell string) exit {
	script, ok := shells[shell]
	if !ok {
		return usage("completion needs a shell: bash, zsh or fish")
	}
	return printText(script(), exit{})
}

// version returns the version of the module, as far as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
