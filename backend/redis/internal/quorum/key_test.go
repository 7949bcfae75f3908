package quorum

import (
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// TestVoteKeys: what a lock is called on the nodes is an interface between all programs, in
// all versions. Digests are as in: printf %s NAME | sha256sum
func TestVoteKeys(t *testing.T) {
	long := strings.Repeat("x", redislock.LongName)
	for _, c := range []struct {
		class      backend.Class
		name, lock string
	}{
		{backend.Mutex, "a", "ma"},
		{backend.RWMutex, "{a}:b", "r{a}:b"},
		{backend.Semaphore, long[1:], "s" + long[1:]},
		{backend.Semaphore, long, "Saa20c23e3201834050679e1d88941b9a6fed0557c9a705cb2c315e2e63fd486d"},
	} {
		if got := vote.LockID(c.class, c.name); got != c.lock {
			t.Errorf("%v %.20q is called %s, not %s", c.class, c.name, got, c.lock)
		}
	}
}

// FuzzVoteKeys maps two locks to keys. Whatever their names are, all keys of one differ
// from all of the other and from those that the quorum has for itself.
func FuzzVoteKeys(f *testing.F) {
	long := strings.Repeat("x", redislock.LongName)
	for _, s := range []struct{ a, b string }{
		{"a", "A"}, {"a", "m:a"}, {":", "::"}, {"\x00", "\x00\x00"}, {"\xc3\xa9", "e\u0301"}, {" ", "  "}, {long, long[1:]}, {"ode", "ive"}, {"loor", "o"},
	} {
		f.Add(uint8(0), s.a, uint8(0), s.b)
		f.Add(uint8(1), s.a, uint8(2), s.a)
	}
	f.Fuzz(func(t *testing.T, class1 uint8, name1 string, class2 uint8, name2 string) {
		locks := []namedLock{{backend.Class(class1%3 + 1), name1}, {backend.Class(class2%3 + 1), name2}}
		if locks[0] == locks[1] {
			locks = locks[:1]
		}
		voted := make(map[string]namedLock)
		for _, l := range locks {
			id := vote.LockID(l.class, l.name)
			if len(l.name) < redislock.LongName && id[1:] != l.name || len(id) > redislock.LongName {
				t.Errorf("%v is called %q in a quorum", l, id)
			}
			for _, kind := range []string{"h:", "r:", "w:", "x:"} {
				key := kind + id
				if other, ok := voted[key]; ok {
					t.Errorf("%v and %v share the key %q of a quorum", l, other, key)
				}
				voted[key] = l
				if key == "node" || key == "live" || key == "floor" || strings.HasPrefix(key, "s:") || strings.HasPrefix(key, "of:") {
					t.Errorf("%v has the key %q of a quorum, which is the store's", l, key)
				}
			}
		}
	})
}

type namedLock struct {
	class backend.Class
	name  string
}
