package postgres

import (
	"math"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// The keys of a name are those of all programs, in all versions. They were
// computed without this package.
func TestNameKeys(t *testing.T) {
	for _, c := range []struct {
		class backend.Class
		name  string
		want  int64
	}{
		{backend.Mutex, "a", -6281896066863000837},
		{backend.RWMutex, "a", -7966355954679793420},
		{backend.Semaphore, "a", 1318289029898463182},
		{backend.Mutex, "\x00ns\x00a", 1291046506387083385},
		{backend.Mutex, "\xff\x00\n", -4827422097271874089},
	} {
		if got := nameKey(c.class, c.name); got != Int64Key(c.want) {
			t.Errorf("%v %q has the key %v, not (%d)", c.class, c.name, got, c.want)
		}
	}
}

func TestDerivedKeys(t *testing.T) {
	for _, c := range []struct {
		key     Key
		purpose string
		want    int64
	}{
		{Int64Key(0), "gate", 6281878078942821698},
		{PairKey(0, 0), "gate", 19973783539251144},
		{Int64Key(0), "writers", -10316415384464158},
		{Int64Key(-1), "limit 5", -7249939240473923062},
	} {
		if got := c.key.derive(c.purpose); got != c.want {
			t.Errorf("the %s key of %v is %d, not %d", c.purpose, c.key, got, c.want)
		}
	}
}

func TestKey(t *testing.T) {
	if (Key{}) != Int64Key(0) {
		t.Error("the zero Key is not the int8 0")
	}
	if Int64Key(0) == PairKey(0, 0) {
		t.Error("(0) and (0, 0) are one key")
	}
	for _, c := range []struct {
		key  Key
		want string
	}{
		{Int64Key(math.MinInt64), "(-9223372036854775808)"},
		{PairKey(0, -1), "(0, -1)"},
		{PairKey(-1, 0), "(-1, 0)"},
		{PairKey(math.MinInt32, math.MaxInt32), "(-2147483648, 2147483647)"},
	} {
		if got := c.key.String(); got != c.want {
			t.Errorf("%s instead of %s", got, c.want)
		}
	}
}

func TestDotNetKey(t *testing.T) {
	for _, c := range []struct {
		name string
		want Key
	}{
		// ASCII, packed.
		{"", PairKey(2147483647, -1)},
		{"a", PairKey(-1023410177, -1)},
		{"A", PairKey(-2097152001, -1)},
		{"ab", PairKey(-1014366209, -1)},
		{"\x00", PairKey(16777215, -1)},
		{"abcdefghi", PairKey(-1014292916, -1179391790)},
		{strings.Repeat("\x7f", 9), PairKey(-1, -2)},
		{strings.Repeat("\x00", 9), PairKey(0, 0)},
		// Numbers.
		{"0000000000000000", Int64Key(0)},
		{"0000000000000001", Int64Key(1)},
		{"7fffffffffffffff", Int64Key(math.MaxInt64)},
		{"FFFFffffFFFFffff", Int64Key(-1)},
		{"00000000,00000000", PairKey(0, 0)},
		{"00000003,ffffffff", PairKey(3, -1)},
		{"80000000,7FFFFFFF", PairKey(math.MinInt32, math.MaxInt32)},
		// Hashes.
		{strings.Repeat("漢", 18), Int64Key(-5707277204051710361)},
		{"漢", Int64Key(-9123882072524611761)},
		{"aä", Int64Key(5669310859953160898)},
		{"0123456789", Int64Key(2363718883634621575)},
		{"0123456789abcdeg", Int64Key(8261140907795711218)},
		{"+123456789abcdef", Int64Key(-4498309056702061594)},
		{"00000001,0000000g", Int64Key(6374622385239690986)},
		{"00000001;00000002", Int64Key(-7999680682512521144)},
		{"-0000001,00000002", Int64Key(8319092685133215544)},
		{"12345678,1234567", Int64Key(-5796639265975190154)},
	} {
		if got := DotNetKey(c.name); got != c.want {
			t.Errorf("%q has the key %v, not %v", c.name, got, c.want)
		}
	}
}

func TestShortNamesOfDotNetDoNotCollide(t *testing.T) {
	seen := map[Key]string{DotNetKey(""): ""}
	for c := range 128 {
		for n := 1; n <= 9; n++ {
			name := strings.Repeat(string(rune(c)), n)
			key := DotNetKey(name)
			if !key.pair {
				t.Errorf("%q has the key %v, which is no pair", name, key)
			}
			if other, ok := seen[key]; ok {
				t.Errorf("%q and %q have one key", name, other)
			}
			seen[key] = name
		}
	}
}

func TestWithKeys(t *testing.T) {
	var c config
	if err := WithKeys(nil)(&c); err == nil {
		t.Error("a nil key function is no error")
	}
	if err := WithKeys(DotNetKey)(&c); err != nil {
		t.Fatal(err)
	}
	for _, class := range []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore} {
		if got := c.keys(class, "a"); got != DotNetKey("a") {
			t.Errorf("%v has the key %v", class, got)
		}
	}
}
