package file

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// A janitor removes files that have been idle for long, a few at a time. Every
// session has one, and they do not mind each other.
type janitor struct {
	dir  string
	open *os.File // the directory that is being swept, or nil
	todo []string // the directories after it
	next time.Time
}

const (
	// idleFor is how long a file is left alone after its last use. It is well
	// above markEvery, by which the last use may be too old on record.
	idleFor = time.Hour
	// sweepEvery is the time between two sweeps.
	sweepEvery = time.Hour
	// sweepFiles is how many files one call of work looks at.
	sweepFiles = 256
	// glanceFiles is how many files glance looks at, of at most glanceAmong. A session
	// that ends soon has used few, so the idle ones do not become more.
	glanceFiles = 64
	glanceAmong = 4096
)

// work goes on with the sweep, or begins one if it is time.
func (j *janitor) work(now time.Time) {
	if j.open == nil && len(j.todo) == 0 {
		if now.Before(j.next) {
			return
		}
		j.next = now.Add(sweepEvery)
		j.todo = []string{filepath.Join(j.dir, internalDir), j.dir} // the smaller one first
	}
	if j.open == nil {
		dir, err := os.Open(j.todo[0])
		j.todo = j.todo[1:]
		if err != nil {
			return
		}
		j.open = dir
	}
	entries, err := j.open.ReadDir(sweepFiles)
	for _, e := range entries {
		path := filepath.Join(j.open.Name(), e.Name())
		if isPresence(e.Name()) {
			alive(path) // at any age
		} else if info, err := e.Info(); err == nil && idle(info.ModTime(), now) {
			sweep(path, now)
		}
	}
	if err != nil { // io.EOF, as a rule
		j.stop()
	}
}

// glance looks at a few files of those that are still to be swept, by chance, in place
// of a session that ends before it comes to them: where all sessions are short, as
// those of a command are, nobody else would.
func (j *janitor) glance(now time.Time) {
	if len(j.todo) == 0 {
		return
	}
	dir, err := os.Open(j.todo[len(j.todo)-1])
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(glanceAmong)
	dir.Close()
	rand.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	for _, name := range names[:min(len(names), glanceFiles)] {
		path := filepath.Join(dir.Name(), name)
		if info, err := os.Lstat(path); err == nil && idle(info.ModTime(), now) {
			sweep(path, now)
		}
	}
}

// stop ends the sweep of a directory.
func (j *janitor) stop() {
	if j.open != nil {
		j.open.Close()
		j.open = nil
	}
}

func idle(used, now time.Time) bool { return now.Sub(used) > idleFor }

// sweep removes what was left at path, unless it is in use or not ours.
func sweep(path string, now time.Time) {
	switch name := filepath.Base(path); {
	case isLockFile(name):
		removeIdle(path, now)
	case strings.HasSuffix(name, queueSuffix) && isLockFile(strings.TrimSuffix(name, queueSuffix)):
		queue{path}.remove()
	case strings.HasPrefix(name, flock.AsidePrefix):
		_ = os.Remove(path)
	}
}

// removeIdle removes a lock file that nobody uses. Those who have it open notice,
// when they next lock it, that the path names another file.
func removeIdle(path string, now time.Time) {
	h, err := flock.Open(path, flock.Existing)
	if err != nil {
		return
	}
	defer h.Close()
	if ok, err := h.TryLock(); !ok || err != nil {
		return
	}
	// It is ours, and may have been used, or replaced, until just now.
	id, used, err := h.Identity()
	if err != nil || !idle(used, now) {
		return
	}
	if current, err := flock.IdentityAt(path); err == nil && current == id {
		_ = flock.Unlink(path)
	}
}
