// Dlock runs commands under locks that hold across processes and machines.
//
//	dlock run [--url URL] [-n] [-w DURATION] NAME -- COMMAND…
//
// It takes the mutex NAME, runs COMMAND, gives the mutex back and exits as the
// command did. See dlock help for the rest.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

const help = `dlock runs commands under locks that hold across processes and machines.

  dlock run [--url URL] [-n] [-w DURATION] NAME -- COMMAND…
      Wait for the mutex NAME, run COMMAND while holding it, give it back.

      --url URL     the store that keeps the lock: file:///DIR, file:RELATIVE/DIR
                    or, for trying things out, memory:. Without it $DLOCK_URL,
                    and without that .local/state/dlock in the user's home
                    directory (AppData\Local\dlock on Windows)
      -n            do not wait: exit 75 if the mutex is held
      -w DURATION   wait at most that long, such as 500ms, 10s or 5m, then exit 75

  dlock help        print this text
  dlock version     print the version

Signals that ask dlock to end (INT, TERM, HUP, QUIT) or tell it something (USR1,
USR2) reach the command; while dlock still waits they end it. If the lock is lost
while the command runs, or dlock is killed on Linux, the command gets TERM.

The exit code is the command's own, 128 + N if signal N ended it, or
  64   dlock was called wrongly        126  the command cannot be executed
  69   the store is out of reach       127  the command was not found
  75   the mutex is busy or was not had in time
`

func main() {
	e := dispatch(os.Args[1:])
	if e.err != nil {
		say(e.err)
	}
	os.Exit(e.code)
}

func dispatch(args []string) exit {
	if len(args) == 0 {
		return usage("there is no subcommand")
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "run":
		return run(rest)
	case "help", "-h", "-help", "--help":
		return printHelp()
	case "version", "-version", "--version":
		fmt.Printf("dlock %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exit{}
	default:
		return usage("%q is not a subcommand", verb)
	}
}

func printHelp() exit {
	fmt.Print(help)
	return exit{}
}

// version returns the version of the module, as far as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
