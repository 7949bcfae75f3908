package redistest

import (
	"os/exec"
	"syscall"
)

// tie has the system kill the server when the thread that starts it ends.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
