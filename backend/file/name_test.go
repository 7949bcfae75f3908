package file_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	names := []string{
		"a", "A", "a.", "a ", "a\x00", "a\r\n", `a\b`, "a/b", "a/../b", "{a}", "🔒", "..", ".", "CON", "con", "CON.txt",
		"aux", "NUL", "é", "e\u0301", "\xff\xfe", "-", "~", " ", long, long[1:] + "y", long[1:],
		"a:b", "a*?\"<>|", "a.mutex", ".dlock", ".dlock/clock",
	}
	dir := t.TempDir()
	p := open(t, dir)
	seen := make(map[string]string)
	for _, name := range names {
		for _, class := range []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore} {
			path := file.Path(dir, class, name)
			base := filepath.Base(path)
			if filepath.Dir(path) != dir || len(base) > 100 || strings.HasPrefix(base, ".") || strings.Trim(base, fileNameChars) != "" {
				t.Errorf("%.20q: bad file name %q", name, base)
			}
			folded := strings.ToLower(base)
			if other, ok := seen[folded]; ok {
				t.Errorf("%.20q and %.20q share %s", name, other, base)
			}
			seen[folded] = name
		}
		p.lock(t, mutex(name)) // would not return if it were another's
		p.lock(t, write(name))
		p.lock(t, semaphore(name, 1))
		p.try(mutex(name)).is(t, backend.Busy)
		p.try(read(name)).is(t, backend.Busy)
		p.try(semaphore(name, 1)).is(t, backend.Busy)
	}
}

const fileNameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// The names of the files are an interface: scripts use them with flock(1), and
// another release must exclude this one.
func TestPath(t *testing.T) {
	for _, test := range []struct {
		class      backend.Class
		name, want string
	}{ // the hash is as in: printf %s NAME | sha256sum
		{backend.Mutex, "invoices/2026-11", "invoices_2026-11-0c677272c3a446d79b78e48ab92a74e4.mutex"},
		{backend.RWMutex, "..", "__-5ec1f7e700f37c3d0b2981d04855fc34.rwmutex"},
		{backend.Semaphore, strings.Repeat("é", 100), strings.Repeat("_", 40) + "-f42ec48e1e4b487e590e0b3d4e58437c.semaphore"},
	} {
		if got, want := file.Path("dir", test.class, test.name), filepath.Join("dir", test.want); got != want {
			t.Errorf("Path(%q) = %s, want %s", test.name, got, want)
		}
	}
}
