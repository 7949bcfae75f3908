package backendtest

import (
	"context"
	"errors"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var sessionChecks = []check{
	{"session/Close frees what it holds", checkCloseFreesHolds},
	{"session/Close withdraws where it waits", checkCloseWithdraws},
	{"session/Close ends Recv and Apply", checkCloseEnds},
	{"session/a closed session answers ErrClosed", checkClosed},
	{"session/Close with an ended ctx lets go all the same", checkCloseEndedCtx},
	{"session/ctx ends Recv", checkRecvCtx},
	{"session/ctx ends Apply", checkApplyCtx},
	{"session/ctx bounds the opening alone", checkOpenCtx},
	{"session/sessions of one Backend exclude each other", checkOneBackend},
	{"session/no goroutine is left", checkGoroutines},
}

func checkCloseFreesHolds(f *fixture) {
	all := []backend.Op{mutex("a"), writer("b"), reader("c"), ticket("d", 1), ticket("e", 3)}
	a, b, c := f.peer(), f.peer(), f.peer()
	var waiting []*claim
	for _, op := range all {
		a.take(op)
		if op.Mode == backend.Shared {
			op = writer(op.Name)
		}
		if op.Limit != 3 {
			w := b.acquire(op)
			w.waiting()
			waiting = append(waiting, w)
		}
	}
	a.close()
	for _, w := range waiting {
		w.wait()
	}
	b.close()
	for _, op := range all {
		c.free(op)
	}
}

func checkCloseWithdraws(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		held := a.take(op)
		b.acquire(op).waiting()
		b.acquire(op).waiting()
		b.close()
		held.holding()
		held.release()
		c.free(op)
	})
}

// bare opens a session that nobody serves. It ends with the test.
func (f *fixture) bare(b backend.Backend) backend.Session {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
	defer cancel()
	s, err := b.Open(ctx, f.TTL, backend.ClientInfo{})
	if err != nil {
		f.Fatalf("Open: %v", err)
	}
	f.Cleanup(func() { f.close(s) })
	return s
}

// close closes a bare session, unless it was closed before.
func (f *fixture) close(s backend.Session) {
	if f.closed[s] {
		return
	}
	if f.closed == nil {
		f.closed = make(map[backend.Session]bool)
	}
	f.closed[s] = true
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		f.Errorf("Close: %v", err)
	}
}

// ends fails the test unless call returns an error soon.
func (f *fixture) ends(what string, result <-chan error) {
	f.Helper()
	select {
	case err := <-result:
		if err == nil {
			f.Errorf("%s returned no error", what)
		}
	case <-time.After(f.Patience):
		f.Fatalf("%s has not returned after %v", what, f.Patience)
	}
}

// receiving calls Recv until it fails.
func receiving(ctx context.Context, s backend.Session) <-chan error {
	result := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Recv(ctx); err != nil {
				result <- err
				return
			}
		}
	}()
	return result
}

// applying calls Apply until it fails. It sends to started when the first call
// has returned.
func applying(s backend.Session, started chan<- struct{}) <-chan error {
	result := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if _, _, err := s.Apply(context.Background(), nil); err != nil {
				result <- err
				return
			}
			if i == 0 {
				close(started)
			}
		}
	}()
	return result
}

func checkCloseEnds(f *fixture) {
	for range 10 {
		s := f.bare(f.open())
		started := make(chan struct{})
		received, applied := receiving(context.Background(), s), applying(s, started)
		<-started
		f.close(s)
		f.ends("Recv beside Close", received)
		f.ends("Apply beside Close", applied)
	}
}

func checkClosed(f *fixture) {
	s := f.bare(f.open())
	f.close(s)
	if _, err := s.Recv(context.Background()); !errors.Is(err, backend.ErrClosed) {
		f.Errorf("Recv: %v, want ErrClosed", err)
	}
	if _, _, err := s.Apply(context.Background(), nil); !errors.Is(err, backend.ErrClosed) {
		f.Errorf("Apply: %v, want ErrClosed", err)
	}
}

func checkCloseEndedCtx(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		a.take(op)
		w := b.acquire(op)
		w.waiting()
		a.crash()
		w.wait()
	})
}

func checkRecvCtx(f *fixture) {
	s := f.bare(f.open())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	received := receiving(ctx, s)
	cancel()
	f.ends("Recv beside the end of its ctx", received)
}

func checkApplyCtx(f *fixture) {
	s := f.bare(f.open())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		s.Apply(ctx, nil) // any answer is right
	}()
	select {
	case <-returned:
	case <-time.After(f.Patience):
		f.Fatalf("Apply with an ended ctx has not returned after %v", f.Patience)
	}
}

func checkOpenCtx(f *fixture) {
	b := f.open()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := b.Open(ctx, f.TTL, backend.ClientInfo{})
	if err != nil {
		f.Fatalf("Open: %v", err)
	}
	defer f.close(s)
	cancel()
	if _, _, err := s.Apply(context.Background(), nil); err != nil {
		f.Errorf("Apply after the end of the ctx of Open: %v", err)
	}
	if s, err := b.Open(ctx, f.TTL, backend.ClientInfo{}); err == nil {
		f.close(s)
		f.Error("Open with an ended ctx succeeded")
	}
}

func checkOneBackend(f *fixture) {
	b := f.open()
	first, err := f.connect(b, f.clientInfo())
	if err != nil {
		f.Fatal(err)
	}
	second, err := f.connect(b, f.clientInfo())
	if err != nil {
		f.Fatal(err)
	}
	first.take(mutex("a"))
	second.busy(mutex("a"))
	first.close()
	second.free(mutex("a"))
}
