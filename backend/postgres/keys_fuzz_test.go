package postgres

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// FuzzNameKeys maps two locks to keys. Whatever their names are, neither has a key of
// the other, nor any two of the keys that serve them: each is the digest of something
// that is said in one way only.
func FuzzNameKeys(f *testing.F) {
	for _, s := range []struct{ a, b string }{
		{"a", "A"}, {"", "\x00"}, {"mutex\x00a", "a"}, {"gate\x008\x00", "writers"}, {"é", "e\u0301"}, {"\x00ns\x00a", "\x00n\x00sa"},
	} {
		f.Add(uint8(0), s.a, uint8(0), s.b, uint32(1))
		f.Add(uint8(1), s.a, uint8(2), s.a, uint32(5))
	}
	f.Fuzz(func(t *testing.T, class1 uint8, name1 string, class2 uint8, name2 string, limit uint32) {
		type lock struct {
			class backend.Class
			name  string
		}
		locks := []lock{{backend.Class(class1%3 + 1), name1}, {backend.Class(class2%3 + 1), name2}}
		if locks[0] == locks[1] {
			locks = locks[:1]
		}
		seen := make(map[int64]string)
		for _, l := range locks {
			k := nameKey(l.class, l.name)
			sum := sha256.Sum256(fmt.Appendf(nil, "dlock\x00%v\x00%s", l.class, l.name))
			if k.pair || k.value != int64(binary.BigEndian.Uint64(sum[:8])) {
				t.Errorf("%v %q has the key %v", l.class, l.name, k)
			}
			all := map[string]int64{"key": k.value, "gate": k.derive("gate"), "writers": k.derive("writers")}
			if l.class == backend.Semaphore {
				ts := newSlots(k, max(1, limit))
				all["slots"], all["use"], all["mark"], all["join"] = ts.base, ts.use, ts.mark, ts.join
			}
			for purpose, n := range all {
				what := fmt.Sprintf("the %s of %v %.40q", purpose, l.class, l.name)
				if other, ok := seen[n]; ok {
					t.Errorf("%s and %s are both (%d)", what, other, n)
				}
				seen[n] = what
			}
		}
	})
}

// FuzzKey: numbers come out of a key as they went in, an int8 is never a pair, and
// what serves the one does not serve the other.
func FuzzKey(f *testing.F) {
	f.Add(int32(0), int32(0))
	f.Add(int32(-1), int32(0))
	f.Add(int32(0), int32(-1))
	f.Add(int32(-1<<31), int32(1<<31-1))
	f.Fuzz(func(t *testing.T, a, b int32) {
		pair, one := PairKey(a, b), Int64Key(int64(a)<<32|int64(uint32(b)))
		if x, y := pair.numbers(); x != a || y != b {
			t.Errorf("the pair (%d, %d) became (%d, %d)", a, b, x, y)
		}
		if other := PairKey(b, a); a != b && other == pair {
			t.Errorf("(%d, %d) and its reverse are one key", a, b)
		}
		if pair == one || pair.String() == one.String() || pair.derive("gate") == one.derive("gate") {
			t.Errorf("%v and %v are one key", pair, one)
		}
		var x, y int32
		if _, err := fmt.Sscanf(pair.String(), "(%d, %d)", &x, &y); err != nil || x != a || y != b {
			t.Errorf("(%d, %d) is written %v", a, b, pair)
		}
		var n int64
		if _, err := fmt.Sscanf(one.String(), "(%d)", &n); err != nil || n != one.value {
			t.Errorf("(%d) is written %v", one.value, one)
		}
	})
}

// FuzzDotNetKey: a short name can be read out of its key again, hexadecimal digits are
// what they say, and all else is hashed. So two names have one key only if they were
// made to.
func FuzzDotNetKey(f *testing.F) {
	for _, s := range []string{
		"", "a", "A", "\x00", "\x7f", "abcdefghi", "abcdefghij", "aä", "漢", "0000000000000001", "00000003,ffffffff", "00000003;ffffffff", "\xff",
		"-000000000000001", "0x00000000000001", "00000003,fffffffG",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k := DotNetKey(name)
		ascii := strings.IndexFunc(name, func(r rune) bool { return r > 0x7f }) < 0
		hexadecimal := func(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }
		var want Key
		switch {
		case ascii && len(name) <= 9:
			if got, ok := unpacked(k); !ok || got != name {
				t.Errorf("%q has the key %v, which says %q", name, k, got)
			}
			return
		case len(name) == 16 && hexadecimal(name):
			var n uint64
			if _, err := fmt.Sscanf(name, "%x", &n); err != nil {
				t.Fatal(err)
			}
			want = Int64Key(int64(n))
		case len(name) == 17 && name[8] == ',' && hexadecimal(name[:8]+name[9:]):
			var a, b uint32
			if _, err := fmt.Sscanf(name, "%x,%x", &a, &b); err != nil {
				t.Fatal(err)
			}
			want = PairKey(int32(a), int32(b))
		default:
			sum := sha1.Sum([]byte(name))
			want = Int64Key(int64(binary.LittleEndian.Uint64(sum[:8])))
		}
		if k != want {
			t.Errorf("%q has the key %v, not %v", name, k, want)
		}
	})
}

// unpacked is the short name that a key stands for, by the bits: 7 of each character,
// then a 0, then 1s for those that are missing.
func unpacked(k Key) (string, bool) {
	bits := fmt.Sprintf("%064b", uint64(k.value))
	end := strings.LastIndexByte(bits, '0')
	if !k.pair || end < 0 || end%7 != 0 {
		return "", false
	}
	var name []byte
	for i := 0; i < end; i += 7 {
		var c byte
		for _, bit := range bits[i : i+7] {
			c = c<<1 | byte(bit-'0')
		}
		name = append(name, c)
	}
	return string(name), true
}
