//go:build unix

package pgtest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// detach keeps the signals of our terminal from a process.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// servant is the user as which servers run when we are root, or nil.
var servant = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("pgtest: Postgres is %w to root without a user to run it as: %w", ErrMissing, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
})

// become has a program run as the servant.
func become(cmd *exec.Cmd) error {
	c, err := servant()
	cmd.SysProcAttr.Credential = c
	return err
}

// give gives a file, or a directory with what is in it, to the servant.
func give(path string) error {
	c, err := servant()
	if c == nil || err != nil {
		return err
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(c.Uid), int(c.Gid))
	})
}

const (
	sigInt  = syscall.SIGINT
	sigQuit = syscall.SIGQUIT
	sigHup  = syscall.SIGHUP
	sigKill = syscall.SIGKILL
	sigStop = syscall.SIGSTOP
	sigCont = syscall.SIGCONT
)

type signalNumber = syscall.Signal

func signal(pid int, s signalNumber) error {
	return os.NewSyscallError("kill", syscall.Kill(pid, s))
}
