package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// A job is a command to be run under a lock.
type job struct {
	url     string // of the store; empty for the default
	name    string // of the mutex
	try     bool
	wait    time.Duration // for the mutex; 0 is for as long as it takes
	command []string
}

// parseJob reads the arguments of dlock run. The command begins behind the first
// "--": without that mark a forgotten name would turn the command into one.
func parseJob(args []string) (job, error) {
	j := job{url: os.Getenv(urlVariable)}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("url", "", func(s string) error {
		if s == "" {
			return errors.New("it is empty")
		}
		j.url = s
		return nil
	})
	flags.BoolVar(&j.try, "n", false, "")
	flags.Func("w", "", func(s string) (err error) {
		j.wait, err = time.ParseDuration(s)
		if err != nil || j.wait <= 0 {
			return errors.New("not a duration such as 500ms, 10s or 5m")
		}
		return nil
	})

	before := args
	mark := slices.Index(args, "--")
	if mark >= 0 {
		before, j.command = args[:mark], args[mark+1:]
	}
	if err := flags.Parse(before); err != nil {
		return job{}, err
	}
	operands := flags.Args()
	if len(operands) > 0 {
		// Flags may stand behind the name, too.
		if err := flags.Parse(operands[1:]); err != nil {
			return job{}, err
		}
		j.name, operands = operands[0], flags.Args()
	}
	switch {
	case j.name == "":
		return job{}, errors.New("run needs the name of a lock")
	case mark < 0:
		return job{}, errors.New("run needs -- between the name and the command")
	case len(operands) > 0:
		return job{}, fmt.Errorf("run takes one name: %q is one too many", operands[0])
	case len(j.command) == 0:
		return job{}, errors.New("run needs a command behind --")
	case j.try && j.wait > 0:
		return job{}, errors.New("-n and -w exclude each other")
	}
	return j, nil
}
