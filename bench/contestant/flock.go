package contestant

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/bench/testbed"
)

var bareFlock = &Contestant{
	ID: "flock", Title: "bare flock(2)", Store: File, Role: Floor, Holds: mostFiles, Waits: mostThreads,
	Says: "open, flock and close as system calls, which block a thread",
	open: func(_ context.Context, w *testbed.Testbed) (Locks, error) {
		dir := filepath.Join(w.Dir, "flock")
		return flocks(dir), os.MkdirAll(dir, 0o700)
	},
}

// Of one process. Each file that is held is a descriptor, of which systems let a
// process have 20 000 or more, and each wait for a file is a thread.
const (
	mostFiles   = 15_000
	mostThreads = 1_000
)

// flocks is a directory of lock files.
type flocks string

func (l flocks) Mutex(name string) Lock { return &flockFile{path: filepath.Join(string(l), name)} }
func (l flocks) Close()                 {}

type flockFile struct {
	path string
	fd   int
}

func (l *flockFile) Lock() error {
	if err := l.open(); err != nil {
		return err
	}
	for {
		err := unix.Flock(l.fd, unix.LOCK_EX)
		if err != unix.EINTR { // Go's scheduler sends signals.
			return os.NewSyscallError("flock", err)
		}
	}
}

func (l *flockFile) TryLock() (bool, error) {
	if err := l.open(); err != nil {
		return false, err
	}
	switch err := unix.Flock(l.fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, l.Unlock()
	default:
		return false, os.NewSyscallError("flock", err)
	}
}

func (l *flockFile) open() (err error) {
	l.fd, err = unix.Open(l.path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	return os.NewSyscallError("open", err)
}

// Unlock needs no LOCK_UN: the lock goes with the only descriptor of its file.
func (l *flockFile) Unlock() error { return os.NewSyscallError("close", unix.Close(l.fd)) }
