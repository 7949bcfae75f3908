package file_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

var seed = flag.Uint64("strace.seed", 0, "repeat the kills of this seed; 0 is a new one")

// striven is what a client does over and over that is to be killed.
var striven = []backend.Op{mutex("x"), write("x"), read("x"), semaphore("x", 2)}

// A client that is killed at whatever system call costs the others nothing: they get
// every lock, without an error, and with greater tokens. Every second one is another
// user's, who shares the directory and has the strictest umask.
func TestKilledAtAnySystemCall(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace here")
	}
	if out, err := exec.Command(strace, "-e", "trace=none", "true").CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %s", out)
	}
	rounds := 8
	if long {
		rounds = 150
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-strace.seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	users := []string{""}
	dir := filepath.Join(t.TempDir(), "locks")
	if os.Geteuid() == 0 {
		dir = sharedDir(t, 0, team, os.ModeSetgid|0o775)
		users = []string{as(alice), "", as(bob)}
	}
	// One that is there all the time and now and then in the way.
	other := open(t, dir)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			a := other.queue(striven[i%len(striven)])
			if err := a.wait(); err != nil {
				t.Errorf("%v: %v", a.op.Class, err)
				return
			}
			a.release()
			time.Sleep(time.Millisecond)
		}
	}()
	killed := 0
	for round := range rounds {
		calls := []string{"%file,flock,pwrite64,pread64,fchmod,fchown,close,inotify_add_watch,ftruncate", "flock", "pwrite64", "fchmod,fchown", "renameat2,/^rename,/^unlink,/^mkdir", "close"}
		set := calls[random.IntN(len(calls))]
		when := 1 + random.IntN(1+random.IntN(60))
		cmd := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "trace="+set, "-e",
			fmt.Sprintf("inject=%s:signal=KILL:when=%d", set, when), os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=striver", dirVariable+"="+dir, users[round%len(users)])
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		last := uint64(0)
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			kind, number, _ := strings.Cut(lines.Text(), " ")
			switch kind {
			case "granted":
				last, _ = strconv.ParseUint(number, 10, 64)
			case "error":
				t.Errorf("round %d, %s, call %d: %s", round, set, when, lines.Text())
			}
		}
		if err != nil {
			killed++
		}
		// Another user than the dead one.
		survivor := start(t, dir, "survivor", users[(round+1)%len(users)])
		line := survivor.expect("")
		number, err := strconv.ParseUint(strings.TrimPrefix(line, "granted "), 10, 64)
		if err != nil || number <= last {
			t.Fatalf("round %d, %s, call %d: after token %d: %s", round, set, when, last, line)
		}
		survivor.expect("done")
		if t.Failed() {
			break
		}
	}
	close(stop)
	<-stopped
	t.Logf("%d of %d were killed", killed, rounds)
	if killed == 0 {
		t.Error("nobody was killed")
	}
	holders, waiters, err := file.New(dir).Inspect(t.Context(), backend.Mutex, "x")
	if len(holders)+len(waiters) > 0 || err != nil {
		t.Errorf("left: %v, %v, %v", holders, waiters, err)
	}
}

// A process that is stopped between its look at the lock file and the grant is not
// granted a lock that was taken from it meanwhile.
func TestStoppedBeforeTheGrant(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace here")
	}
	dir := t.TempDir()
	path := file.Path(dir, backend.Mutex, "x")
	const calls = "newfstatat,/^fstatat,/^lstat"
	cmd := exec.Command(strace, "-f", "-o", "/dev/null", "-P", path, "-e", "trace="+calls,
		"-e", "inject="+calls+":delay_exit=3000000:when=1", os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=locker", dirVariable+"="+dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Skipf("strace does not work here: %s", lines.Text())
	}
	_, err = io.WriteString(in, "lock\n")
	must(t, err)
	locked := func() bool { // so that the look at it comes next
		f, err := os.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK
	}
	for begin := time.Now(); !locked(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > soon {
			t.Fatal("it does not lock the file")
		}
	}
	must(t, os.Remove(path))
	p := open(t, dir)
	a := p.lock(t, mutex("x"))
	if !lines.Scan() || lines.Text() != "state 2" {
		t.Fatalf("%s: two holders", lines.Text())
	}
	must(t, a.release())
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "granted") {
		t.Error(lines.Text())
	}
}

func init() {
	roles["striver"] = func() error { return strive(os.Stdout, 12) }
	roles["survivor"] = func() error {
		fmt.Println("ready")
		return strive(&lastLine{}, 1)
	}
}

// lastLine prints the last line that was written before an empty one.
type lastLine struct{ line []byte }

func (l *lastLine) Write(p []byte) (int, error) {
	if len(bytes.TrimSpace(p)) == 0 {
		return os.Stdout.Write(l.line)
	}
	l.line = bytes.Clone(p)
	return len(p), nil
}

func strive(w io.Writer, rounds int) error {
	p, err := connect(file.New(os.Getenv(dirVariable)))
	if err != nil {
		return err
	}
	defer p.close()
	for range rounds {
		for i, op := range striven {
			a, b := p.queue(op), p.queue(op)
			if err := a.wait(); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
			if op.Class == backend.Mutex {
				fmt.Fprintln(w, "granted", a.Grant.Ordinal)
			}
			a.release()
			if err := b.wait(); err != nil {
				return fmt.Errorf("%d, the second: %w", i, err)
			}
			b.release()
		}
	}
	fmt.Fprintln(w)
	return nil
}
