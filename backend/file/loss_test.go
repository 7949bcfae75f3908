package file_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestLoss(t *testing.T) {
	remove := func(t *testing.T, path string) { must(t, file.Unlink(path)) }
	for _, test := range []struct {
		name string
		op   backend.Op
		file string // instead of the lock file
		harm func(t *testing.T, path string)
	}{
		{"unlinked", mutex("x"), "", remove},
		{"renamed", mutex("x"), "", func(t *testing.T, path string) { must(t, os.Rename(path, path+"~")) }},
		{"replaced", mutex("x"), "", func(t *testing.T, path string) {
			must(t, os.WriteFile(path+"~", nil, 0o666))
			if runtime.GOOS == "windows" { // where no file replaces one in use
				must(t, file.Unlink(path))
			}
			must(t, os.Rename(path+"~", path))
		}},
		{"directory removed", mutex("x"), "", func(t *testing.T, path string) { removeInUse(t, filepath.Dir(path)) }},
		{"directory renamed", mutex("x"), "", func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			must(t, os.Rename(dir, dir+"~"))
		}},
		{"read lock", read("x"), "", remove},
		{"write lock", write("x"), "", remove},
		{"semaphore", semaphore("x", 2), "", remove},
		{"ticket of a semaphore", semaphore("x", 2), ".0", remove},
	} {
		for _, remote := range []bool{false, true} {
			name := test.name
			if remote {
				name += ", unwatched"
			}
			t.Run(name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "locks")
				store := file.New(dir)
				if remote {
					store = file.Remote(store)
				}
				p, err := connect(store)
				must(t, err)
				t.Cleanup(p.close)
				a := p.lock(t, test.op)
				other := p.lock(t, mutex("other"))
				test.harm(t, file.Path(dir, test.op.Class, "x")+test.file)
				if !a.isLost() {
					t.Fatal("not told of the loss")
				}
				if _, err := os.Stat(file.Path(dir, backend.Mutex, "other")); err == nil {
					select {
					case <-other.lost:
						t.Error("another lock was lost, too")
					default:
					}
				}
				must(t, a.release())
				p.lock(t, test.op).release()
			})
		}
	}
}

// What does not concern the file is no loss.
func TestNoLoss(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	a := p.lock(t, mutex("x"))
	path := file.Path(dir, backend.Mutex, "x")
	must(t, os.Chmod(path, 0o600))
	must(t, os.Rename(path, path+"~"))
	<-a.lost // a later event than that of Chmod
	must(t, a.release())

	b := p.lock(t, mutex("y"))
	path = file.Path(dir, backend.Mutex, "y")
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte("mine"), 0o600))
	c := p.lock(t, mutex("z"))
	must(t, file.Unlink(file.Path(dir, backend.Mutex, "z")))
	<-c.lost
	select {
	case <-b.lost:
		t.Error("told of a loss when the file was written to")
	default:
	}
	p.try(mutex("y")).is(t, backend.Busy)
}

// Who waits goes on waiting when the files are removed, and gets the new ones.
func TestRemovalUnderWaiters(t *testing.T) {
	for _, what := range []string{"lock file", "queue", "all"} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			p, q := open(t, dir), open(t, dir)
			a := p.lock(t, mutex("x"))
			b := q.queue(mutex("x")).is(t, backend.Queued)
			switch what {
			case "lock file":
				must(t, file.Unlink(file.Path(dir, backend.Mutex, "x")))
			case "queue":
				removeInUse(t, filepath.Join(dir, ".dlock"))
				b.again()
				b.is(t, backend.Queued)
				must(t, a.release())
			case "all":
				removeInUse(t, dir)
			}
			for err := b.wait(); err != nil; err = b.wait() {
				// What was granted while the removal went on is lost as well.
				if what != "all" || !b.isLost() {
					t.Fatal(err)
				}
				must(t, b.release())
				b = q.queue(mutex("x"))
			}
			if what != "queue" && !a.isLost() {
				t.Error("two holders, and the first was not told")
			}
		})
	}
}

// removeInUse removes a directory, and skips the test where that cannot be.
func removeInUse(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps a directory as long as its files are open")
	}
	err := os.RemoveAll(dir)
	for range 100 { // who waits queues anew at once
		if err == nil {
			break
		}
		err = os.RemoveAll(dir)
	}
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
