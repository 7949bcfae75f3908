//go:build unix

package file_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// irregular is what others can put in the place of a file.
var irregular = map[string]func(path string) error{
	"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o666) },
	"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
	"dangling":  func(path string) error { return os.Symlink("/nowhere/at/all", path) },
	"link":      func(path string) error { return os.Symlink(os.Args[0], path) },
	"directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o755) },
}

// inTime fails unless f returns soon.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatalf("%s hangs", what)
	}
}

// What is no file is neither a session nor somebody who waits.
func TestPlantedPlaces(t *testing.T) {
	for name, plant := range irregular {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			queue := filepath.Join(dir, ".dlock", filepath.Base(file.Path(dir, backend.Mutex, "x"))+".q")
			must(t, os.MkdirAll(queue, 0o755))
			must(t, plant(filepath.Join(dir, ".dlock", "1.session")))
			must(t, plant(filepath.Join(queue, "0000000000001.exclusive")))
			must(t, plant(filepath.Join(queue, "0000000000002.shared")))
			must(t, plant(filepath.Join(queue, "turn")))
			must(t, plant(filepath.Join(dir, ".dlock-probe-1")))
			inTime(t, "a session", func() {
				p, q := open(t, dir), open(t, dir)
				a := p.try(mutex("x"))
				if a.State != backend.Granted {
					t.Errorf("state %d, %v", a.State, a.Err)
					return
				}
				b := q.queue(mutex("x"))
				holders, waiters, err := file.New(dir).Inspect(t.Context(), backend.Mutex, "x")
				if len(holders) != 1 || len(waiters) != 1 || err != nil {
					t.Errorf("%v, %v, %v", holders, waiters, err)
				}
				if err := errors.Join(a.release(), b.wait(), b.release()); err != nil {
					t.Error(err)
				}
				file.Sweep(p.session)
			})
		})
	}
}

// What is no file in the place of one that every session needs is an error at once,
// which names it.
func TestPlantedFiles(t *testing.T) {
	for name, plant := range irregular {
		for _, place := range []string{"lock", "clock", "format", "internal"} {
			if place == "internal" && name == "directory" {
				continue
			}
			t.Run(name+" as "+place, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := file.Path(dir, backend.Mutex, "x")
				switch place {
				case "clock", "format":
					path = filepath.Join(dir, ".dlock", place)
					must(t, os.Mkdir(filepath.Dir(path), 0o755))
				case "internal":
					path = filepath.Join(dir, ".dlock")
				}
				must(t, plant(path))
				inTime(t, "a session", func() {
					s, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
					if err == nil {
						defer s.Close(context.Background())
						op := mutex("x")
						op.Do, op.Owner = backend.Acquire, 1
						var results []backend.Result
						if results, _, err = s.Apply(t.Context(), []backend.Op{op}); err == nil {
							err = results[0].Err
						}
					}
					if !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), path) {
						t.Errorf("%v", err)
					}
					_, _, err = file.New(dir).Inspect(t.Context(), backend.Mutex, "x")
					if (err == nil) != (place == "lock" || place == "clock") {
						t.Errorf("Inspect: %v", err)
					}
				})
			})
		}
	}
}

// A link to another directory in the place of ours is not followed.
func TestInternalLink(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	must(t, os.Symlink(other, filepath.Join(dir, ".dlock")))
	s, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
	if !errors.Is(err, backend.ErrDenied) {
		t.Error(s, err)
	}
	if made, err := os.ReadDir(other); len(made) > 0 || err != nil {
		t.Error(made, err)
	}
}

// Nothing is written to a file that is known by another name elsewhere.
func TestHardLink(t *testing.T) {
	secret := []byte("secret")
	plant := func(t *testing.T, dir, path string) (precious string) {
		precious = filepath.Join(dir, "precious")
		must(t, os.WriteFile(precious, secret, 0o666))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.Link(precious, path))
		return precious
	}
	for _, place := range []string{"clock", "format", "semaphore", "ticket", "turn"} {
		t.Run(place, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			queueOf := func(class backend.Class) string {
				return filepath.Join(dir, ".dlock", filepath.Base(file.Path(dir, class, "x"))+".q")
			}
			path := filepath.Join(dir, ".dlock", place)
			switch place {
			case "semaphore":
				path = file.Path(dir, backend.Semaphore, "x")
			case "ticket":
				path = filepath.Join(queueOf(backend.Mutex), "0000000000001.exclusive")
			case "turn":
				path = filepath.Join(queueOf(backend.RWMutex), "turn")
			}
			precious := plant(t, filepath.Dir(dir), path)
			old := time.Now().Add(-time.Hour / 2).Truncate(time.Second)
			must(t, os.Chtimes(precious, old, old))
			if place == "ticket" { // of somebody who seems to be alive
				f, err := os.Open(precious)
				must(t, err)
				defer f.Close()
				must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
			}
			p, err := connect(file.New(dir))
			if err == nil {
				defer p.close()
				switch place {
				case "semaphore":
					a := p.try(semaphore("x", 1))
					if !errors.Is(a.Err, backend.ErrDenied) || !strings.Contains(a.Err.Error(), path) {
						t.Errorf("%+v", a.Result)
					}
				case "ticket":
					p.try(mutex("x")).is(t, backend.Busy)
					a := p.queue(mutex("x")).is(t, backend.Queued)
					must(t, a.release()) // rings who is first
				case "turn":
					q := open(t, dir)
					a := p.lock(t, write("x"))
					b, c := q.queue(write("x")), q.queue(read("x"))
					must(t, a.release())
					must(t, b.wait())
					must(t, b.release())
					must(t, c.wait())
				}
			} else if !errors.Is(err, backend.ErrDenied) && !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), path) {
				t.Error(err)
			}
			if now, err := os.ReadFile(precious); !bytes.Equal(now, secret) || err != nil {
				t.Errorf("%q, %v", now, err)
			}
			if info, err := os.Stat(precious); err != nil || !info.ModTime().Equal(old) {
				t.Error("the file was touched", err)
			}
		})
	}
}

// A presence file that is larger than any is not read to its end, and none that says nothing of
// use keeps others from being read.
func TestLargeBoard(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	p.lock(t, mutex("x"))
	for name, head := range map[string]string{"1": "{}\n", "2": "", "3": "no JSON\n"} {
		f, err := os.Create(filepath.Join(dir, ".dlock", name+".session"))
		must(t, err)
		defer f.Close()
		_, err = f.WriteString(head)
		must(t, err)
		must(t, f.Truncate(3<<30))
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	holders, _, err := file.New(dir).Inspect(t.Context(), backend.Mutex, "x")
	runtime.ReadMemStats(&after)
	if len(holders) != 1 || err != nil {
		t.Error(holders, err)
	}
	if most := uint64(8 << 20); after.TotalAlloc-before.TotalAlloc > most {
		t.Errorf("%d bytes for it, more than %d", after.TotalAlloc-before.TotalAlloc, most)
	}
}

// Whoever may only read the files can lock them, and keeps no session from beginning, and
// none from what he has not locked.
func TestReaderLocksAll(t *testing.T) {
	for _, remote := range []bool{false, true} {
		dir := t.TempDir()
		store := func() *file.Store {
			if remote {
				return file.Remote(file.New(dir))
			}
			return file.New(dir)
		}
		p, err := connect(store())
		must(t, err)
		t.Cleanup(p.close)
		p.lock(t, mutex("x")).release()
		must(t, filepath.WalkDir(filepath.Join(dir, ".dlock"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || remote && d.Name() == "clock" {
				return err
			}
			f, err := os.Open(path)
			if err == nil {
				t.Cleanup(func() { f.Close() })
				_ = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
			}
			return err
		}))
		inTime(t, "a session", func() {
			q, err := connect(store())
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(q.close)
			a := q.lock(t, mutex("y"))
			b := p.queue(mutex("y"))
			if err := errors.Join(a.release(), b.wait()); err != nil {
				t.Error(err)
			}
		})
	}
}
