package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY returns the two ends of a pseudo-terminal.
func openPTY(t *testing.T) (keys, screen *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { keys.Close() })
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keys, screen
}

// Ctrl-C is sent to the command by the terminal; a second one from dlock would
// make many programs drop everything.
func TestInterruptOfATerminalComesOnce(t *testing.T) {
	keys, screen := openPTY(t)
	s := newStore(t)
	cmd := exec.Command(binary, "run", "--url", s.url(), "demo", "--", "sh", "-c", tattler)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close()
	watchdog := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer watchdog.Stop()

	// Two interrupts in a row may fall into one, so one key stroke proves little.
	const strokes = 10
	var heard []string
	for lines := bufio.NewScanner(keys); lines.Scan(); {
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "^C")
		heard = append(heard, line)
		if len(heard) <= strokes {
			if _, err := keys.Write([]byte{3}); err != nil { // Ctrl-C
				t.Fatal(err)
			}
		} else if len(heard) == strokes+1 {
			// dlock sees to signals in order: what it passes on of the
			// interrupts, it has passed on before this.
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := cmd.Wait()
	want := "ready" + strings.Repeat(" int", strokes) + " term"
	if got := strings.Join(heard, " "); got != want || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the command said %q and dlock ended with %v, want %q and 3", got, err, want)
	}
}
