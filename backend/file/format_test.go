package file

import (
	"context"
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

func tryOpen(t *testing.T, dir string) error {
	t.Helper()
	s, err := New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
	if err == nil {
		s.Close(t.Context())
	}
	return err
}

// A directory of a later version is left alone, and the error says what is what.
func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	must(t, tryOpen(t, dir))
	path := filepath.Join(dir, internalDir, formatName)
	text, err := os.ReadFile(path)
	if must(t, err); string(text) != "1\n" {
		t.Errorf("the format is %q", text)
	}
	for _, text := range []string{"2\n", "12", "two", "0", "-1", strings.Repeat("1", 100)} {
		must(t, os.WriteFile(path, []byte(text), 0o666))
		err := tryOpen(t, dir)
		if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%.20q: %v", text, err)
		}
		if text == "2\n" && (!strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "above 1")) {
			t.Errorf("does not name both formats: %v", err)
		}
		if _, _, err := New(dir).Inspect(t.Context(), backend.Mutex, "x"); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%.20q: Inspect reads it all the same: %v", text, err)
		}
		if now, _ := os.ReadFile(path); string(now) != text {
			t.Errorf("%.20q was overwritten by %q", text, now)
		}
	}
	must(t, os.WriteFile(path, nil, 0o666)) // its writer died
	must(t, tryOpen(t, dir))
	if text, _ := os.ReadFile(path); string(text) != "1\n" {
		t.Errorf("the format is %q", text)
	}
}

// However many make a directory at once, it says its format, and they are content.
func TestFormatRace(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := tryOpen(t, dir); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if text, err := os.ReadFile(filepath.Join(dir, internalDir, formatName)); string(text) != "1\n" {
			t.Errorf("%q, %v", text, err)
		}
	}
}

// A directory that is made anew under a session says its format again.
func TestFormatOfNewDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	s := openSession(t, dir)
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps a directory as long as its files are open")
	}
	must(t, os.Rename(dir, dir+"~"))
	s.mu.Lock()
	s.now = s.now.Add(tendEvery)
	s.tend()
	s.mu.Unlock()
	if text, err := os.ReadFile(filepath.Join(dir, internalDir, formatName)); string(text) != "1\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// Opening waits for what another keeps locked, until its ctx ends and no longer.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{formatName, "clock"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, internalDir, name)
			must(t, os.Mkdir(filepath.Dir(path), 0o777))
			h, err := flock.Open(path, flock.New) // empty: its maker is about to write
			must(t, err)
			defer h.Close()
			if ok, err := h.TryLock(); !ok || err != nil {
				t.Fatal(ok, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if s, err := New(dir).Open(ctx, time.Second, backend.ClientInfo{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), path) {
				t.Error(s, err)
			}
			opened := make(chan error)
			go func() { opened <- tryOpen(t, dir) }()
			select {
			case err := <-opened:
				t.Errorf("did not wait: %v", err)
			case <-time.After(clockWait + clockWait/4): // which bounds other waits
				must(t, h.Unlock())
				must(t, <-opened)
			}
		})
	}
}

// Whoever may read the clock can lock it, and stops nobody by that.
func TestClockLockedByReader(t *testing.T) {
	dir := t.TempDir()
	must(t, tryOpen(t, dir))
	for _, name := range []string{formatName, "clock"} {
		h, err := flock.Open(filepath.Join(dir, internalDir, name), flock.ToRead)
		must(t, err)
		defer h.Close()
		if ok, err := h.TryRLock(); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), clockWait)
	defer cancel()
	s, err := New(dir).Open(ctx, time.Second, backend.ClientInfo{})
	must(t, err)
	s.Close(t.Context())
}
