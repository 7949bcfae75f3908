package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	filedriver "github.com/dlock-go/dlock/backend/file"
	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/job"
)

func init() {
	register(Maker{Name: "file", New: func() Store { return new(file) }, TTL: 2 * time.Second})
}

// file is a directory of lock files, on a small file system of its own where we
// may make one.
type file struct {
	Setup
	dir     string
	mounted bool
}

// bounds of the file backend, named before any run.
const (
	// fileNoticed is for how long one whose lock file was removed may not know.
	// The next holder locks a new file meanwhile.
	fileNoticed = time.Second
	// diskFull is for how long after a disk was full waits may be longer: that is
	// how long a coordinator pauses at most before it tries again.
	diskFull = 2 * time.Second
)

func (f *file) Start(_ context.Context, s Setup) error {
	f.Setup = s
	f.dir = filepath.Join(s.Dir, "locks")
	if err := os.Mkdir(f.dir, 0o777); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	f.mounted = unix.Mount("tmpfs", f.dir, "tmpfs", 0, "size=1m,nr_inodes=1k") == nil
	return errors.Join(os.Chown(f.dir, 0, job.Team), os.Chmod(f.dir, os.ModeSetgid|0o775))
}

// User makes every second worker another unprivileged user, where we may.
func (f *file) User(slot int) int {
	if os.Geteuid() != 0 || slot%2 == 0 {
		return 0
	}
	return job.Team + slot
}

func (f *file) URL(int) string { return "file://" + f.dir }

func (f *file) Promise(ttl time.Duration) check.Promise {
	return check.Promise{
		Caps:   backend.Caps{Queue: true, Notify: true, Fencing: true, Processes: true},
		Turns:  exact,
		Woken:  push,
		Signal: ttl/3 + push, // the next heartbeat
		Killed: atOnce,
	}
}

func (f *file) Faults(time.Duration) []fault.Kind {
	kinds := []fault.Kind{
		fault.Kill(time.Second),
		fault.Stop(time.Second),
		{Name: "delete lock file", Target: fault.Server, Overlap: fileNoticed, Recovery: time.Second, Takes: true, Inject: f.remove},
		{Name: "replace lock file", Target: fault.Server, Overlap: fileNoticed, Recovery: time.Second, Takes: true, Inject: f.replace},
	}
	kinds = append(kinds, fault.Kind{Name: "planted FIFO", Target: fault.Server, Recovery: time.Second, Inject: f.plant})
	if f.mounted {
		kinds = append(kinds, fault.Kind{Name: "disk full", Target: fault.Server, Recovery: diskFull, Inject: f.fill})
	}
	return kinds
}

func (f *file) path(name int) string { return filedriver.Path(f.dir, f.Class, job.Name(name)) }

func (f *file) remove(_ context.Context, x *fault.Injection) error {
	err := os.Remove(f.path(x.Name()))
	if errors.Is(err, os.ErrNotExist) {
		x.Note("it was not there")
		return nil
	}
	return err
}

func (f *file) replace(_ context.Context, x *fault.Injection) error {
	path := f.path(x.Name())
	// Outside the directory of the locks: there it would be a lock file, too.
	other := filepath.Join(f.dir, ".dlock", "replacement")
	if err := os.WriteFile(other, nil, 0o666); err != nil {
		x.Note("no room for another one")
		return nil
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chown(other, 0, job.Team), os.Chmod(other, 0o664)); err != nil {
			return err
		}
	}
	return os.Rename(other, path)
}

// plant puts FIFOs where sessions and those who wait leave their files.
func (f *file) plant(ctx context.Context, x *fault.Injection) error {
	internal := filepath.Join(f.dir, ".dlock")
	queue := filepath.Join(internal, filepath.Base(f.path(x.Name()))+".q")
	fifos := []string{
		filepath.Join(internal, "1.session"),
		filepath.Join(queue, "0000000000001.exclusive"),
		filepath.Join(queue, "0000000000002.shared"),
	}
	planted := 0
	for _, path := range fifos {
		if unix.Mkfifo(path, 0o666) == nil {
			planted++
		}
	}
	x.Note("%d of them", planted) // There may be no queue.
	x.Wait(ctx, x.Stretch(0.3, 1))
	for _, path := range fifos {
		_ = os.Remove(path)
	}
	_ = os.Remove(queue) // if it was only kept by them
	return nil
}

// fill leaves no room on the file system for a while: neither for data nor for
// names.
func (f *file) fill(ctx context.Context, x *fault.Injection) error {
	ballast := filepath.Join(f.dir, ".ballast")
	if err := os.Mkdir(ballast, 0o777); err != nil {
		x.Note("no room already: %v", err)
		return nil
	}
	defer os.RemoveAll(ballast)
	err := os.WriteFile(filepath.Join(ballast, "data"), make([]byte, 2<<20), 0o666)
	for n := 0; n < 2000 && (n == 0 || err == nil); n++ {
		err = os.WriteFile(filepath.Join(ballast, strconv.Itoa(n)), nil, 0o666)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("a disk that does not get full: %w", err)
	}
	x.Wait(ctx, x.Stretch(0.3, 1))
	return nil
}

// Leaks looks for tickets in queues, and for lock files that are still locked.
func (f *file) Leaks(context.Context) ([]string, error) {
	var leaks []string
	tickets, err := filepath.Glob(filepath.Join(f.dir, ".dlock", "*.q", "*"))
	if err != nil {
		return nil, err
	}
	for _, t := range tickets {
		if filepath.Base(t) != "turn" {
			leaks = append(leaks, "a ticket is left: "+t)
		}
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case e.IsDir() || e.Name() == ".ballast":
		case strings.HasPrefix(e.Name(), ".dlock-probe-"):
			leaks = append(leaks, "a probe is left: "+e.Name())
		default:
			if locked(filepath.Join(f.dir, e.Name())) {
				leaks = append(leaks, "a file is locked: "+e.Name())
			}
		}
	}
	if most := (f.Names + 2) * (f.Limit + 1); len(entries) > most {
		leaks = append(leaks, fmt.Sprintf("%d files for %d names", len(entries), f.Names))
	}
	return leaks, nil
}

func locked(path string) bool {
	h, err := os.Open(path)
	if err != nil {
		return false
	}
	defer h.Close()
	return errors.Is(unix.Flock(int(h.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

func (f *file) Stop() {
	if f.mounted {
		_ = unix.Unmount(f.dir, unix.MNT_DETACH)
	}
}
