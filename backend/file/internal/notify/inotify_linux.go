package notify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Supported reports whether whoever waits can rely on being told.
const Supported = true

// New returns a watcher by inotify, or a poller on a file system that
// other machines change unnoticed.
func New(local bool) Watcher {
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
	notices []Notice
}

func (w *inotify) Exact() bool { return w.file.Load() != nil }

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

func (w *inotify) Lack() error {
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
	w.poller.Until(time.Now()) // to have wait read it
	return true
}

func (w *inotify) Add(path string, what Attention) (Watch, bool) {
	if w.file.Load() == nil && (what != Writers || !w.begin()) {
		return 0, false
	}
	// A removal shows as IN_ATTRIB (of the link count) while the file is open
	// somewhere, and as IN_DELETE_SELF after that.
	mask := uint32(unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_CLOSE_WRITE | unix.IN_DONT_FOLLOW)
	switch what {
	case Everybody:
		mask |= unix.IN_CLOSE_NOWRITE
	case Nobody:
		mask = unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
	}
	for {
		switch wd, err := unix.InotifyAddWatch(w.fd, path, mask); err {
		case nil:
			return Watch(wd), true
		case unix.EINTR:
		case unix.ENOSPC, unix.ENOMEM:
			w.lacks.watches.why = fmt.Errorf("no inotify watch is left: whoever waits polls, which takes longer (see fs.inotify.max_user_watches): %w", err)
			return 0, false
		default:
			return 0, false
		}
	}
}

func (w *inotify) Remove(id Watch) {
	_, _ = unix.InotifyRmWatch(w.fd, uint32(id)) // it may have ended with its file
}

func (w *inotify) Until(t time.Time) {
	if f := w.file.Load(); f != nil {
		_ = f.SetReadDeadline(t)
		return
	}
	w.poller.Until(t)
}

func (w *inotify) Close() {
	w.poller.Close()
	if f := w.file.Load(); f != nil {
		_ = f.Close()
	}
}

func (w *inotify) Wait() ([]Notice, error) {
	f := w.file.Load()
	if f == nil {
		return w.poller.Wait()
	}
	n, err := f.Read(w.buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil
	case errors.Is(err, os.ErrClosed):
		return nil, os.ErrClosed
	case err != nil:
		return nil, err
	}
	w.notices = w.notices[:0]
	for b := w.buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		// The event is {wd int32, mask, cookie, len uint32}, then len bytes of name.
		id := Watch(int32(binary.NativeEndian.Uint32(b[0:])))
		mask := binary.NativeEndian.Uint32(b[4:])
		name := binary.NativeEndian.Uint32(b[12:])
		b = b[unix.SizeofInotifyEvent+int(name):]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			w.notices = append(w.notices, Notice{Kind: Lapsed})
		case mask&unix.IN_IGNORED != 0:
			w.notices = append(w.notices, Notice{id, Ended})
		case mask&(unix.IN_CLOSE_WRITE|unix.IN_CLOSE_NOWRITE) != 0:
			w.notices = append(w.notices, Notice{id, Closed})
		default:
			w.notices = append(w.notices, Notice{id, Moved})
		}
	}
	return w.notices, nil
}
