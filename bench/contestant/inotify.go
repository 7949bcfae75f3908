package contestant

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/bench/testbed"
)

var flockInotify = &Contestant{
	ID: "inotify", Title: "flock(2) and inotify", Store: File, Role: Floor, Only: []string{"handoff"},
	Says: "what it takes to hand over in order, and nothing else: who unlocks closes a file that the next one watches",
	open: func(_ context.Context, w *testbed.Testbed) (Locks, error) {
		dir := filepath.Join(w.Dir, "inotify")
		return &bells{dir: dir}, os.MkdirAll(dir, 0o700)
	},
}

// bells is a directory of lock files, and beside each a directory of bells.
type bells struct {
	dir   string
	mu    sync.Mutex
	files []*bellFile
}

func (l *bells) Mutex(name string) Lock {
	path := filepath.Join(l.dir, name)
	f := &bellFile{path: path, bells: path + ".bells", fd: -1}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, f)
	return f
}

// Close is called when nobody uses a lock any more.
func (l *bells) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		f.close()
	}
}

// A bellFile is rung by its bell once it has waited, in the order of the bells. It
// manages no crash, and nobody who goes away: who was not rung looks by itself now and
// then.
type bellFile struct {
	path, bells string
	fd          int
	handed      bool     // it has rung the next, and is not to overtake it
	bell        string   // the name of its file in bells, or "" before it has waited
	ear         *os.File // hears the bell
	buf         [unix.SizeofInotifyEvent * 64]byte
}

func (l *bellFile) Lock() error {
	if l.fd < 0 {
		fd, err := unix.Open(l.path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return os.NewSyscallError("open", err)
		}
		l.fd = fd
	}
	for {
		if l.handed {
			if err := l.wait(); err != nil {
				return err
			}
		}
		err := unix.Flock(l.fd, unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK {
			return os.NewSyscallError("flock", err)
		}
		l.handed = true
	}
}

// wait returns when the bell was rung, or after a while.
func (l *bellFile) wait() error {
	if l.ear == nil {
		if err := l.hang(); err != nil {
			return err
		}
	}
	if err := l.ear.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := l.ear.Read(l.buf[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// hang makes the bell.
func (l *bellFile) hang() error {
	if err := os.MkdirAll(l.bells, 0o700); err != nil {
		return err
	}
	l.bell = strconv.Itoa(os.Getpid()) // One goroutine of a process waits at a time.
	path := filepath.Join(l.bells, l.bell)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("inotify_init", err)
	}
	l.ear = os.NewFile(uintptr(fd), path)
	_, err = unix.InotifyAddWatch(fd, path, unix.IN_CLOSE_WRITE)
	return os.NewSyscallError("inotify_add_watch", err)
}

func (l *bellFile) Unlock() error {
	next, err := l.next()
	if err != nil {
		return err
	}
	l.handed = next != ""
	if err := unix.Flock(l.fd, unix.LOCK_UN); err != nil || !l.handed {
		return os.NewSyscallError("flock", err)
	}
	fd, err := unix.Open(next, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	return os.NewSyscallError("close", unix.Close(fd))
}

func (l *bellFile) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
	if l.ear != nil {
		l.ear.Close()
	}
}

// next returns the bell that follows its own, or "" when there is no other.
func (l *bellFile) next() (string, error) {
	entries, err := os.ReadDir(l.bells)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		return "", nil
	}
	i, mine := slices.BinarySearch(names, l.bell)
	if mine {
		i++
	}
	if next := names[i%len(names)]; next != l.bell {
		return filepath.Join(l.bells, next), nil
	}
	return "", nil
}
