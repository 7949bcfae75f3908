package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("dlock", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot mount a file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if s, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{}); !errors.Is(err, unix.EROFS) || !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), dir) {
		t.Error(s, err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("dlock", dir, "tmpfs", 0, "size=256k,nr_inodes=24"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	fill := func() string {
		path := filepath.Join(dir, "ballast")
		f, err := os.Create(path)
		must(t, err)
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		return path
	}

	ballast := fill()
	s, err := file.New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
	if !errors.Is(err, unix.ENOSPC) || errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), dir) {
		t.Fatal(s, err)
	}
	must(t, os.Remove(ballast))
	p := open(t, dir)

	ballast = fill()
	a := p.try(semaphore("x", 2)).is(t, backend.Refused) // has something to write
	if !errors.Is(a.Err, unix.ENOSPC) || !strings.Contains(a.Err.Error(), dir) {
		t.Error(a.Err)
	}
	must(t, os.Remove(ballast))
	p.lock(t, semaphore("x", 2))

	var inodes []string
	for {
		f, err := os.CreateTemp(dir, "inode")
		if err != nil {
			break
		}
		f.Close()
		inodes = append(inodes, f.Name())
	}
	before := descriptors(t)
	a = p.queue(mutex("y")).is(t, backend.Refused)
	if !errors.Is(a.Err, unix.ENOSPC) || !strings.Contains(a.Err.Error(), dir) {
		t.Error(a.Err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	for _, path := range inodes {
		must(t, os.Remove(path))
	}
	p.lock(t, mutex("y")).release()
}

// Locks do not depend on what is written for people.
func TestFullDiskInspect(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("dlock", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	p := open(t, dir)
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	const n = 200 // more than the presence file has room for
	for i := range n {
		p.try(mutex(strconv.Itoa(i))).is(t, backend.Granted)
	}
	must(t, os.Remove(ballast))
	for late := time.After(soon); ; {
		told := 0
		for i := range n {
			holders, _, err := file.New(dir).Inspect(t.Context(), backend.Mutex, strconv.Itoa(i))
			must(t, err)
			told += len(holders)
		}
		if told == n {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-late:
			t.Fatalf("%d of %d are told", told, n)
		}
	}
}
