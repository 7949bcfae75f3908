package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// The ioctls of fsfreeze(8).
const (
	freeze = 0xc0045877
	thaw   = 0xc0045878
)

// freezable returns a directory on a file system of its own.
func freezable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 32<<20))
	must(t, os.Mkdir(mount, 0o755))
	for _, args := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, mount}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system to freeze: %v: %s", err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			exec.Command("umount", "-l", mount).Run()
			t.Logf("umount: %v: %s", err, out)
		}
	})
	return filepath.Join(mount, "locks")
}

// On a file system that does not answer, all calls return when their ctx ends, and the
// rest of the process is not held up.
func TestFrozen(t *testing.T) {
	dir := freezable(t)
	url := file.New(dir).String()
	a, err := dlock.Open(t.Context(), url)
	must(t, err)
	b, err := dlock.Open(t.Context(), url)
	must(t, err)
	s, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
	must(t, err)
	hold, err := a.Mutex("x").Acquire(t.Context())
	must(t, err)

	// Another process ends the frost, whatever becomes of this one.
	spring := exec.Command(os.Args[0])
	spring.Env = append(os.Environ(), roleVariable+"=spring", dirVariable+"="+dir)
	end, err := spring.StdinPipe()
	must(t, err)
	must(t, spring.Start())
	f, err := os.Open(dir)
	must(t, err)
	defer f.Close()
	must(t, unix.IoctlSetInt(int(f.Fd()), freeze, 0))
	frozen := time.Now()

	short := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for _, test := range []struct {
		what string
		call func() error
	}{
		{"Open of the driver", func() error { _, err := file.New(dir).Open(short(), time.Second, backend.ClientInfo{}); return err }},
		{"Close of the driver", func() error { return s.Close(short()) }},
		{"Open", func() error { _, err := dlock.Open(short(), url); return err }},
		{"TryAcquire", func() error { _, err := b.Mutex("y").TryAcquire(short()); return err }},
		{"Release", func() error { return errors.Join(hold.Release(short()), context.DeadlineExceeded) }},
		{"Close", func() error { return b.Close(short()) }},
	} {
		inTime(t, test.what, func() {
			if err := test.call(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", test.what, err)
			}
		})
	}
	inTime(t, "the garbage collector", runtime.GC)
	if age := time.Since(frozen); age > frost {
		t.Errorf("all that took %v, as long as the frost", age)
	}
	must(t, end.Close())
	must(t, spring.Wait())
	must(t, a.Close(t.Context()))
	// What went on by itself comes to its end.
	c, err := dlock.Open(t.Context(), url)
	must(t, err)
	for _, name := range []string{"x", "y"} {
		h, err := c.Mutex(name).Acquire(t.Context())
		must(t, err)
		must(t, h.Release(t.Context()))
	}
	must(t, c.Close(t.Context()))
}

// frost is how long it lasts at most.
const frost = 15 * time.Second

func init() { roles["spring"] = spring }

func spring() error {
	f, err := os.Open(os.Getenv(dirVariable))
	if err != nil {
		return err
	}
	defer f.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		os.Stdin.Read(make([]byte, 1))
	}()
	select {
	case <-over:
	case <-time.After(frost):
	}
	if err := unix.IoctlSetInt(int(f.Fd()), thaw, 0); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}
