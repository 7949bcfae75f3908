package main

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/chaos/job"
)

// become makes the process that of another user, who gives nobody any rights to what he
// makes.
func become(user int) error {
	if user == 0 {
		return nil
	}
	syscall.Umask(0o077)
	return errors.Join(
		syscall.Setgroups([]int{job.Team}), syscall.Setgid(user), syscall.Setuid(user),
		// These end with the change of user: that the process may look at itself, and
		// that it dies with the controller.
		unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0),
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0),
	)
}
