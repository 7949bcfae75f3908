package file

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

func TestClock(t *testing.T) {
	for _, local := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "clock")
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := make(map[uint64]bool)
		for range 4 {
			c, err := openClock(t.Context(), path, local)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer c.close()
				var last uint64
				for range 500 {
					n, err := c.next(backend.OrdinalTime(1000)) // long ago
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if n <= last || seen[n] {
						t.Errorf("reading %d after %d, or for the second time", n, last)
					}
					seen[n] = true
					mu.Unlock()
					last = n
				}
			})
		}
		wg.Wait()
		if len(seen) != 2000 {
			t.Errorf("%d readings, want 2000", len(seen))
		}
	}
}

// Fencing tokens made of readings are positive for SQL.
func TestClockCountsFrom2020(t *testing.T) {
	s := openSession(t, t.TempDir())
	before := backend.OrdinalAt(time.Now())
	r := s.do1(t, acquire(1, "x"))
	if n := r.Grant.Ordinal; n < before || n > backend.OrdinalAt(time.Now())+10 || n > backend.MaxOrdinal {
		t.Errorf("ordinal %d, the clock %d", n, before)
	}
}

func TestClockFollowsTime(t *testing.T) {
	c, err := openClock(t.Context(), filepath.Join(t.TempDir(), "clock"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	steps := []struct{ now, want uint64 }{{100, 100}, {100, 101}, {50, 102}, {1000, 1000}, {backend.MaxOrdinal, backend.MaxOrdinal}}
	for _, step := range steps {
		if n, err := c.next(backend.OrdinalTime(step.now)); n != step.want || err != nil {
			t.Errorf("at %d: %d, %v, want %d", step.now, n, err, step.want)
		}
	}
	if n, err := c.next(time.Now()); err == nil {
		t.Errorf("reading %d does not fit a token", n)
	}
}

// Whatever is done to the file, readings go on growing.
func TestClockFile(t *testing.T) {
	for _, local := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "clock")
		c, err := openClock(t.Context(), path, local)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		last := uint64(0)
		for _, harm := range []func() error{
			func() error { return nil },
			func() error { // a fault in the mapping
				if local && runtime.GOOS == "windows" {
					return nil // which does not let it happen
				}
				return os.Truncate(path, 0)
			},
			func() error { return flock.Unlink(path) },
			func() error { return os.WriteFile(path+"~", nil, 0o666) },
			func() error {
				if runtime.GOOS == "windows" { // where no file replaces one in use
					if err := flock.Unlink(path); err != nil {
						return err
					}
				}
				return os.Rename(path+"~", path)
			},
		} {
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			c.check()
			n, err := c.next(backend.OrdinalTime(1000))
			if err != nil || n <= last {
				t.Errorf("%d after %d, %v", n, last, err)
			}
			last = n
		}
		if info, err := os.Stat(path); err != nil || info.Size() != 8 {
			t.Errorf("%v, %v", info, err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\xff\xff\xff\xff\xff\xff\xff\xff"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if n, err := c.next(backend.OrdinalTime(1000)); err == nil {
			t.Errorf("reading %d from a spoilt clock", n)
		} else if !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	}
}
