package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// Who is not the first in the queue hears at once, and not by polling, that those before
// died: as holder, shortly after the grant, or when they had been woken and not yet been
// granted the lock.
func TestDeathBeforeTheNext(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		op      backend.Op
		granted bool // before it dies
	}{
		{"as holder", mutex("x"), true},
		{"once it was woken", mutex("x"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			a := open(t, dir).lock(t, test.op)
			b := start(t, dir, "locker")
			b.queue()
			p, q := open(t, dir), open(t, dir)
			c, d := p.queue(test.op).is(t, backend.Queued), q.queue(test.op).is(t, backend.Queued)
			if !test.granted {
				must(t, b.cmd.Process.Signal(syscall.SIGSTOP))
			}
			must(t, a.release())
			if test.granted {
				b.granted()
			}
			file.WithoutPolls(p.session)
			file.WithoutPolls(q.session)
			b.kill()
			must(t, c.wait())
			file.WithoutPolls(q.session)
			must(t, c.release())
			must(t, d.wait())
		})
	}
}

// Who may not write to the ticket of another user, or not look into the queue, wakes him
// all the same.
func TestTicketThatCannotBeRung(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o644, 0o600, 0} {
		dir := sharedDir(t, 0, team, os.ModeSetgid|0o775)
		a := start(t, dir, "locker", as(alice))
		a.lock()
		p := open(t, dir)
		b := p.queue(mutex("x")).is(t, backend.Queued)
		tickets, err := filepath.Glob(filepath.Join(dir, ".dlock", "*.q", "*.exclusive"))
		if len(tickets) != 1 || err != nil {
			t.Fatal(tickets, err)
		}
		if mode == 0 {
			must(t, os.Chown(filepath.Dir(tickets[0]), 0, 0))
			must(t, os.Chmod(filepath.Dir(tickets[0]), 0o700))
		} else {
			must(t, os.Chown(tickets[0], 0, team))
			must(t, os.Chmod(tickets[0], mode))
		}
		// Of that change it has heard by then. If not, this finds less.
		for range 40 {
			file.WithoutPolls(p.session)
			time.Sleep(5 * time.Millisecond)
		}
		a.unlock()
		must(t, b.wait())
	}
}

// A session that never waits needs no inotify instance. One that does hears from then on
// of the loss of all that it holds.
func TestInotifyWhenNeeded(t *testing.T) {
	dir := t.TempDir()
	p, q := open(t, dir), open(t, dir)
	x, y := p.lock(t, mutex("x")), p.lock(t, semaphore("y", 3))
	q.lock(t, mutex("z"))
	if q.try(mutex("x")).State != backend.Busy || file.Hears(p.session) || file.Hears(q.session) {
		t.Error("an instance, although nobody waits")
	}
	p.queue(mutex("z")).is(t, backend.Queued)
	if !file.Hears(p.session) || file.Hears(q.session) {
		t.Error("who waits has an instance, and nobody else")
	}
	must(t, file.Unlink(file.Path(dir, backend.Mutex, "x")))
	must(t, file.Unlink(file.Path(dir, backend.Semaphore, "y")+".0"))
	if !x.isLost() || !y.isLost() {
		t.Error("a loss that nobody is told of")
	}
}

// Where inotify is used up at the beginning, or in the middle, who waits polls. Each
// session says that once.
func TestInotifyExhausted(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t, 0, team, os.ModeSetgid|0o775)
	cmd := exec.Command(os.Args[0])
	// A user of whom there is no other process.
	cmd.Env = append(os.Environ(), roleVariable+"=exhausted", dirVariable+"="+dir, as(4300+os.Getpid()%10000))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %s%s", err, out, &stderr)
	}
}

func init() { roles["exhausted"] = exhausted }

func exhausted() error {
	p, err := connect(file.New(os.Getenv(dirVariable)))
	if err != nil {
		return err
	}
	defer p.close()
	// One that waits before there is nothing left, to be watched further.
	a := p.queue(mutex("early"))
	b := p.queue(mutex("early"))
	for {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err == unix.EMFILE {
			break
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
	}
	for range 2 {
		q, err := connect(file.New(os.Getenv(dirVariable)))
		if err != nil {
			return err
		}
		defer q.close()
		c, d := q.queue(mutex("x")), q.queue(mutex("x"))
		if d.State != backend.Queued || file.Hears(q.session) {
			return fmt.Errorf("state %d, hears: %v", d.State, file.Hears(q.session))
		}
		select {
		case why := <-q.notices:
			if !strings.Contains(why.Error(), "inotify instance") {
				return why
			}
		case <-time.After(20 * time.Second):
			return errors.New("nothing is said")
		}
		if err := errors.Join(c.release(), d.wait(), d.release()); err != nil {
			return err
		}
		if len(q.notices) > 0 {
			return fmt.Errorf("said again: %w", <-q.notices)
		}
	}
	return errors.Join(a.release(), b.wait())
}

// A release synchronizes before the next grant also where the two are of different
// sessions of the process. The race detector looks.
func TestHappensBefore(t *testing.T) {
	for _, op := range []backend.Op{mutex("x"), write("x"), semaphore("x", 1)} {
		dir := t.TempDir()
		var shared int
		var wg sync.WaitGroup
		for range 2 {
			p := open(t, dir)
			wg.Go(func() {
				for range 20 {
					a := p.queue(op)
					if err := a.wait(); err != nil {
						t.Error(err)
						return
					}
					shared++
					a.release()
				}
			})
		}
		wg.Wait()
		if shared != 40 {
			t.Error(shared)
		}
	}
}

// A lock file whose inode was used again after it was closed for want of descriptors is
// watched as any other.
func TestInodeUsedAgain(t *testing.T) {
	dir := t.TempDir()
	path := file.Path(dir, backend.Mutex, "x")
	inode := func() uint64 {
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		return st.Ino
	}
	for range 100 {
		p := open(t, dir)
		a := p.lock(t, mutex("x"))
		b := p.queue(mutex("x")).is(t, backend.Queued) // from now on it is watched
		must(t, b.release())
		must(t, a.release())
		before := inode()
		file.Rest(p.session)
		must(t, os.Remove(path))
		must(t, os.WriteFile(path, nil, 0o666))
		if inode() != before {
			p.close()
			continue
		}
		c := p.lock(t, mutex("x"))
		must(t, os.Remove(path))
		if !c.isLost() {
			t.Error("the loss is not noticed")
		}
		return
	}
	t.Skip("this file system does not use an inode again at once")
}

// Who holds a lock hears at once, and not by a heartbeat, that the directory was moved
// away, if anybody of his process has waited.
func TestDirectoryMovedAway(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "locks")
		s, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
		must(t, err)
		defer s.Close(context.Background())
		owner := uint64(0)
		apply := func(op backend.Op) uint64 {
			owner++
			op.Do, op.Owner = backend.Acquire, owner
			_, _, err := s.Apply(t.Context(), []backend.Op{op})
			must(t, err)
			return owner
		}
		wait := mutex("x")
		wait.Wait = true
		apply(mutex("x"))
		apply(wait) // which begins to listen
		held := apply(mutex("y"))
		if again { // for the directory that came in the place of the first
			must(t, os.Rename(dir, dir+"-1"))
			must(t, os.Mkdir(dir, 0o777))
			file.Idle(s, 1)
			held = apply(mutex("z"))
		}
		must(t, os.Rename(dir, dir+"~"))
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		for lost := false; !lost; {
			events, err := s.Recv(ctx)
			if err != nil {
				t.Fatalf("again: %v: the loss is not noticed: %v", again, err)
			}
			for _, e := range events {
				lost = lost || e.Kind == backend.EventLost && e.Owner == held
			}
		}
		cancel()
	}
}
