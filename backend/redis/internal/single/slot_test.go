package single

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// TestKeys: the keys are an interface between all programs, in all versions. Digests
// are as in: printf %s NAME | sha256sum
func TestKeys(t *testing.T) {
	long := strings.Repeat("x", redislock.LongName)
	for _, c := range []struct {
		class   backend.Class
		name    string
		subject string
		shard   int
	}{
		{backend.Mutex, "a", "m:a", 3},
		{backend.RWMutex, "{a}:b", "r:{a}:b", 5},
		{backend.Semaphore, long[1:], "s:" + long[1:], 1},
		{backend.Semaphore, long, "S:" + "aa20c23e3201834050679e1d88941b9a6fed0557c9a705cb2c315e2e63fd486d", 9},
	} {
		if got := redislock.Subject(c.class, c.name); got != c.subject {
			t.Errorf("%v %.20q has the key %s, not %s", c.class, c.name, got, c.subject)
		}
		if got := ShardOf(c.class, c.name); got != c.shard {
			t.Errorf("%v %.20q is in bucket %d, not %d", c.class, c.name, got, c.shard)
		}
	}
	if got := SlotOf("123456789"); got != 0x31c3 {
		t.Errorf("slot %#x instead of the check value of the CRC", got)
	}
}

// FuzzKeys maps two locks to keys. Whatever their names are, all keys of one differ
// from all of the other and from those that the store has for itself; the slot of a
// cluster is that of the shard; and a name that is not too long can be read back.
func FuzzKeys(f *testing.F) {
	long := strings.Repeat("x", redislock.LongName)
	digest := sha256.Sum256([]byte(long))
	for _, s := range []struct{ a, b string }{
		{"a", "A"}, {"a", "m:a"}, {":", "::"}, {"{a}", "a"}, {"}{", "{}"}, {"\x00", "\x00\x00"}, {"é", "e\u0301"}, {" ", "  "},
		{long, long[1:]}, {long, hex.EncodeToString(digest[:])}, {"ode", "ive"}, {"loor", "o"},
	} {
		f.Add(uint8(0), s.a, uint8(0), s.b)
		f.Add(uint8(1), s.a, uint8(2), s.a)
	}
	f.Fuzz(func(t *testing.T, class1 uint8, name1 string, class2 uint8, name2 string) {
		locks := []lockOf{{backend.Class(class1%3 + 1), name1}, {backend.Class(class2%3 + 1), name2}}
		if locks[0] == locks[1] {
			locks = locks[:1]
		}
		seen := make(map[string]lockOf)
		for _, l := range locks {
			s := redislock.Subject(l.class, l.name)
			if sum := sha256.Sum256([]byte(l.name)); len(l.name) < redislock.LongName && s[2:] != l.name ||
				len(l.name) >= redislock.LongName && s[2:] != hex.EncodeToString(sum[:]) {
				t.Errorf("%v: the key %q does not have its name", l, s)
			}
			for _, key := range []string{s, "q" + s, "p" + s} {
				if other, ok := seen[key]; ok {
					t.Errorf("%v and %v share the key %q", l, other, key)
				}
				seen[key] = l
				if key == "o" || key == "d" || key == "l" || key == "x" || strings.HasPrefix(key, "a:") || strings.HasPrefix(key, "i:") {
					t.Errorf("%v has the key %q, which is the store's", l, key)
				}
			}
			n := ShardOf(l.class, l.name)
			if n < 0 || n >= shards {
				t.Fatalf("%v: bucket %d", l, n)
			}
			if key := "dlock:{" + Tags[n] + "}:q" + s; tagOf(key) != Tags[n] || SlotOf(tagOf(key))*shards/slots != n {
				t.Errorf("%v: the key %q is not in the slot of bucket %d", l, key, n)
			}
		}
	})
}

type lockOf struct {
	class backend.Class
	name  string
}

func (l lockOf) String() string { return fmt.Sprintf("%v %.40q", l.class, l.name) }

// tagOf returns what a cluster hashes of a key: what is between its first brace and
// the next that closes, if that is something, else all of it.
func tagOf(key string) string {
	_, rest, ok := strings.Cut(key, "{")
	if !ok {
		return key
	}
	if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
		return tag
	}
	return key
}
