//go:build unix

package file_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestKilledHolder(t *testing.T) {
	dir := t.TempDir()
	holder := start(t, dir, "locker")
	first := holder.lock()
	here := open(t, dir)
	here.try(mutex("x")).is(t, backend.Busy)
	a := here.queue(mutex("x")).is(t, backend.Queued)
	holder.kill()
	if err := a.wait(); err != nil {
		t.Fatal(err)
	}
	if a.Grant.Ordinal <= first {
		t.Errorf("ordinal %d after %d", a.Grant.Ordinal, first)
	}
}

// Processes are granted the lock in the order in which they came to wait for it,
// and the dead ones cost the others nothing.
func TestOrderOfProcesses(t *testing.T) {
	for _, killed := range []struct {
		name string
		is   func(i int) bool
	}{
		{"all live", func(int) bool { return false }},
		{"every third is killed", func(i int) bool { return i%3 == 0 }},
		{"the first of the queue is killed", func(i int) bool { return i == 1 }},
	} {
		t.Run(killed.name, func(t *testing.T) {
			dir := t.TempDir()
			var ps []*process
			for i := range 8 {
				p := start(t, dir, "locker")
				if i == 0 {
					p.lock()
				} else {
					p.queue()
				}
				ps = append(ps, p)
			}
			for i, p := range ps {
				if killed.is(i) && i > 0 {
					p.kill()
				}
			}
			var last uint64
			for i, p := range ps {
				if i > 0 && killed.is(i) {
					continue
				}
				if i > 0 {
					n := p.granted() // none of the others: they would have said so
					if n <= last {
						t.Errorf("process %d: ordinal %d after %d", i, n, last)
					}
					last = n
				}
				for _, later := range ps[i+1:] {
					if len(later.out) > 0 {
						t.Fatalf("a later process was granted the lock while %d held it", i)
					}
				}
				if killed.is(i) {
					p.kill() // a holder
				} else {
					p.unlock()
				}
			}
		})
	}
}

func TestCount(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "n")
	if err := os.WriteFile(path, []byte("0"), 0o666); err != nil {
		t.Fatal(err)
	}
	const processes = 8
	sections := 100 // of each
	if long {
		sections = 500
	}
	var ps []*process
	for range processes {
		ps = append(ps, start(t, dir, "counter"))
	}
	begin := time.Now()
	for _, p := range ps {
		p.say(path)
		p.say(strconv.Itoa(sections))
	}
	for range sections / countedTogether {
		for _, p := range ps {
			p.expect("counted")
		}
	}
	for _, p := range ps {
		p.expect("done")
	}
	all := processes * sections
	t.Logf("%v a section", time.Since(begin)/time.Duration(all))
	if b, _ := os.ReadFile(path); string(b) != strconv.Itoa(all) {
		t.Errorf("counted %s, want %d", b, all)
	}
}

// A process that waits is asleep.
func TestIdleWait(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 3 s")
	}
	dir := t.TempDir()
	here := open(t, dir)
	a := here.lock(t, mutex("x"))
	p := start(t, dir, "locker")
	p.queue()
	time.Sleep(3 * time.Second) // the time is what is tested
	a.release()
	used, err := strconv.Atoi(strings.Fields(p.expect("granted"))[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("3 s of waiting cost %d µs of CPU", used)
	if used > 25_000 {
		t.Errorf("3 s of waiting cost %d µs of CPU", used)
	}
}

// Who was killed is told no more; who is only stopped still holds.
func TestInspectKilled(t *testing.T) {
	dir := t.TempDir()
	a, b := start(t, dir, "locker"), start(t, dir, "locker")
	ordinal := a.lock()
	b.queue()
	inspect := func() (holders, waiters []backend.Participant) {
		t.Helper()
		holders, waiters, err := file.New(dir).Inspect(t.Context(), backend.Mutex, "x")
		must(t, err)
		return holders, waiters
	}
	must(t, a.cmd.Process.Signal(syscall.SIGSTOP))
	if h, w := inspect(); len(h) != 1 || h[0].Ordinal != ordinal || len(w) != 1 {
		t.Errorf("%+v, %+v", h, w)
	}
	a.kill()
	ordinal = b.granted()
	if h, w := inspect(); len(h) != 1 || h[0].Ordinal != ordinal || len(w) > 0 {
		t.Errorf("%+v, %+v", h, w)
	}
	b.kill()
	for late := time.After(soon); ; {
		h, w := inspect()
		if len(h)+len(w) == 0 {
			break
		}
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			t.Fatalf("%+v, %+v", h, w)
		}
	}
	// What they left goes with the next who comes.
	p := open(t, dir)
	p.apply()
	boards, err := filepath.Glob(filepath.Join(dir, ".dlock", "*.session"))
	if must(t, err); len(boards) != 1 {
		t.Errorf("%q", boards)
	}
}
