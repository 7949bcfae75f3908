//go:build unix

package file_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestOpenErrors(t *testing.T) {
	base := t.TempDir()
	plain := filepath.Join(base, "plain")
	must(t, os.WriteFile(plain, nil, 0o666))
	occupied := filepath.Join(base, "occupied")
	must(t, os.MkdirAll(occupied, 0o777))
	must(t, os.WriteFile(filepath.Join(occupied, ".dlock"), nil, 0o666))
	before := descriptors(t)
	for _, test := range []struct {
		name, dir, want string
		is              error
	}{
		{"path is a file", plain, plain, backend.ErrDenied},
		{"parent is a file", filepath.Join(plain, "dir"), plain, backend.ErrDenied},
		{"not writable, even for root", "/proc/1", "/proc/1", os.ErrNotExist},
		{"no such directory can be made", "/proc/no/such", "/proc/no", os.ErrNotExist},
		{"internal directory is a file", occupied, filepath.Join(occupied, ".dlock"), backend.ErrDenied},
		{"name with NUL", "a\x00b", "a\x00b", backend.ErrDenied},
		{"too long", filepath.Join(base, strings.Repeat("x", 300)), base, backend.ErrDenied},
		{"empty", "", "directory", backend.ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := file.New(test.dir).Open(t.Context(), time.Second, backend.ClientInfo{})
			if err == nil {
				s.Close(t.Context())
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: does not name %s", err, test.want)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("%v: is not %v", err, test.is)
			}
		})
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func TestOpenPermissions(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o555))
	if _, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{}); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

// descriptors counts the open files of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(names)
}

func TestAcquireErrors(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	must(t, os.Mkdir(file.Path(dir, backend.Mutex, "directory"), 0o777))
	must(t, os.Symlink("/etc/passwd", file.Path(dir, backend.Mutex, "link")))
	must(t, os.WriteFile(filepath.Join(dir, ".dlock", filepath.Base(file.Path(dir, backend.Mutex, "queue"))+".q"), nil, 0o666))
	before := descriptors(t)
	for _, test := range []struct {
		name string
		op   backend.Op
		is   error
	}{
		{"lock file is a directory", mutex("directory"), syscall.EISDIR},
		{"lock file is a link", mutex("link"), syscall.ELOOP},
		{"queue is a file", mutex("queue"), syscall.ENOTDIR},
		{"empty name", mutex(""), backend.ErrName},
		{"limit 0", semaphore("x", 0), backend.ErrLimit},
		{"no class", backend.Op{Name: "x", Mode: backend.Exclusive}, backend.ErrUnsupported},
		{"no mode", backend.Op{Name: "x", Class: backend.RWMutex}, backend.ErrUnsupported},
		{"shared mutex", backend.Op{Name: "x", Class: backend.Mutex, Mode: backend.Shared}, backend.ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, wait := range []bool{false, true} {
				test.op.Wait = wait
				a := p.begin(test.op).is(t, backend.Failed)
				if !errors.Is(a.Err, test.is) {
					t.Errorf("%v, want %v", a.Err, test.is)
				}
				if _, ok := test.is.(syscall.Errno); ok && (!strings.Contains(a.Err.Error(), dir) || !errors.Is(a.Err, backend.ErrDenied)) {
					t.Errorf("%v: does not name the path, or is not ErrDenied", a.Err)
				}
				must(t, a.release())
			}
		})
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	p.lock(t, mutex("x"))
}

func TestParentBecomesFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	p := open(t, dir)
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o666))
	a := p.try(mutex("x")).is(t, backend.Failed)
	if !errors.Is(a.Err, syscall.ENOTDIR) || !strings.Contains(a.Err.Error(), dir) {
		t.Error(a.Err)
	}
	must(t, os.Remove(dir))
	p.lock(t, mutex("x"))
}

func TestTooManyOpenFiles(t *testing.T) {
	p := start(t, t.TempDir(), "spendthrift")
	p.expect("done")
}

func TestClosed(t *testing.T) {
	before := descriptors(t)
	s, err := file.New(t.TempDir()).Open(t.Context(), time.Second, backend.ClientInfo{})
	must(t, err)
	received := make(chan error)
	go func() {
		_, err := s.Recv(context.Background())
		received <- err
	}()
	ops := []backend.Op{mutex("x"), read("x"), read("x"), semaphore("x", 9), mutex("y")}
	for i := range ops {
		ops[i].Do, ops[i].Owner = backend.Acquire, uint64(i+1)
	}
	_, _, err = s.Apply(t.Context(), ops)
	must(t, err)
	must(t, s.Close(t.Context()))
	if err := <-received; !errors.Is(err, backend.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrClosed) {
		t.Error(err)
	}
	for _, ops := range [][]backend.Op{nil, ops} {
		if _, _, err := s.Apply(t.Context(), ops); !errors.Is(err, backend.ErrClosed) {
			t.Error(err)
		}
	}
	must(t, s.Close(t.Context()))
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func TestRecvEndsWithContext(t *testing.T) {
	for _, store := range []*file.Store{file.New(t.TempDir()), file.Remote(file.New(t.TempDir()))} {
		s, err := store.Open(t.Context(), time.Second, backend.ClientInfo{})
		must(t, err)
		defer s.Close(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := s.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
}

// A program that is started while a lock is held does not go on holding it.
func TestChildDoesNotInherit(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	p.lock(t, mutex("x"))
	p.lock(t, semaphore("x", 1))
	child := exec.Command("sleep", "60")
	must(t, child.Start())
	defer child.Wait()
	defer child.Process.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, p.session.Close(ctx)) // closes the files and does not unlock them
	q := open(t, dir)
	q.try(mutex("x")).is(t, backend.Granted)
	q.try(semaphore("x", 1)).is(t, backend.Granted)
}
