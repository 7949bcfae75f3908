package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A process is the running command. It is in a job object, as its children are,
// and all of these end together.
type process struct {
	changed chan os.Signal // closed when it has ended
	exit    exit           // set before that
	job     windows.Handle
}

// startProcess starts a command. What is bound ends with dlock: the system closes
// the job then.
func startProcess(cmd *exec.Cmd, _ chan<- os.Signal, bound bool) (*process, exit) {
	job, err := newJobObject(bound)
	if err != nil {
		return nil, exit{code: exitFailure, err: err}
	}
	if err := cmd.Start(); err != nil {
		windows.CloseHandle(job)
		return nil, unusable(err)
	}
	p := &process{changed: make(chan os.Signal), job: job}
	// A child that the command starts before this is not in the job.
	assigned := cmd.Process.WithHandle(func(handle uintptr) {
		err = windows.AssignProcessToJobObject(job, windows.Handle(handle))
	})
	if err = errors.Join(assigned, err); err != nil && cmd.Process.Kill() == nil {
		_ = cmd.Wait()
		windows.CloseHandle(job)
		return nil, exit{code: exitFailure, err: os.NewSyscallError("AssignProcessToJobObject", err)}
	}
	go p.wait(cmd)
	return p, exit{}
}

// newJobObject returns a job object, which ends with its handle if it is bound.
func newJobObject(bound bool) (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateJobObject", err)
	}
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	if bound {
		info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	if err != nil {
		windows.CloseHandle(job)
		return 0, os.NewSyscallError("SetInformationJobObject", err)
	}
	return job, nil
}

func (p *process) wait(cmd *exec.Cmd) {
	defer close(p.changed)
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		p.exit = exit{code: exitFailure, err: err}
	} else {
		p.exit = exit{code: cmd.ProcessState.ExitCode()}
	}
}

// look tells how the command has ended.
func (p *process) look() (exit, bool) { return p.exit, true }

// pass does nothing: a console sends its events to all that run in it.
func (p *process) pass(os.Signal) {}

// terminate ends the command and its children. Windows has no way to ask.
func (p *process) terminate() { p.kill() }

func (p *process) kill() { _ = windows.TerminateJobObject(p.job, exitFailure) }

// linger does nothing: the children have ended with the command.
func (p *process) linger(time.Time) {}

// close leaves what the command has left behind to itself, as elsewhere.
func (p *process) close() {
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	_, _ = windows.SetInformationJobObject(p.job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	windows.CloseHandle(p.job)
}

// catch returns a channel of the console's events. They end dlock as long as
// there is no command.
func catch() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals
}

func interruptGroup() {}

// guardName is no argument: the system sees to what a guard does elsewhere.
const guardName = "guard-of-dlock"

func standGuard(io.Reader) exit { return usage("there are no guards on Windows") }

// terminalWidth reports whether f is a console. Lines are not replaced on it.
func terminalWidth(f *os.File) (columns int, ok bool) {
	var mode uint32
	return 0, windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}

// behind reports that a console belongs to all that run in it.
func behind(*os.File) bool { return false }

// reap does nothing: nobody is left as a zombie here.
func (*process) reap() {}

// ending reports whether a signal is for dlock to end.
func ending(os.Signal) bool { return true }
