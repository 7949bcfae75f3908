package dlocktest

import (
	"errors"
	"runtime"
	"strings"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

var nameChecks = []check{
	{"name/any bytes are a name, and names that differ are different locks", checkNames},
	{"name/a mutex, a reader-writer lock and a semaphore of one name are three locks", checkClasses},
	{"name/namespaces are separate", checkNamespaces},
}

// names are pairwise different, each is difficult for some store, and the longest has
// that many bytes.
func names(longest int) []string {
	long := strings.Repeat("x", longest-1)
	return []string{
		"a", "A", "aa", "a/b", "a//b", "a/./b", "/a", "a/", `a\b`, "a:b", "a*b", "a?b", `a"b`, "a<b", "a|b", "a%62", "a%2Fb",
		".", "..", "../a", "/", " ", "  ", "a ", " a", "a.", "a..", "-a", "$a", "'", "';--", "#",
		"\x00", "\x00\x00", "a\x00", "a\x00b", "\x00a\x00b", "\r\n", "a\r\n", "a\n", "a\r", "\x7f", "\x1b[0m",
		"{", "}", "{}", "{a}", "{a}b", "{A}",
		"CON", "con", "NUL", "aux.txt", "COM1", "LPT1.", "a.lock", ".a", "a::$DATA",
		"é", "e\u0301", "É", "ß", "ss", "ﬁ", "fi", "ı", "i", "I", "İ", "K", "\u212a", "漢字", "🔒", "🔒🔒", "👩‍👩‍👧", "\u200b", "a\u200b", "\ufeff",
		"\xff", "\xfe", "a\xff", "a\xfe", "\xc3\x28", "\xed\xa0\x80", "\ufffd", "\xf0\x9f\x94",
		strings.Repeat("n", 255), strings.Repeat("n", 256), long + "a", long + "b", long,
	}
}

func checkNames(f *fixture) {
	f.forKinds(singles, func(f *fixture, k kind) {
		// A namespace keeps the names as they are apart from those of other tests.
		space := dlock.WithNamespace(f.prefix)
		a, b := f.client(space), f.client(space)
		if k.drain > 0 {
			f.drainer = f.client(space)
		}
		longest := 1 << 20
		if k.name != singles[0].name {
			longest = 1 << 16 // A name takes the same way in all kinds, and time.
		}
		names := names(longest)
		for _, name := range names {
			if k.drain > 0 {
				f.drain(k, name)
			}
			if !k.value(a.Client, name).TryLock() {
				f.Fatalf("%.40q (%d bytes) is busy, so it is the same lock as another name", name, len(name))
			}
		}
		for _, name := range names {
			if k.value(b.Client, name).TryLock() {
				f.Fatalf("%.40q (%d bytes) is free while it is held", name, len(name))
			}
		}
		a.close()
		for _, name := range names {
			if !k.value(b.Client, name).TryLock() {
				f.Fatalf("%.40q (%d bytes) is busy after its holder has closed", name, len(name))
			}
		}
	})
}

func checkClasses(f *fixture) {
	a, b := f.client(), f.client()
	name := f.name("a")
	for i, k := range exclusives[:3] {
		for _, other := range exclusives[i:3] {
			f.free(other.value(b.Client, name))
		}
		h := f.take(k.value(a.Client, name))
		f.busy(k.value(b.Client, name))
		runtime.KeepAlive(h) // A hold that is garbage is released.
	}
}

func checkNamespaces(f *fixture) {
	f.forKinds(exclusives[:3], func(f *fixture, k kind) {
		type place struct{ space, name string }
		places := []place{
			{"", f.name("a")}, {f.name(""), "a"}, {f.name(""), "b"}, {f.name("x"), "a"}, {f.name("xa"), "a"}, {f.name("x"), "aa"},
			{"", "\x00" + f.name("x") + "\x00a"}, {"", "\x00" + f.name("") + "\x00a"}, {f.name("x"), "\x00a"}, {f.name("x/a"), "a"}, {f.name("x"), "/a"},
		}
		for _, pl := range places {
			p := f.client(dlock.WithNamespace(pl.space))
			if !k.value(p.Client, pl.name).TryLock() {
				f.Fatalf("namespace %q and name %q are the same lock as others", pl.space, pl.name)
			}
		}
		for _, pl := range places {
			p := f.client(dlock.WithNamespace(pl.space))
			f.busy(k.value(p.Client, pl.name))
		}
	})
	f.step("errors tell the name without it", func(f *fixture) {
		a, b := f.client(dlock.WithNamespace(f.prefix)), f.client(dlock.WithNamespace(f.prefix))
		h := f.take(a.Mutex("a"))
		_, err := b.Mutex("a").TryAcquire(f.patient())
		runtime.KeepAlive(h) // A hold that is garbage is released.
		want := dlock.Error{Op: "tryacquire", Class: backend.Mutex.String(), Name: "a"}
		if e, ok := errors.AsType[*dlock.Error](err); !ok || e.Op != want.Op || e.Class != want.Class || e.Name != want.Name || e.Backend != a.recorder.String() {
			f.Errorf("the error is %#v", err)
		}
	})
}
