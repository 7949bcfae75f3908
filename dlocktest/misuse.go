package dlocktest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/dlock-go/dlock"
)

var misuseChecks = []check{
	{"misuse/a bad name fails at once", checkBadName},
	{"misuse/a bad limit fails at once", checkBadLimit},
	{"misuse/a zero value panics with a clear message", checkZeroValue},
	{"misuse/unlock of what is not locked panics", checkUnlockUnlocked},
	{"misuse/a composite of nothing, of a stranger, or of a lock twice fails", checkBadComposite},
}

// mustPanic fails the test unless f panics, and returns the value.
func mustPanic(f *fixture, what string, call func()) any {
	f.Helper()
	v := panicked(call)
	if v == nil {
		f.Errorf("%s does not panic", what)
	}
	return v
}

// refuses fails the test unless every call on a lock reports an error at once:
// an error where there is one to return and a panic where there is not.
func (f *fixture) refuses(l lock, want error) {
	f.Helper()
	var errs []error
	for _, way := range waysToWait {
		errs = append(errs, way.wait(f.patient(), l))
	}
	ok, err := l.TryLockContext(f.patient())
	errs = append(errs, err)
	h, err := l.TryAcquire(f.patient())
	errs = append(errs, err)
	if ok || h != nil {
		f.Errorf("a try succeeds; want %v", want)
	}
	for name, call := range map[string]func(){"Lock": l.Lock, "TryLock": func() { l.TryLock() }} {
		err, ok := mustPanic(f, name, call).(error)
		if !ok {
			f.Errorf("%s does not panic with an error", name)
		}
		errs = append(errs, err)
	}
	for _, err := range errs {
		var e *dlock.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Op == "" || e.Class == "" {
			f.Errorf("got %v, want %v in an *Error", err, want)
		} else if strings.Count(err.Error(), "dlock: ") != 1 || len(err.Error()) > 1000 {
			f.Errorf("the text of an error: %.1000s", err)
		}
	}
}

func checkBadName(f *fixture) {
	for _, k := range kinds {
		for _, name := range []string{"", strings.Repeat("x", 1<<20+1)} {
			f.step(fmt.Sprintf("%s, %d bytes", k.name, len(name)), func(f *fixture) {
				p := f.client()
				f.refuses(k.value(p.Client, name), dlock.ErrName)
				if a := p.recorder.account(k.class, name); a != (account{}) {
					f.Errorf("the store was asked: %+v", a)
				}
			})
		}
	}
}

func checkBadLimit(f *fixture) {
	limits := []int{0, -1, math.MinInt}
	if tooMany := math.MaxInt32; tooMany < math.MaxInt {
		tooMany++
		limits = append(limits, tooMany, math.MaxInt)
	}
	for _, limit := range limits {
		f.step(fmt.Sprint(limit), func(f *fixture) {
			p := f.client()
			f.refuses(p.Semaphore(f.name("s"), limit), dlock.ErrLimit)
			f.refuses(dlock.All(p.Mutex(f.name("m")), p.Semaphore(f.name("s"), limit)), dlock.ErrLimit)
			f.free(p.Mutex(f.name("m")))
		})
	}
}

func checkZeroValue(f *fixture) {
	zeros := map[string]lock{
		"Mutex":     new(dlock.Mutex),
		"RWMutex":   new(dlock.RWMutex),
		"RLocker":   readLock{new(dlock.RWMutex)},
		"Semaphore": new(dlock.Semaphore),
		"Composite": new(dlock.Composite),
	}
	for name, l := range zeros {
		f.step(name, func(f *fixture) {
			calls := map[string]func(){
				"Lock":           l.Lock,
				"TryLock":        func() { l.TryLock() },
				"Unlock":         l.Unlock,
				"LockContext":    func() { _ = l.LockContext(f.patient()) },
				"TryLockContext": func() { _, _ = l.TryLockContext(f.patient()) },
				"UnlockContext":  func() { _ = l.UnlockContext(f.patient()) },
				"Acquire":        func() { _, _ = l.Acquire(f.patient()) },
				"TryAcquire":     func() { _, _ = l.TryAcquire(f.patient()) },
				"Do":             func() { _ = l.Do(f.patient(), func(context.Context) error { return nil }) },
			}
			for call, do := range calls {
				text := fmt.Sprint(mustPanic(f, call+" of a zero "+name, do))
				clear := strings.Contains(text, "zero") || strings.Contains(text, "not locked")
				if !strings.HasPrefix(text, "dlock: ") || !clear {
					f.Errorf("%s of a zero %s panics with %q", call, name, text)
				}
			}
		})
	}
}

func checkUnlockUnlocked(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		l := f.client().lock(k, "a")
		for what, unlock := range map[string]func(){
			"Unlock":        l.Unlock,
			"UnlockContext": func() { _ = l.UnlockContext(f.patient()) },
		} {
			text := fmt.Sprint(mustPanic(f, what, unlock))
			if !strings.Contains(text, "dlock: ") || !strings.Contains(text, "not locked") {
				f.Errorf("%s panics with %q", what, text)
			}
		}
		f.free(l)
	})
}

func checkBadComposite(f *fixture) {
	p, q := f.client(), f.client()
	m, rw := p.Mutex(f.name("a")), p.RWMutex(f.name("a"))
	bad := map[string]*dlock.Composite{
		"nothing":                     dlock.All(),
		"a composite of nothing":      dlock.All(m, dlock.All()),
		"a stranger":                  dlock.All(m, stranger{}),
		"a mutex twice":               dlock.All(m, m),
		"two values of a mutex":       dlock.All(m, rw, p.Mutex(f.name("a"))),
		"values of two clients":       dlock.All(m, q.Mutex(f.name("a"))),
		"a write lock and its reader": dlock.All(rw, rw.RLocker()),
		"a read lock twice":           dlock.All(rw.RLocker(), rw.RLocker()),
		"a semaphore twice":           dlock.All(p.Semaphore(f.name("s"), 2), p.Semaphore(f.name("s"), 2)),
		"a lock that a part has":      dlock.All(m, dlock.All(rw, m)),
	}
	for name, c := range bad {
		f.Run(name, func(t *testing.T) { (&fixture{T: t, Harness: f.Harness}).refuses(c, dlock.ErrUnsupported) })
	}
	f.free(m)
	f.free(rw)
}

// A stranger is a sync.Locker that is not of dlock.
type stranger struct{}

func (stranger) Lock()   {}
func (stranger) Unlock() {}
