package file

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
)

const canNotify = true

// newWatcher returns a watcher by inotify, or a poller on a file system that
// other machines change unnoticed, and when the user has no inotify instance left.
func newWatcher(local bool) watcher {
	if !local {
		return newPoller()
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return newPoller()
	}
	// Non-blocking, hence read by way of the runtime's poller: a deadline and
	// Close end a Read that waits.
	return &inotify{fd: fd, file: os.NewFile(uintptr(fd), "inotify")}
}

type inotify struct {
	fd   int // of file, whose Fd method would make it blocking
	file *os.File

	// Owned by wait.
	buf     [4096]byte // many events: those of files bear no names
	notices []notice
}

func (*inotify) exact() bool { return true }

func (w *inotify) add(path string, what attention) (watch, bool) {
	// A removal shows as IN_ATTRIB (of the link count) while the file is open
	// somewhere, and as IN_DELETE_SELF after that.
	mask := uint32(unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_CLOSE_WRITE | unix.IN_DONT_FOLLOW)
	if what == everybody {
		mask |= unix.IN_CLOSE_NOWRITE
	}
	for {
		switch wd, err := unix.InotifyAddWatch(w.fd, path, mask); err {
		case nil:
			return watch(wd), true
		case unix.EINTR:
		default:
			return 0, false
		}
	}
}

func (w *inotify) remove(id watch) {
	_, _ = unix.InotifyRmWatch(w.fd, uint32(id)) // it may have ended with its file
}

func (w *inotify) until(t time.Time) { _ = w.file.SetReadDeadline(t) }

func (w *inotify) close() { _ = w.file.Close() }

func (w *inotify) wait() ([]notice, error) {
	n, err := w.file.Read(w.buf[:])
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
		case mask&unix.IN_IGNORED != 0: // a watch has ended
		case mask&(unix.IN_CLOSE_WRITE|unix.IN_CLOSE_NOWRITE) != 0:
			w.notices = append(w.notices, notice{id, closed})
		default:
			w.notices = append(w.notices, notice{id, moved})
		}
	}
	return w.notices, nil
}
