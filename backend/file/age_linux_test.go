package file_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// A life is what a process does again and again, for years.
type life struct {
	dir  string
	a, b *peer // two clients
	n    int   // cycles
}

// pick takes turns with ops.
func (l *life) pick(ops ...backend.Op) backend.Op { return ops[l.n%len(ops)] }

// lives are the events by which something could be left behind, one cycle of each.
var lives = map[string]func(l *life) error{
	"idleness": func(l *life) error {
		file.Idle(l.a.session, 1)
		return nil
	},
	"contention": func(l *life) error {
		op := l.pick(mutex("x"), write("y"), semaphore("z", 1))
		first, err := granted(l.a.queue(op))
		if err != nil {
			return err
		}
		second := l.b.queue(op)
		if err := first.release(); err != nil {
			return err
		}
		if second, err = granted(second); err != nil {
			return err
		}
		return second.release()
	},
	"sessions": func(l *life) error {
		p, err := connect(file.New(l.dir))
		if err != nil {
			return err
		}
		if _, err := granted(p.queue(mutex("x"))); err != nil {
			return err
		}
		p.queue(mutex("x"))
		if l.n%2 == 0 {
			p.close()
		} else { // as if it were killed
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			close(p.ending)
			p.session.Close(ctx)
			p.wg.Wait()
		}
		// What a killed one leaves: its presence file, and its ticket in a queue.
		internal := filepath.Join(l.dir, ".dlock")
		name := fmt.Sprintf("%013x", l.n+1)
		queue := filepath.Join(internal, filepath.Base(file.Path(l.dir, backend.Mutex, "y"))+".q")
		return errors.Join(os.MkdirAll(queue, 0o777),
			os.WriteFile(filepath.Join(internal, name+".session"), []byte("{}\n"), 0o666),
			os.WriteFile(filepath.Join(queue, name+".exclusive"), nil, 0o666))
	},
	"names": func(l *life) error {
		op := l.pick(mutex("x"), read("x"), semaphore("x", 2))
		op.Name += strconv.Itoa(l.n)
		for _, p := range []*peer{l.a, l.b} {
			a, err := granted(p.queue(op))
			if err != nil {
				return err
			}
			if err := a.release(); err != nil {
				return err
			}
		}
		return nil
	},
	"limits": func(l *life) error {
		limit := uint32(1 + l.n%20) // more and fewer than are kept
		var all []*acquisition
		for range limit {
			a, err := granted(l.a.queue(semaphore("x", limit)))
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		if l.n%10 == 0 { // which takes a while
			other := l.b.try(semaphore("x", limit+1))
			if !errors.Is(other.Err, backend.ErrLimit) {
				return fmt.Errorf("another limit: state %d, %v", other.State, other.Err)
			}
			all = append(all, other)
		}
		for _, a := range all {
			if err := a.release(); err != nil {
				return err
			}
		}
		return nil
	},
	"cancelled waits": func(l *life) error {
		op := l.pick(mutex("x"), read("y"), semaphore("z", 1))
		held := op
		held.Mode = backend.Exclusive
		a, err := granted(l.a.queue(held))
		if err != nil {
			return err
		}
		for range 2 {
			if err := l.b.queue(op).release(); err != nil {
				return err
			}
		}
		return a.release()
	},
	"losses": func(l *life) error {
		a, err := granted(l.a.queue(mutex("x")))
		if err != nil {
			return err
		}
		if err := file.Unlink(file.Path(l.dir, backend.Mutex, "x")); err != nil {
			return err
		}
		return a.release()
	},
}

func granted(a *acquisition) (*acquisition, error) { return a, a.wait() }

const (
	ageRole = "age "
	// markPath begins the paths that an ageing process opens in vain, to say in a list of
	// its system calls where it is.
	markPath = "/dlock-age/"
)

// warmUp is how many cycles a process lives before it is looked at: until it keeps as
// many locks open for later as it ever will.
var warmUp = map[string]int{"names": 300, "limits": 20, "contention": 20, "cancelled waits": 20}

// ageVariable is how many cycles an ageing process lives.
const ageVariable = "DLOCK_FILE_TEST_CYCLES"

func init() {
	for event := range lives {
		roles[ageRole+event] = func() error {
			n, err := strconv.Atoi(os.Getenv(ageVariable))
			if err != nil {
				return err
			}
			return grow(event, n)
		}
	}
}

// grow lives one of lives, n cycles in ten parts, and fails when after the last part
// there is more of anything than after the first.
func grow(event string, n int) error {
	l := &life{dir: os.Getenv(dirVariable)}
	var err error
	for _, p := range []**peer{&l.a, &l.b} {
		if *p, err = connect(file.New(l.dir)); err != nil {
			return err
		}
		defer (*p).close()
	}
	cycles := func(n int) error {
		for range n {
			if err := lives[event](l); err != nil {
				return fmt.Errorf("cycle %d: %w", l.n, err)
			}
			l.n++
		}
		return nil
	}
	if err := cycles(warmUp[event]); err != nil {
		return err
	}
	var first map[string]int
	for part := range 10 {
		os.Open(markPath + "begin" + strconv.Itoa(part))
		if err := cycles(n / 10); err != nil {
			return err
		}
		os.Open(markPath + "end" + strconv.Itoa(part))
		is, err := l.census()
		if err != nil {
			return err
		}
		if part == 0 {
			first = is
		}
		for what, count := range is {
			if part == 9 && count > first[what]+5 {
				return fmt.Errorf("%d %s, %d after the first part", count, what, first[what])
			}
		}
	}
	fmt.Println("kept", strings.Join(slices.Sorted(func(yield func(string) bool) {
		for what, count := range maps.All(first) {
			if !yield(fmt.Sprintf("%s %d", what, count)) {
				return
			}
		}
	}), ", "))
	return nil
}

// census counts what there is when all is quiet, and an hour has passed for the files.
func (l *life) census() (map[string]int, error) {
	old := time.Now().Add(-2 * time.Hour)
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == l.dir || d.Name() == ".dlock" {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		return nil, err
	}
	count := make(map[string]int)
	for _, p := range []*peer{l.a, l.b} {
		p.applying.Lock()
		file.Sweep(p.session)
		p.applying.Unlock()
		for what, n := range file.Kept(p.session) {
			count[what] += n
		}
		p.mu.Lock()
		count["acquisitions of the test"] += len(p.turns) + len(p.lost)
		p.mu.Unlock()
	}
	err = filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		count["files"]++
		return err
	})
	if err != nil {
		return nil, err
	}
	runtime.GC()
	count["goroutines"] = runtime.NumGoroutine()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		return nil, err
	}
	count["descriptors"] = len(infos)
	for _, path := range infos {
		text, _ := os.ReadFile(path) // that of the list is gone
		count["watches"] += strings.Count(string(text), "inotify wd:")
	}
	return count, nil
}

// A client of a month is as fast as one of a minute, and leaves as little behind.
func TestAge(t *testing.T) {
	t.Parallel()
	n := 1000
	if os.Getenv("DLOCK_LONG") != "" {
		n = 10_000
	}
	for event := range lives {
		n := n
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			if event == "sessions" {
				n /= 10 // of which each makes and removes a dozen files
			}
			out := age(t, event, n, os.Args[0])
			t.Logf("%s", out)
			strace, err := exec.LookPath("strace")
			if err != nil {
				t.Skip("no strace here: system calls are not counted")
			}
			n /= 5 // of which each takes twenty times as long
			trace := filepath.Join(t.TempDir(), "trace")
			age(t, event, n, strace, "-f", "-qq", "--seccomp-bpf", "-o", trace, "-e", "trace="+calls, os.Args[0])
			counts := countCalls(t, trace)
			if len(counts) != 10 {
				t.Fatalf("%d parts", len(counts))
			}
			first, last := counts[0], counts[9]
			t.Logf("%.1f files opened, locked, renamed and removed in a cycle, at last %.1f", float64(first)/float64(n/10), float64(last)/float64(n/10))
			// Of some it depends on the moment whether they are needed.
			if last > first+first/4+50 {
				t.Errorf("in each part: %v", counts)
			}
		})
	}
}

// age lets another process live one of the lives, and returns what it says.
func age(t *testing.T, event string, n int, argv ...string) []byte {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+ageRole+event, ageVariable+"="+strconv.Itoa(n), dirVariable+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// calls are the system calls that open, lock, rename and remove files, and read
// directories. Those with ? are not everywhere.
const calls = "?open,openat,flock,?rename,?renameat,?renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,?getdents,getdents64"

// countCalls returns how many system calls there were in each part.
func countCalls(t *testing.T, trace string) []int {
	f, err := os.Open(trace)
	must(t, err)
	defer f.Close()
	var counts []int
	counting := false
	for s := bufio.NewScanner(f); s.Scan(); {
		switch line := s.Text(); {
		case strings.Contains(line, markPath+"begin"):
			counting = true
			counts = append(counts, 0)
		case strings.Contains(line, markPath+"end"):
			counting = false
		case counting && !strings.Contains(line, "resumed>"):
			counts[len(counts)-1]++
		}
	}
	return counts
}
