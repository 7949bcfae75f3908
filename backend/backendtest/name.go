package backendtest

import (
	"errors"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

var nameChecks = []check{
	{"name/classes are separate name spaces", checkClasses},
	{"name/any bytes are a name, and names that differ are different locks", checkNames},
	{"name/the empty name fails", checkEmptyName},
}

func checkClasses(f *fixture) {
	a, b := f.peer(), f.peer()
	for i, op := range locks {
		for _, other := range locks[i:] {
			b.free(other)
		}
		a.take(op)
		b.busy(op)
	}
}

// names are pairwise different, each is difficult for some store, and the longest has
// that many bytes.
func names(longest int) []string {
	long := strings.Repeat("x", longest-1)
	path := strings.Repeat("long/", 100)
	return []string{
		"a", "A", "b", "aa", "a/b", "a//b", "a/./b", "/a", "a/", `a\b`, `\a`, "a:b", "a*b", "a?b", `a"b`, "a<b", "a|b", "a%62", "a%2Fb",
		".", "..", "...", "../a", "/", "//", " ", "  ", "a ", " a", "a.", "a..", "a. ", "\t", "~", "-", "--", "-a", "$a", "`a`", "'", "';--", "a'b", "#", "?",
		"\x00", "\x00\x00", "\x00a", "a\x00", "a\x00\x00", "a\x00b", "a\x00c", "\r\n", "a\r\n", "a\n", "a\r", "\x7f", "\x1b[0m",
		"{", "}", "{}", "{a}", "{a}b", "a{}", "{{a}}", "{A}",
		"CON", "con", "NUL", "nul", "aux.txt", "COM1", "LPT1.", "desktop.ini", "a.lock", ".a", "a::$DATA",
		"é", "e\u0301", "É", "ß", "ss", "ﬁ", "fi", "ı", "i", "I", "İ", "K", "\u212a", "Å", "\u212b", "漢字", "🔒", "🔒🔒", "👩‍👩‍👧", "\u200b", "a\u200b", "\ufeff", "\ufeffa", "\u202ea",
		"\xff", "\xfe", "a\xff", "a\xfe", "\xc3", "\xc3\x28", "\xed\xa0\x80", "\ufffd", "\xf0\x9f\x94",
		strings.Repeat("n", 255), strings.Repeat("n", 256), path + "a", path + "b",
		long + "a", long + "b", long,
	}
}

func checkNames(f *fixture) {
	a, b := f.peer(), f.peer()
	var claims []*claim
	for _, name := range names(2 << 20) {
		c := a.try(mutex(name))
		if c == nil {
			f.Fatalf("%.40q (%d bytes) is busy, so it is the same lock as another name", name, len(name))
		}
		claims = append(claims, c)
	}
	for _, c := range claims {
		b.busy(mutex(c.op.Name))
	}
	for _, c := range claims {
		c.release()
		b.free(mutex(c.op.Name))
	}
	// The other classes may be written differently.
	for _, op := range []func(string) backend.Op{writer, reader, func(name string) backend.Op { return ticket(name, 1) }} {
		for i, name := range names(1 << 16) {
			if a.try(op(name)) == nil {
				f.Fatalf("%v %.40q (%d bytes, number %d) is busy", op(name).Class, name, len(name), i)
			}
			if op(name).Mode == backend.Exclusive {
				a.busy(op(name))
			}
		}
		a.close()
		a = f.peer()
	}
}

func checkEmptyName(f *fixture) {
	a := f.peer()
	for _, op := range []backend.Op{mutex(""), writer(""), reader(""), ticket("", 1)} {
		for _, wait := range []bool{false, true} {
			r := a.mustSend(a.claim(op, wait, nil).op)[0]
			if r.State != backend.Failed || !errors.Is(r.Err, backend.ErrName) {
				f.Errorf("%v with an empty name: state %d, error %v; want ErrName", op.Class, r.State, r.Err)
			}
		}
	}
}
