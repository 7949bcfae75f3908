package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
)

const canNotify = true

// newWatcher returns a watcher by inotify, or a poller on a file system that
// other machines change unnoticed.
func newWatcher(local bool) watcher {
	if !local {
		return newPoller()
	}
	return &inotify{poller: newPoller()}
}

// An inotify is a poller at first, for the system has few instances for each user, and
// most sessions never wait. It stays one while there is no instance left.
type inotify struct {
	*poller
	file atomic.Pointer[os.File] // set once, by add
	fd   int                     // of file, whose Fd method would make it blocking
	// What there was none left of, and whether that was told.
	lacks struct{ instances, watches shortage }

	// Owned by wait.
	buf     [4096]byte // many events: those of files bear no names
	notices []notice
}

func (w *inotify) exact() bool { return w.file.Load() != nil }

// A shortage is one of something that the system has few of.
type shortage struct {
	why  error
	told bool
}

// take returns why there is a shortage when it is first asked.
func (s *shortage) take() error {
	if s.told || s.why == nil {
		return nil
	}
	s.told = true
	return s.why
}

func (w *inotify) lack() error {
	if why := w.lacks.instances.take(); why != nil {
		return why
	}
	return w.lacks.watches.take()
}

// begin makes the watcher one. It is tried again for everybody who waits.
func (w *inotify) begin() bool {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		w.lacks.instances.why = fmt.Errorf("no inotify instance is left: whoever waits polls, which takes longer (see fs.inotify.max_user_instances): %w", err)
		return false
	}
	w.fd = fd
	// Non-blocking, hence read by way of the runtime's poller: a deadline and
	// Close end a Read that waits.
	w.file.Store(os.NewFile(uintptr(fd), "inotify"))
	w.poller.until(time.Now()) // to have wait read it
	return true
}

func (w *inotify) add(path string, what attention) (watch, bool) {
	if w.file.Load() == nil && (what != writers || !w.begin()) {
		return 0, false
	}
	// A removal shows as IN_ATTRIB (of the link count) while the file is open
	// somewhere, and as IN_DELETE_SELF after that.
	mask := uint32(unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_CLOSE_WRITE | unix.IN_DONT_FOLLOW)
	switch what {
	case everybody:
		mask |= unix.IN_CLOSE_NOWRITE
	case nobody:
		mask = unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
	}
	for {
		switch wd, err := unix.InotifyAddWatch(w.fd, path, mask); err {
		case nil:
			return watch(wd), true
		case unix.EINTR:
		case unix.ENOSPC, unix.ENOMEM:
			w.lacks.watches.why = fmt.Errorf("no inotify watch is left: whoever waits polls, which takes longer (see fs.inotify.max_user_watches): %w", err)
			return 0, false
		default:
			return 0, false
		}
	}
}

func (w *inotify) remove(id watch) {
	_, _ = unix.InotifyRmWatch(w.fd, uint32(id)) // it may have ended with its file
}

func (w *inotify) until(t time.Time) {
	if f := w.file.Load(); f != nil {
		_ = f.SetReadDeadline(t)
		return
	}
	w.poller.until(t)
}

func (w *inotify) close() {
	w.poller.close()
	if f := w.file.Load(); f != nil {
		_ = f.Close()
	}
}

func (w *inotify) wait() ([]notice, error) {
	f := w.file.Load()
	if f == nil {
		return w.poller.wait()
	}
	n, err := f.Read(w.buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil
	case errors.Is(err, os.ErrClosed):
		return nil, backend.ErrClosed
	case err != nil:
		return nil, err
	}
	w.notices = w.notices[:0]
	for b := w.buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		// The event is {wd int32, mask, cookie, len uint32}, then len bytes of name.
		id := watch(int32(binary.NativeEndian.Uint32(b[0:])))
		mask := binary.NativeEndian.Uint32(b[4:])
		name := binary.NativeEndian.Uint32(b[12:])
		b = b[unix.SizeofInotifyEvent+int(name):]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			w.notices = append(w.notices, notice{kind: lapsed})
		case mask&unix.IN_IGNORED != 0:
			w.notices = append(w.notices, notice{id, ended})
		case mask&(unix.IN_CLOSE_WRITE|unix.IN_CLOSE_NOWRITE) != 0:
			w.notices = append(w.notices, notice{id, closed})
		default:
			w.notices = append(w.notices, notice{id, moved})
		}
	}
	return w.notices, nil
}
