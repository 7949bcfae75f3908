package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// asNobody runs f with the rights of a user who owns nothing.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f() // with ours, which suffice to test with
		return
	}
	runtime.LockOSThread()
	// By the bare system call it concerns this thread alone.
	set := func(uid int) {
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0))
		if errno != 0 {
			t.Fatal(errno) // and the thread ends with the goroutine
		}
	}
	set(65534)
	f()
	set(0)
	runtime.UnlockOSThread()
}

// A right that is missing is an error at once, and what somebody has to change is
// named.
func TestDenied(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o777))
	old := unix.Umask(0)
	p := open(t, dir)
	unix.Umask(old)
	p.lock(t, mutex("mine")).release()
	path := file.Path(dir, backend.Mutex, "mine")
	must(t, os.Chmod(path, 0))
	p.lock(t, mutex("held")) // with an open queue
	asNobody(t, func() {
		q, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
		if err != nil {
			t.Error(err)
			return
		}
		defer q.Close(context.Background())
		op := mutex("mine")
		op.Do = backend.Acquire
		for _, wait := range []bool{false, true} {
			op.Owner++
			op.Wait = wait
			results, _, err := q.Apply(t.Context(), []backend.Op{op, {Do: backend.Release, Owner: op.Owner}})
			if err != nil {
				t.Error(err)
				return
			}
			r := results[0]
			if r.State != backend.Failed || !errors.Is(r.Err, backend.ErrDenied) || !errors.Is(r.Err, unix.EACCES) || !strings.Contains(r.Err.Error(), path) {
				t.Errorf("%+v", r)
			}
			if results[1].State != backend.Released {
				t.Errorf("%+v", results[1])
			}
		}
	})
	queues, err := filepath.Glob(filepath.Join(dir, ".dlock", "*.q"))
	if must(t, err); len(queues) > 0 {
		t.Errorf("left behind: %q", queues)
	}
	must(t, os.Chmod(path, 0o666))
	p.lock(t, mutex("mine")).release()
}

func TestOpenDenied(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o555))
	defer os.Chmod(dir, 0o755)
	var user string
	if os.Geteuid() == 0 {
		user = as(bob)
	}
	start(t, dir, "denied", user).expect("denied")
}

func init() { roles["denied"] = openDenied }

func openDenied() error {
	dir := os.Getenv(dirVariable)
	fmt.Println("ready")
	_, err := file.New(dir).Open(context.Background(), time.Second, backend.ClientInfo{})
	if !errors.Is(err, backend.ErrDenied) || !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), dir) {
		return fmt.Errorf("Open: %w", err)
	}
	fmt.Println("denied")
	return nil
}
