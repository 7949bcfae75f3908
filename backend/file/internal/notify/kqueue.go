//go:build darwin || dragonfly || freebsd

package notify

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// Supported reports whether whoever waits can rely on being told. Rings come by kqueue here. That has been built but never been run by us, so it
// is not relied on: waiters poll as if it were not there.
const Supported = false

// New returns a watcher by kqueue, or a poller on a file system that other
// machines change unnoticed.
func New(local bool) Watcher {
	if !local {
		return newPoller()
	}
	kq, err := unix.Kqueue()
	if err != nil {
		return newPoller()
	}
	unix.CloseOnExec(kq)
	w := &kqueue{kq: kq}
	if w.user(unix.EV_ADD|unix.EV_CLEAR, 0) != nil {
		unix.Close(kq)
		return newPoller()
	}
	return w
}

// A kqueue watches tickets, of which there are as many as claims that wait. Each
// costs a descriptor: lock files are left to the heartbeats and polls.
type kqueue struct {
	kq int // closed by wait or close, whichever is last

	mu      sync.Mutex // guards what follows
	at      time.Time
	waiting bool
	done    bool

	// Owned by wait.
	events  [64]unix.Kevent_t
	notices []Notice
}

func (*kqueue) Exact() bool { return false }

func (*kqueue) Lack() error { return nil }

func (w *kqueue) Add(path string, what Attention) (Watch, bool) {
	if what != Writers {
		return 0, false
	}
	h, err := flock.Open(path, flock.ToRead)
	if err != nil {
		return 0, false
	}
	var e unix.Kevent_t
	unix.SetKevent(&e, int(h), unix.EVFILT_VNODE, unix.EV_ADD|unix.EV_CLEAR)
	e.Fflags = unix.NOTE_WRITE | unix.NOTE_DELETE
	if w.change(e) != nil {
		h.Close()
		return 0, false
	}
	return Watch(h), true
}

// Remove ends the watch with its descriptor, whose number may name another watch
// by the time that a late notice arrives: that one then looks in vain.
func (w *kqueue) Remove(id Watch) { flock.Handle(id).Close() }

func (w *kqueue) Until(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at = t; w.waiting {
		_ = w.user(0, unix.NOTE_TRIGGER)
	}
}

func (w *kqueue) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if w.done = true; w.waiting {
		_ = w.user(0, unix.NOTE_TRIGGER)
	} else {
		unix.Close(w.kq)
	}
}

func (w *kqueue) Wait() ([]Notice, error) {
	for {
		at, err := w.begin()
		if err != nil {
			return nil, err
		}
		var timeout *unix.Timespec // nil: never
		if !at.IsZero() {
			ts := unix.NsecToTimespec(max(0, time.Until(at).Nanoseconds()))
			timeout = &ts
		}
		n, err := unix.Kevent(w.kq, nil, w.events[:], timeout)
		if at, err := w.end(); err != nil {
			return nil, err
		} else if n == 0 && !at.IsZero() && !time.Now().Before(at) {
			return nil, nil
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		w.notices = w.notices[:0]
		for _, e := range w.events[:n] {
			if e.Filter != unix.EVFILT_VNODE {
				continue
			}
			kind := Closed
			if e.Fflags&unix.NOTE_DELETE != 0 {
				kind = Moved
			}
			w.notices = append(w.notices, Notice{Watch(e.Ident), kind})
		}
		if len(w.notices) > 0 {
			return w.notices, nil
		}
	}
}

// begin says that wait uses the queue, until end. They return when wait is to
// return, and an error when there is no more to wait for.
func (w *kqueue) begin() (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return time.Time{}, os.ErrClosed
	}
	w.waiting = true
	return w.at, nil
}

func (w *kqueue) end() (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting = false; w.done {
		unix.Close(w.kq)
		return time.Time{}, os.ErrClosed
	}
	return w.at, nil
}

// user changes the event by which until and close wake wait.
func (w *kqueue) user(flags int, fflags uint32) error {
	var e unix.Kevent_t
	unix.SetKevent(&e, 0, unix.EVFILT_USER, flags)
	e.Fflags = fflags
	return w.change(e)
}

func (w *kqueue) change(e unix.Kevent_t) error {
	for {
		if _, err := unix.Kevent(w.kq, []unix.Kevent_t{e}, nil, nil); err != unix.EINTR {
			return err
		}
	}
}
