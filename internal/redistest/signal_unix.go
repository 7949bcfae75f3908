//go:build unix

package redistest

import "syscall"

func (p *process) terminate() { p.cmd.Process.Signal(syscall.SIGTERM) }
func (p *process) stop()      { p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) proceed()   { p.cmd.Process.Signal(syscall.SIGCONT) }
