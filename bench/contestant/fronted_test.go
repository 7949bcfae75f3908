package contestant

import (
	"context"
	"errors"
	"testing"

	"github.com/dlock-go/dlock/bench/testbed"
)

// failing has locks that fail until it is mended.
type failing struct{ err error }

func (f *failing) Mutex(string) Lock { return f }
func (f *failing) Close()            {}
func (f *failing) Lock() error       { return f.err }
func (f *failing) Unlock() error     { return nil }

// Who has failed to take the lock does not keep the mutex before it.
func TestAFrontIsLeftAfterAFailure(t *testing.T) {
	peer := &failing{err: errors.New("refused")}
	c := fronted(&Contestant{open: func(context.Context, *testbed.Testbed) (Locks, error) { return peer, nil }})
	locks, err := c.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, other := locks.Mutex("x"), locks.Mutex("x")
	if err := one.Lock(); !errors.Is(err, peer.err) {
		t.Fatal(err)
	}
	peer.err = nil
	if err := other.Lock(); err != nil { // It would wait for ever.
		t.Fatal(err)
	}
	if one.(*front).mu.TryLock() {
		t.Error("two of one name are not behind one mutex")
	}
	if err := other.Unlock(); err != nil {
		t.Fatal(err)
	}
}
