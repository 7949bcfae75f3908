//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// guardName is the first argument of a guard.
const guardName = "guard-of-dlock"

// A guard is a process that kills the process group of the command when dlock is killed.
// It is told by the end of a pipe, which no way to die can keep from it. The system's own
// means, the signal at a parent's death, exists on Linux alone and reaches the command but
// not its children.
//
// It is a shell, of which a tenth of a megabyte is its own, and where there is none a
// second dlock, of which one and a half are (of 11 that it has with the pages it shares).
type guard struct {
	cmd  *exec.Cmd
	line *os.File // to the guard
}

const (
	guardShell = "/bin/sh"
	// guardScript does what standGuard does. It has no environment, which could say
	// what else the words mean.
	guardScript = `trap "" HUP INT QUIT TERM; g=; while read -r l; do g=$l; done; case $g in ""|0|1|*[!0-9]*) ;; *) kill -9 -"$g";; esac`
)

// newGuard starts a guard, which has nothing to watch yet.
func newGuard() (*guard, error) {
	far, near, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a guard for the command: %w", err)
	}
	defer far.Close()
	cmd := exec.Command(guardShell, "-c", guardScript)
	cmd.Args[0], cmd.Env = guardName, []string{}
	start := func() error {
		cmd.Stdin = far
		// What is sent to the groups of dlock and of the command is not for it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd.Start()
	}
	if start() == nil {
		return &guard{cmd, near}, nil
	}
	path, err := self()
	if err == nil {
		cmd = exec.Command(path)
		cmd.Args = []string{"dlock", guardName}
		err = start()
	}
	if err != nil {
		near.Close()
		return nil, fmt.Errorf("a guard for the command: %w", err)
	}
	return &guard{cmd, near}, nil
}

// self returns a path of the running program, which may have been replaced since
// it was started.
func self() (string, error) {
	if runtime.GOOS == "linux" {
		if _, err := os.Stat("/proc/self/exe"); err == nil {
			return "/proc/self/exe", nil
		}
	}
	return os.Executable()
}

// watch has the guard kill a process group when dlock dies.
func (g *guard) watch(group int) {
	if g != nil {
		_, _ = fmt.Fprintln(g.line, group) // It fails if somebody has killed the guard.
	}
}

// dismiss ends the guard.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	g.line.Close()
}

// standGuard is what a guard does.
func standGuard(line io.Reader) exit {
	told, err := io.ReadAll(line)
	group, bad := strconv.Atoi(strings.TrimSpace(string(told)))
	switch {
	case err != nil:
		return exit{code: exitFailure, err: err}
	case len(told) == 0:
		return exit{} // There was no command yet.
	case bad != nil || group <= 1:
		return usage("%s is for dlock itself", guardName)
	}
	if err := unix.Kill(-group, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return exit{code: exitFailure, err: os.NewSyscallError("kill", err)}
	}
	return exit{}
}
