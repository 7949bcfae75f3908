//go:build unix

package file_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// flock runs flock(1), and skips the test where there is none.
func flock(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("flock(1) is not installed")
	}
	return exec.Command(path, args...)
}

// locked reports whether flock(1) finds the file locked.
func locked(t *testing.T, path string, args ...string) bool {
	t.Helper()
	err := flock(t, append([]string{"-n"}, append(args, path, "true")...)...).Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return err != nil
}

func TestFlockFindsOurLocks(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	for _, test := range []struct {
		op        backend.Op
		path      string
		shareable bool // by flock -s
	}{
		{mutex("x"), file.Path(dir, backend.Mutex, "x"), false},
		{write("x"), file.Path(dir, backend.RWMutex, "x"), false},
		{read("x"), file.Path(dir, backend.RWMutex, "x"), true},
		{semaphore("x", 2), file.Path(dir, backend.Semaphore, "x") + ".0", false},
		{semaphore("x", 2), file.Path(dir, backend.Semaphore, "x"), true},
	} {
		a := p.lock(t, test.op)
		if !locked(t, test.path) {
			t.Errorf("%s is not locked", test.path)
		}
		if got := locked(t, test.path, "-s"); got == test.shareable {
			t.Errorf("%s: locked in shared mode: %v", test.path, got)
		}
		a.release()
		if locked(t, test.path) {
			t.Errorf("%s is still locked", test.path)
		}
	}
}

// Whatever way flock(1) gives a lock back, a waiter here gets it.
func TestWaitForFlock(t *testing.T) {
	for _, test := range []struct {
		name   string
		script string // $0 is flock, $1 the file
	}{
		{"exit", `exec "$0" "$1" sh -c 'echo locked; read x'`},
		{"unlock and stay", `exec 9<>"$1"; "$0" 9; echo locked; read x; "$0" -u 9; read y`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			p := open(t, dir)
			path := file.Path(dir, backend.Mutex, "x")
			cmd := exec.Command("sh", "-c", test.script, flock(t).Path, path)
			in, _ := cmd.StdinPipe()
			out, _ := cmd.StdoutPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer in.Close()
			if _, err := out.Read(make([]byte, len("locked\n"))); err != nil {
				t.Fatal(err)
			}
			p.try(mutex("x")).is(t, backend.Busy)
			a := p.queue(mutex("x")).is(t, backend.Queued)
			in.Write([]byte("\n"))
			begin := time.Now()
			if err := a.wait(); err != nil {
				t.Fatal(err)
			}
			t.Logf("granted after %v", time.Since(begin))
		})
	}
}

// A stranger who locks a semaphore's file keeps all of it.
func TestFlockOfSemaphore(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	p.lock(t, semaphore("x", 2)).release()
	f, err := os.Open(file.Path(dir, backend.Semaphore, "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := flock(t, "-n", "3")
	cmd.ExtraFiles = []*os.File{f} // locks what we both have open
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	p.try(semaphore("x", 2)).is(t, backend.Busy)
	a := p.queue(semaphore("x", 2)).is(t, backend.Queued)
	f.Close()
	if err := a.wait(); err != nil {
		t.Fatal(err)
	}
}

// Who holds a lock by flock(1) is told, with its process, and is told from ours.
func TestInspectFlock(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell who has locked a file")
	}
	dir := t.TempDir()
	p := open(t, dir)
	host, _ := os.Hostname()
	for _, test := range []struct {
		class backend.Class
		args  []string
		mode  backend.Mode
	}{
		{backend.Mutex, nil, backend.Exclusive},
		{backend.RWMutex, []string{"-s"}, backend.Shared},
	} {
		path := file.Path(dir, test.class, "x")
		cmd := flock(t, append(test.args, path, "sh", "-c", "echo locked; read x; true")...)
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, len("locked\n"))); err != nil {
			t.Fatal(err)
		}
		holders, waiters, err := file.New(dir).Inspect(t.Context(), test.class, "x")
		must(t, err)
		if len(holders) != 1 || len(waiters) > 0 || holders[0] != (backend.Participant{
			ClientInfo: backend.ClientInfo{Host: host, PID: cmd.Process.Pid}, Mode: test.mode,
		}) {
			t.Errorf("%v: %+v, %+v", test.class, holders, waiters)
		}
		in.Close()
		must(t, cmd.Wait())
		if holders, _, err = file.New(dir).Inspect(t.Context(), test.class, "x"); len(holders) > 0 || err != nil {
			t.Errorf("%v: %+v, %v", test.class, holders, err)
		}
	}

	// A session that has just locked the file, and not yet said so, is none of them.
	p.lock(t, mutex("y"))
	boards, err := filepath.Glob(filepath.Join(dir, ".dlock", "*.session"))
	must(t, err)
	for _, b := range boards {
		text, err := os.ReadFile(b)
		must(t, err)
		f, err := os.OpenFile(b, os.O_WRONLY, 0)
		must(t, err)
		defer f.Close()
		head := int64(bytes.IndexByte(text, '\n') + 1)
		_, err = f.WriteAt(make([]byte, len(text)-int(head)), head)
		must(t, err)
	}
	if holders, _, err := file.New(dir).Inspect(t.Context(), backend.Mutex, "y"); len(boards) != 1 || len(holders) > 0 || err != nil {
		t.Errorf("%d boards: %+v, %v", len(boards), holders, err)
	}
}
