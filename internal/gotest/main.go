// Command gotest runs go test with its arguments, shows what go test shows, and says
// at the end which tests took longest.
//
// A few tests that failed beside others run again by themselves, several times. When
// they pass each time they are named as flaky, and do not fail the run: a machine was
// too busy for them. Nothing excuses a data race, a panic, or a package whose failure
// is not that of a test.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// listed is how many of the slowest tests are named.
const listed = 10

func main() {
	// Who interrupts go test interrupts the whole group. What it did until then is
	// shown all the same.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	code, err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	os.Exit(code)
}

// run runs go test with args and returns its exit code. An error is about running it
// and not about the tests.
func run(args []string, stdout, stderr io.Writer) (code int, err error) {
	s := newSession(stdout)
	code, err = s.run(args, stderr)
	if s.end(listed); code == 0 || err != nil {
		return code, err
	}
	again := s.again()
	for _, t := range again {
		s.show(fmt.Sprintf("\nAgain, %d times by itself: %s %s\n", repeats, t.pkg.name, t.name))
		alone := newSession(stdout)
		if code, err := alone.run(t.alone(args), stderr); code != 0 || err != nil {
			return code, err
		}
		if n := alone.passes(t); n != repeats { // go test is content when there is no such test
			s.show(fmt.Sprintf("It passed %d times\n", n))
			return code, nil
		}
	}
	if len(again) == 0 {
		return code, nil
	}
	s.show("\nFLAKY, as they failed beside others and not by themselves:\n")
	for _, t := range again {
		s.show(fmt.Sprintf("  %s %s\n", t.pkg.name, t.name))
	}
	return 0, nil
}

// run tells a session all about one go test.
func (s *session) run(args []string, stderr io.Writer) (code int, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	unread := read(events, s)
	_ = cmd.Wait() // its state says more
	if code = cmd.ProcessState.ExitCode(); code < 0 {
		code = 1 // ended by a signal
	}
	return code, unread
}

// read tells a session all events. What is no event is shown as it is.
func read(events io.Reader, s *session) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil:
			s.show(string(line))
		default:
			s.note(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
