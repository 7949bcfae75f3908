// Package process has the processes that take part: how the harness starts them and
// tells them what to do, and what they do about it. They are this program again,
// so that each contestant has a heap, a scheduler and a processor time of its own.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/testbed"
	"github.com/dlock-go/dlock/bench/workload"
)

// variable has this program take part. It has an order in it.
const variable = "DLOCK_BENCH_PROCESS"

// An order tells a process what it is part of.
type order struct {
	Contestant string
	Testbed    *testbed.Testbed
	Profile    string // where it writes a profile of its CPU, or ""
}

// A Process is a process that takes part, seen from the harness.
type Process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan answer // sent and closed by listen
}

type answer struct {
	sample *workload.Sample
	err    error
}

// Start starts a process and returns when it is ready. It is killed when ctx ends.
func Start(ctx context.Context, c *contestant.Contestant, w *testbed.Testbed, profile string) (*Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o, err := json.Marshal(order{c.ID, w, profile})
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.CommandContext(ctx, exe), answers: make(chan answer, 1)}
	p.cmd.Env = append(os.Environ(), variable+"="+string(o))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(out)
	if _, err := p.Await(time.Minute); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Process) listen(out io.Reader) {
	defer close(p.answers)
	for d := json.NewDecoder(out); ; {
		s := new(workload.Sample)
		if err := d.Decode(s); err != nil {
			p.answers <- answer{err: errors.New("the process ended")}
			return
		}
		p.answers <- answer{sample: s}
	}
}

// Tell gives the process a job.
func (p *Process) Tell(j workload.Job) error { return json.NewEncoder(p.in).Encode(j) }

// Await returns what the process brings back from its job.
func (p *Process) Await(patience time.Duration) (*workload.Sample, error) {
	select {
	case a, ok := <-p.answers:
		switch {
		case !ok:
			return nil, errors.New("the process is over")
		case a.err != nil:
			return nil, a.err
		case a.sample.Failure != "":
			return nil, errors.New(a.sample.Failure)
		}
		return a.sample, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("no answer in %v", patience)
	}
}

// Kill kills the process.
func (p *Process) Kill() error { return p.cmd.Process.Kill() }

// Close ends the process: it is asked to, and then made to.
func (p *Process) Close() {
	_ = p.in.Close()
	late := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	for range p.answers { // Until it is over, for Wait closes the pipe.
	}
	_ = p.cmd.Wait()
	late.Stop()
}
