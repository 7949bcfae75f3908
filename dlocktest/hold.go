package dlocktest

import (
	"context"
	"errors"
	"sync"

	"github.com/dlock-go/dlock"
)

var holdChecks = []check{
	{"hold/Err, Context and Lost tell of a release, which is no loss", checkHoldReleased},
	{"hold/Err, Context and Lost that are asked for after the release", checkHoldAskedLate},
	{"hold/its context has the values of the caller's and not its end", checkHoldContext},
	{"hold/a release beside those who watch", checkHoldWatched},
}

func checkHoldReleased(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		h := f.take(f.client().lock(k, "a"))
		ctx, lost := h.Context(), h.Lost()
		if h.Err() != nil || ctx.Err() != nil || context.Cause(ctx) != nil || closed(ctx.Done()) || closed(lost) {
			f.Error("a hold says that it is over")
		}
		f.release(h)
		done(f, "the context of a released hold is done", ctx.Done())
		f.over(h, ctx)
		if closed(lost) {
			f.Error("Lost is closed by a release")
		}
	})
}

func checkHoldAskedLate(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		h := f.take(f.client().lock(k, "a"))
		f.release(h)
		ctx := h.Context()
		if !closed(ctx.Done()) {
			f.Error("the context of a released hold is not done")
		}
		f.over(h, ctx)
		if closed(h.Lost()) {
			f.Error("Lost is closed by a release")
		}
	})
}

// over fails the test unless a hold and its context say that it was released.
func (f *fixture) over(h *dlock.Hold, ctx context.Context) {
	f.Helper()
	if err := h.Err(); !errors.Is(err, dlock.ErrReleased) || errors.Is(err, dlock.ErrLost) {
		f.Errorf("Err is %v", err)
	}
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		f.Errorf("Err of the context is %v", err)
	}
	if err := context.Cause(ctx); !errors.Is(err, dlock.ErrReleased) || errors.Is(err, dlock.ErrLost) {
		f.Errorf("the cause of the context is %v", err)
	}
}

// A valueKey is the key of a value that a caller gives to its context.
type valueKey struct{}

func checkHoldContext(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		l := f.client().lock(k, "a")
		for name, acquire := range map[string]func(context.Context) (*dlock.Hold, error){"Acquire": l.Acquire, "TryAcquire": l.TryAcquire} {
			caller, cancel := context.WithTimeout(context.WithValue(context.Background(), valueKey{}, name), f.Patience)
			h, err := acquire(caller)
			if err != nil {
				f.Fatal(err)
			}
			ctx := h.Context()
			derived, stop := context.WithCancel(ctx)
			if ctx.Value(valueKey{}) != name || derived.Value(valueKey{}) != name {
				f.Errorf("%s: the values of the caller's context are missing", name)
			}
			if _, ok := ctx.Deadline(); ok {
				f.Errorf("%s: the hold has the deadline of the caller", name)
			}
			cancel()
			if ctx.Err() != nil || derived.Err() != nil || h.Err() != nil {
				f.Errorf("%s: the hold ends with the caller's context", name)
			}
			f.release(h)
			done(f, "what derives from the hold's context ends with it", derived.Done())
			if err := context.Cause(derived); !errors.Is(err, dlock.ErrReleased) {
				f.Errorf("%s: the cause of a derived context is %v", name, err)
			}
			stop()
		}
	})
}

func checkHoldWatched(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		p := f.client()
		for range 20 {
			h := f.take(p.lock(k, "a"))
			released := make(chan struct{})
			var watchers sync.WaitGroup
			for range 4 {
				watchers.Go(func() {
					select {
					case <-h.Context().Done():
					case <-h.Lost():
						f.Error("a hold that was released is lost")
					}
					<-released
					if err := h.Err(); !errors.Is(err, dlock.ErrReleased) {
						f.Errorf("Err is %v after the release", err)
					}
				})
			}
			f.release(h)
			close(released)
			watchers.Wait()
		}
	})
}
