//go:build unix

package file_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// The tests run this binary again as other processes. Each opens the directory,
// says "ready", and plays its role; with its parent it talks in lines.
const (
	roleVariable = "DLOCK_FILE_TEST_ROLE"
	dirVariable  = "DLOCK_FILE_TEST_DIR"
	userVariable = "DLOCK_FILE_TEST_USER"
)

// team is the group of the users that processes can be.
const team = 4200

// become makes a process that of another user of the team, who gives nobody any rights
// to what he makes.
func become(user string) error {
	if user == "" {
		return nil
	}
	syscall.Umask(0o077)
	id, err := strconv.Atoi(user)
	if err != nil {
		return err
	}
	return errors.Join(syscall.Setgroups([]int{team}), syscall.Setgid(id), syscall.Setuid(id))
}

// as is what start is told to have the process be another user's.
func as(user int) string { return userVariable + "=" + strconv.Itoa(user) }

// roles are those that begin in a way of their own.
var roles = make(map[string]func() error)

// play runs one role to its end.
func play(role string) {
	if err := become(os.Getenv(userVariable)); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	if run := roles[role]; run != nil {
		if err := run(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("done")
		return
	}
	p, err := connect(file.New(os.Getenv(dirVariable)))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	switch role {
	case "locker":
		locker(p, in)
	case "counter":
		err = counter(p, in)
	case "inspector":
		err = inspector()
	case "spendthrift":
		err = spendthrift(p)
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	p.close()
	fmt.Println("done")
}

// locker takes the mutex "x" at "lock", says when it waits and when it has it,
// and gives it back at "unlock".
func locker(p *peer, in *bufio.Scanner) {
	var a *acquisition
	for in.Scan() {
		switch in.Text() {
		case "lock":
			a = p.queue(mutex("x"))
			before := cpu()
			for n := 0; ; n++ {
				if n == 0 {
					fmt.Println("state", a.State)
				}
				if err := a.wait(); err == nil {
					break
				}
			}
			fmt.Println("granted", a.Grant.Ordinal, (cpu() - before).Microseconds())
		case "unlock":
			a.release()
			fmt.Println("released")
		}
	}
}

// inspector looks who holds the mutex "x".
func inspector() error {
	holders, _, err := file.New(os.Getenv(dirVariable)).Inspect(context.Background(), backend.Mutex, "x")
	fmt.Println("holders", len(holders))
	return err
}

// countedTogether is after how many sections a counter says that it goes on.
const countedTogether = 50

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counter adds one to the file it is told, as often as it is told, under a lock. Now
// and then it says that it goes on.
func counter(p *peer, in *bufio.Scanner) error {
	in.Scan()
	path := in.Text()
	in.Scan()
	sections, err := strconv.Atoi(in.Text())
	if err != nil {
		return err
	}
	for i := range sections {
		a := p.queue(mutex("x"))
		if err := a.wait(); err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(b))
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(n+1)), 0o666); err != nil {
			return err
		}
		a.release()
		if (i+1)%countedTogether == 0 {
			fmt.Println("counted")
		}
	}
	return nil
}

// spendthrift uses up all descriptors that it may open.
func spendthrift(p *peer) error {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	use := func() error {
		for i := range 100 { // idle ones are closed to make room
			a := p.try(mutex("idle" + strconv.Itoa(i)))
			if a.State != backend.Granted {
				return a.Err
			}
			a.release()
		}
		return nil
	}
	if err := use(); err != nil {
		return err
	}
	a := p.try(mutex("contended"))
	if err := use(); err != nil {
		return err
	}
	b := p.queue(mutex("contended")) // needs room, too
	a.release()
	if err := b.wait(); err != nil {
		return fmt.Errorf("in the queue: %w", err)
	}
	b.release()
	var held []*acquisition
	for i := range 100 {
		a := p.try(mutex("held" + strconv.Itoa(i)))
		if a.State == backend.Granted {
			held = append(held, a)
			continue
		}
		if a.State != backend.Refused || !errors.Is(a.Err, syscall.EMFILE) || !strings.Contains(a.Err.Error(), os.Getenv(dirVariable)) {
			return fmt.Errorf("state %d: %w", a.State, a.Err)
		}
		held[0].release()
		a = p.try(mutex("another"))
		if a.State != backend.Granted {
			return a.Err
		}
		return nil
	}
	return errors.New("the limit did not hold")
}

// A process is another process.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.Writer
	out chan string // closed when the process has closed its end
}

func start(t testing.TB, dir, role string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role, dirVariable+"="+dir), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, in: in, out: make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.out)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.out <- s.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		<-done
		cmd.Wait()
	})
	p.expect("ready")
	return p
}

func (p *process) say(line string) { fmt.Fprintln(p.in, line) }

// expect waits for a line that begins as told, and returns the rest of it.
func (p *process) expect(want string) string {
	p.t.Helper()
	select {
	case line, ok := <-p.out:
		if rest, found := strings.CutPrefix(line, want); ok && found {
			return strings.TrimSpace(rest)
		}
		p.t.Fatalf("process said %q, want %q", line, want)
	case <-time.After(soon):
		p.t.Fatalf("process said nothing, want %q", want)
	}
	return ""
}

// lock has the process take the mutex, and returns the ordinal.
func (p *process) lock() uint64 {
	p.t.Helper()
	p.say("lock")
	p.expect("state 1")
	return p.granted()
}

// queue has the process wait for the mutex.
func (p *process) queue() {
	p.t.Helper()
	p.say("lock")
	p.expect("state 2")
}

func (p *process) granted() uint64 {
	p.t.Helper()
	n, err := strconv.ParseUint(strings.Fields(p.expect("granted"))[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *process) unlock() {
	p.t.Helper()
	p.say("unlock")
	p.expect("released")
}

// kill ends the process as nothing else does, without waiting for it.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
}
