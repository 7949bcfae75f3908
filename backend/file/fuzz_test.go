package file

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// FuzzPath maps two locks to files. Whatever their names are, the files are such as
// every file system can have, and they differ if the locks do, also where case is
// folded; so do those of their tickets and queues.
func FuzzPath(f *testing.F) {
	for _, s := range []struct{ a, b string }{
		{"a", "A"}, {"a/b", "a_b"}, {"..", "."}, {"CON", "con.txt"}, {"é", "e\u0301"}, {"\xff", "\xfe"}, {"a.mutex", "a"},
		{strings.Repeat("x", readable), strings.Repeat("x", readable+1)}, {".dlock", ".dlock-probe-1"},
	} {
		f.Add(uint8(0), s.a, uint8(0), s.b, uint32(0))
		f.Add(uint8(0), s.a, uint8(2), s.a, uint32(1))
	}
	f.Fuzz(func(t *testing.T, class1 uint8, name1 string, class2 uint8, name2 string, slot uint32) {
		const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
		classes := []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore}
		seen := make(map[string]string) // folded name of a file → what it is for
		files := func(class backend.Class, name string) {
			path := Path("dir", class, name)
			base := filepath.Base(path)
			sum := sha256.Sum256([]byte(name))
			switch {
			case filepath.Dir(path) != "dir", len(base) > 100, strings.Trim(base, harmless) != "", strings.HasPrefix(base, "."):
				t.Errorf("%v %q: bad path %q", class, name, path)
			case !strings.HasSuffix(base, "-"+hex.EncodeToString(sum[:16])+"."+class.String()):
				t.Errorf("%v %q: %s does not end with its digest", class, name, base)
			}
			all := []string{base, base + queueSuffix}
			if class == backend.Semaphore {
				all = append(all, slotPath(base, slot), slotPath(base, slot+1))
			}
			for _, file := range all {
				what := class.String() + " " + name
				if isLockFile(file) != (file != base+queueSuffix) {
					t.Errorf("%s: %s is taken for something else", what, file)
				}
				folded := strings.ToLower(file)
				if other, ok := seen[folded]; ok {
					t.Errorf("%q and %q share the file %s", what, other, file)
				}
				seen[folded] = what
			}
		}
		a, b := classes[class1%3], classes[class2%3]
		files(a, name1)
		if a != b || name1 != name2 {
			files(b, name2)
		}
	})
}
