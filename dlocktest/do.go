package dlocktest

import (
	"context"
	"errors"
	"runtime"

	"github.com/dlock-go/dlock"
)

var doChecks = []check{
	{"do/the lock is held inside and free afterwards", checkDoHolds},
	{"do/the ctx of f descends from the caller's and ends", checkDoContext},
	{"do/returns the error of f", checkDoError},
	{"do/gives the lock back when f panics", checkDoPanic},
	{"do/gives the lock back when f ends its goroutine", checkDoGoexit},
}

func checkDoHolds(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		l, other := a.lock(k, "a"), b.lock(k.rival(), "a")
		called := 0
		err := l.Do(f.patient(), func(context.Context) error {
			called++
			f.busy(other)
			return nil
		})
		if err != nil || called != 1 {
			f.Fatalf("Do returned %v, and f was called %d times", err, called)
		}
		f.free(other)
	})
}

func checkDoContext(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		l := f.client().lock(k, "a")
		caller, cancel := context.WithCancelCause(context.WithValue(f.patient(), valueKey{}, "value"))
		defer cancel(nil)
		var inner context.Context
		err := l.Do(caller, func(ctx context.Context) error {
			inner = ctx
			if ctx.Err() != nil || ctx.Value(valueKey{}) != "value" {
				f.Errorf("the ctx of f: %v, with the value %v", ctx.Err(), ctx.Value(valueKey{}))
			}
			if _, ok := ctx.Deadline(); !ok {
				f.Error("the ctx of f has not the caller's deadline")
			}
			return nil
		})
		if err != nil {
			f.Error(err)
		}
		done(f, "the ctx of f ends when f has returned", inner.Done())
		if err := context.Cause(inner); !errors.Is(err, dlock.ErrReleased) {
			f.Errorf("the cause of the ctx of f is %v", err)
		}

		why := errors.New("the caller's reason")
		err = l.Do(caller, func(ctx context.Context) error {
			cancel(why)
			done(f, "the ctx of f ends with the caller's", ctx.Done())
			return context.Cause(ctx)
		})
		if !errors.Is(err, why) || errors.Is(err, dlock.ErrLost) {
			f.Errorf("Do returned %v; want the error of f and no loss", err)
		}
		f.free(l)
	})
}

func checkDoError(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		l, mine := f.client().lock(k, "a"), errors.New("an error of f")
		if err := l.Do(f.patient(), func(context.Context) error { return mine }); err != mine {
			f.Errorf("Do returned %#v instead of the error of f", err)
		}
		f.free(l)
	})
}

func checkDoPanic(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		l := a.lock(k, "a")
		v := panicked(func() { _ = l.Do(f.patient(), func(context.Context) error { panic("of f") }) })
		if v != "of f" {
			f.Errorf("the panic of f has become %v", v)
		}
		f.free(b.lock(k.rival(), "a"))
	})
}

func checkDoGoexit(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		l, gone := a.lock(k, "a"), make(chan struct{})
		go func() {
			defer close(gone)
			_ = l.Do(context.Background(), func(context.Context) error { runtime.Goexit(); return nil })
			f.Error("Do returned although f has ended its goroutine")
		}()
		done(f, "the goroutine has ended", gone)
		f.free(b.lock(k.rival(), "a"))
	})
}
