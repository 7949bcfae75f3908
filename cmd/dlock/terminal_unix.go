//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// A terminal is the one that controls dlock. Its keys go to one process group,
// that in the foreground; a process of another one that reads from it is stopped.
//
// The command has a process group of its own, so that signals can be sent to all
// of it and to nobody else. So dlock does for it what a shell does for a job: it
// puts the command in the foreground, and when the command is stopped, it stops
// itself, for its shell to notice.
type terminal struct{ file *os.File }

// openTerminal returns the terminal, or nil where there is none.
func openTerminal() *terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return &terminal{f}
}

// foreground returns the process group in the foreground, or 0.
func foreground(f *os.File) int {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// ours reports whether the terminal sends its keys to dlock's process group.
func (t *terminal) ours() bool { return t != nil && foreground(t.file) == unix.Getpgrp() }

// has reports whether the terminal sends its keys to a group.
func (t *terminal) has(group int) bool { return t != nil && foreground(t.file) == group }

// piped reports whether dlock is part of a pipeline. There the command begins
// without the terminal: another part, such as a pager, may want it. It gets it
// when it asks for it.
func piped() bool { return foreground(os.Stdin) == 0 || foreground(os.Stdout) == 0 }

// give puts a process group in the foreground.
func (t *terminal) give(group int) {
	// Who is not in the foreground itself is stopped for asking, and for
	// writing to some terminals.
	signal.Ignore(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(int(t.file.Fd()), unix.TIOCSPGRP, group)
}

// takeBack puts dlock's process group in the foreground in the place of group. It
// reports whether that was there.
func (t *terminal) takeBack(group int) bool {
	had := t.has(group)
	if had {
		t.give(unix.Getpgrp())
	}
	return had
}

// terminalWidth reports whether f is a terminal, and how many columns it has, or 0
// if no line can be replaced on it.
func terminalWidth(f *os.File) (columns int, ok bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	switch term := os.Getenv("TERM"); {
	case term == "" || term == "dumb":
		return 0, true
	case size.Col == 0:
		return width, true // one that does not know
	}
	return int(size.Col), true
}

// behind reports whether f is a terminal that another process group works on.
func behind(f *os.File) bool {
	group := foreground(f)
	return group != 0 && group != unix.Getpgrp()
}
