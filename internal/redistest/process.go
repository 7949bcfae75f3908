package redistest

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// A process is one run of redis-server.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer  // read when it is over
	done   chan struct{} // closed by run when the process has ended
}

// launch starts redis-server.
func launch(args, env []string) (*process, error) {
	p := &process{cmd: exec.Command("redis-server", args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run keeps a thread to itself for as long as the process lives: the system ties
// the life of the process to that of the thread that started it.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	tie(p.cmd)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.cmd.Wait()
	}
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait reports whether the process ended in time.
func (p *process) wait(most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}
