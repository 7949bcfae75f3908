package run

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/journal"
	"github.com/dlock-go/dlock/chaos/store"
)

// A process is one worker process.
type process struct {
	check.Process
	cmd  *exec.Cmd
	in   io.WriteCloser
	held chan struct{} // closed when the process holds what it was told to

	gathered chan struct{} // closed when its crowd is there
	log      *os.File
	journal  string
	done     chan struct{} // closed by wait
	err      error         // of Wait, once done is closed
}

// start starts a worker process. It dies with us.
func start(exe, dir string, number int, j job.Job) (*process, error) {
	p := &process{
		Process: check.Process{Slot: j.Slot, Prober: j.Probe > 0, Handoff: j.Handoff},
		journal: filepath.Join(dir, fmt.Sprintf("%03d.journal", number)),
		done:    make(chan struct{}),
		held:    make(chan struct{}),

		gathered: make(chan struct{}),
	}
	j.Journal = p.journal
	arg, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	if p.log, err = os.Create(filepath.Join(dir, fmt.Sprintf("%03d.log", number))); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(exe, string(arg))
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.cmd.Stdout = &hearer{"gathered\n": p.gathered, "held\n": p.held}
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
	defer p.log.Close()
	p.Begin = journal.Now()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// tell gives the process a line. A process that is gone does not hear it.
func (p *process) tell(line string) { _, _ = io.WriteString(p.in, line+"\n") }

// kill ends the process at once.
func (p *process) kill() {
	select {
	case <-p.done:
		return // It has ended by itself: that is not our doing.
	default:
	}
	p.Killed = journal.Now()
	_ = p.cmd.Process.Kill()
	<-p.done
}

// finish waits for the process to end by itself. One that does not is made to
// tell where it hangs.
func (p *process) finish(within time.Duration) {
	select {
	case <-p.done:
	case <-time.After(within):
		p.Failed = fmt.Sprintf("it did not end within %v", within)
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
	if p.err != nil {
		p.Failed = strings.TrimPrefix(p.Failed+", ", ", ") + p.err.Error() + ": " + p.lastWords()
	}
}

// lastWords returns the end of what the process has logged, or the begin of what
// it said when it crashed.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	s := string(b)
	for _, crash := range []string{"panic:", "fatal error:", "SIGQUIT"} {
		if i := strings.Index(s, crash); i >= 0 {
			return s[i:min(len(s), i+2000)]
		}
	}
	return s[max(0, len(s)-300):]
}

// A team is the worker processes of a run. It implements [fault.Workers].
type team struct {
	exe, dir string
	job      func(slot int) job.Job

	mu     sync.Mutex
	all    []*process
	slots  []*process // who is in them at present
	kills  int
	errs   []error
	closed bool
}

// newTeam starts the workers of a store. What they have in common is base.
func newTeam(exe, dir string, slots int, s store.Store, base job.Job) *team {
	t := &team{exe: exe, dir: dir, slots: make([]*process, slots), job: func(slot int) job.Job {
		j := base
		j.Slot, j.URL = slot, s.URL(slot)
		if u, ok := s.(store.Users); ok {
			j.User = u.User(slot)
		}
		if slot%2 == 1 {
			j.Handoff = 5 * time.Millisecond // The others keep to the order of the store.
		}
		return j
	}}
	for slot := range slots {
		t.hire(slot)
	}
	return t
}

// hire starts a process in a slot.
func (t *team) hire(slot int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	j := t.job(slot)
	j.Seed += uint64(len(t.all)) << 32 // Who takes a slot does not do the same again.
	p, err := start(t.exe, t.dir, len(t.all), j)
	if err != nil {
		t.errs = append(t.errs, err)
		return
	}
	t.all = append(t.all, p)
	t.slots[slot] = p
}

func (t *team) at(slot int) *process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slots[slot]
}

// Kill implements [fault.Workers]. Every second one is told before to hold something that
// others want; it need not succeed.
func (t *team) Kill(slot int) {
	p := t.at(slot)
	t.mu.Lock()
	t.kills++
	odd := t.kills%2 == 1
	t.mu.Unlock()
	if odd {
		p.tell("hold")
		select {
		case <-p.held:
			time.Sleep(wanted)
		case <-p.done:
		case <-time.After(4 * time.Second):
		}
	}
	p.kill()
	t.hire(slot)
}

// wanted is how long those who wait for what is held are given, some of whom wait for a
// moment only.
const wanted = 50 * time.Millisecond

// A hearer closes a channel for each line that a process says for the first time. A line
// is one write.
type hearer map[string]chan struct{}

func (h *hearer) Write(b []byte) (int, error) {
	for line, said := range *h {
		if strings.Contains(string(b), line) {
			close(said)
			delete(*h, line)
		}
	}
	return len(b), nil
}

// Stop implements [fault.Workers].
func (t *team) Stop(slot int) { _ = t.at(slot).cmd.Process.Signal(syscall.SIGSTOP) }

// Continue implements [fault.Workers].
func (t *team) Continue(slot int) { _ = t.at(slot).cmd.Process.Signal(syscall.SIGCONT) }

// Slot implements [fault.Workers].
func (t *team) Slot(pid int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for slot, p := range t.slots {
		if p.cmd.Process.Pid == pid {
			return slot
		}
	}
	return -1
}

// rest has all processes begin nothing new. None is started any more.
func (t *team) rest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, p := range t.slots {
		p.tell("rest")
	}
}

// drain has all processes come to an end.
func (t *team) drain(within time.Duration) {
	t.mu.Lock()
	slots := t.slots
	t.closed = true
	t.mu.Unlock()
	for _, p := range slots {
		p.tell("drain")
	}
	deadline := time.Now().Add(within)
	for _, p := range slots {
		p.finish(max(time.Until(deadline), time.Second))
	}
}

// end leaves no process behind.
func (t *team) end() {
	for _, p := range t.all {
		select {
		case <-p.done:
		default:
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}
