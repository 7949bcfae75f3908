package file_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// Two users of the team.
const alice, bob = 4201, 4202

// sharedDir returns a directory with that group and those rights.
func sharedDir(t *testing.T, owner, group int, mode os.FileMode) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be several users")
	}
	top := t.TempDir()
	for dir := top; dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	dir := filepath.Join(top, "locks")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chown(dir, owner, group))
	must(t, os.Chmod(dir, mode))
	return dir
}

// Users with the strictest umask take turns in a directory that they share, and root with
// the owner of one that is not shared.
func TestUsersShareDirectory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		owner, group int
		mode         os.FileMode
		first        string
		second       string
	}{
		{"by its group", 0, team, os.ModeSetgid | 0o775, as(alice), as(bob)},
		{"by its group without setgid", alice, team, 0o770, as(alice), as(bob)},
		{"with all", 0, 0, os.ModeSticky | 0o777, as(alice), as(bob)},
		{"root and a user", 0, team, os.ModeSetgid | 0o775, "", as(bob)},
		{"a user and root", 0, team, os.ModeSetgid | 0o775, as(bob), ""},
		{"root and the owner", alice, alice, 0o755, "", as(alice)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := sharedDir(t, test.owner, test.group, test.mode)
			a, b := start(t, dir, "locker", test.first), start(t, dir, "locker", test.second)
			for range 2 {
				a.lock()
				b.queue()
				a.unlock()
				b.granted()
				a.queue()
				b.unlock()
				a.granted()
				b.queue()
				holders, waiters, err := file.New(dir).Inspect(t.Context(), backend.Mutex, "x")
				if len(holders) != 1 || len(waiters) != 1 || err != nil {
					t.Errorf("%v, %v, %v", holders, waiters, err)
				}
				a.unlock()
				b.granted()
				b.unlock()
			}
			a.lock()
			b.queue()
			c := start(t, dir, "locker", test.first)
			c.queue()
			b.kill() // its ticket must be nobody's
			a.kill() // its lock must be free
			c.granted()
			c.unlock()
			if test.mode.Perm() != 0o775 {
				return
			}
			for path, want := range map[string]os.FileMode{
				file.Path(dir, backend.Mutex, "x"): 0o664,
				filepath.Join(dir, ".dlock"):       os.ModeDir | os.ModeSetgid | 0o775,
			} {
				info, err := os.Stat(path)
				must(t, err)
				if info.Mode() != want || info.Sys().(*syscall.Stat_t).Gid != team {
					t.Errorf("%s: %v, group %d", path, info.Mode(), info.Sys().(*syscall.Stat_t).Gid)
				}
			}
		})
	}
}

// A dead ticket and a presence file that others may not read, of an earlier version or another
// program, keep nobody from the lock nor from looking; one that is alive has its turn.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, alive := range []bool{false, true} {
		dir := sharedDir(t, 0, team, os.ModeSetgid|0o775)
		queue := filepath.Join(dir, ".dlock", filepath.Base(file.Path(dir, backend.Mutex, "x"))+".q")
		must(t, os.MkdirAll(queue, 0o775))
		for _, d := range []string{filepath.Dir(queue), queue} {
			must(t, os.Chown(d, 0, team))
			must(t, os.Chmod(d, 0o775))
		}
		var open []*os.File
		for _, path := range []string{filepath.Join(queue, "0000000000001.exclusive"), filepath.Join(dir, ".dlock", "1.session")} {
			f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
			must(t, err)
			defer f.Close()
			if alive {
				must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
				open = append(open, f)
			}
		}
		p := start(t, dir, "locker", as(bob))
		if alive {
			p.queue()
			for _, f := range open {
				f.Close() // dead now
			}
			p.granted()
		} else {
			p.lock()
		}
		q := start(t, dir, "inspector", as(alice))
		if got := q.expect("holders"); got != "1" {
			t.Errorf("%s holders", got)
		}
	}
}

// In a directory with the sticky bit Linux can refuse to open another's file by a call
// that could make one. A filter of system calls stands for that setting of the machine.
func TestProtectedRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, dir)
	for _, op := range []backend.Op{mutex("x"), semaphore("x", 2), write("x")} {
		p.lock(t, op).release()
	}
	cmd := start(t, dir, "protected")
	if got := cmd.expect(""); got != "done" {
		t.Error(got)
	}
}

func init() { roles["protected"] = protected }

func protected() error {
	runtime.LockOSThread()
	number := func(code, k int) unix.SockFilter { return unix.SockFilter{Code: uint16(code), K: uint32(k)} }
	const flags = 16 + 2*8 // where the third argument begins, on little-endian machines
	filter := []unix.SockFilter{
		number(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT, Jf: 4},
		number(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, flags),
		number(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, unix.O_CREAT|unix.O_EXCL),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.O_CREAT, Jf: 1},
		number(unix.BPF_RET|unix.BPF_K, 0x00050000|int(unix.EACCES)), // SECCOMP_RET_ERRNO
		number(unix.BPF_RET|unix.BPF_K, 0x7fff0000),                  // SECCOMP_RET_ALLOW
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setFilter, allThreads = 1, 1
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	dir := os.Getenv(dirVariable)
	if _, err := os.OpenFile(file.Path(dir, backend.Mutex, "x"), os.O_RDWR|os.O_CREATE, 0o666); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("the filter does not work: %w", err)
	}
	fmt.Println("ready")
	p, err := connect(file.New(dir))
	if err != nil {
		return err
	}
	defer p.close()
	for i, op := range []backend.Op{mutex("x"), semaphore("x", 2), write("x"), mutex("new")} {
		a := p.queue(op)
		if a.wait() != nil {
			return fmt.Errorf("%d: %w", i, a.Err)
		}
		b := p.queue(op)
		if err := errors.Join(a.release(), b.wait(), b.release()); err != nil {
			return fmt.Errorf("%s: %w", strconv.Itoa(i), err)
		}
	}
	return nil
}
