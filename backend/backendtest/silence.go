package backendtest

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var silenceChecks = []check{
	{"silence/Open ends with its ctx", checkSilentOpen},
	{"silence/Open takes its time over a slow link", checkSlowOpen},
	{"silence/Apply, Recv, Inspect and Close end with their ctx", checkSilentCalls},
}

// prompt bounds what ends with its ctx. It is far from what drivers wait for on their
// own, and far from what a busy machine takes.
const prompt = 3 * time.Second

// patient returns a context for what has to come.
func (f *fixture) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), f.bound())
}

// promptly fails the test unless call returns soon after its ctx has ended.
func (f *fixture) promptly(what string, call func(ctx context.Context) error) error {
	f.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- call(ctx) }()
	select {
	case err := <-over:
		return err // of its own accord
	case <-time.After(f.TTL / 8):
	}
	cancel()
	ended := time.Now()
	select {
	case err := <-over:
		if d := time.Since(ended); d > prompt {
			f.Errorf("%s has returned %v after the end of its ctx", what, d)
		}
		return err
	case <-time.After(f.bound()):
		f.Fatalf("%s has not returned %v after the end of its ctx", what, f.bound())
		return nil
	}
}

func checkSilentOpen(f *fixture) {
	b := f.behind(pauses)
	f.subject(b) // a Backend may have to begin once
	store := b.Open()
	b.Pause()
	defer b.Resume()
	err := f.promptly("Open", func(ctx context.Context) error {
		s, err := store.Open(ctx, f.TTL, backend.ClientInfo{})
		if err == nil {
			_ = s.Close(ctx)
		}
		return err
	})
	if err == nil || err.Error() == context.Canceled.Error() {
		f.Errorf("Open: %v; it has to say what it was waiting for", err)
	}
}

func checkSlowOpen(f *fixture) {
	b := f.behind(delays)
	b.Delay(f.TTL / 4)
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience+20*f.TTL)
	defer cancel()
	began := time.Now()
	session, err := b.Open().Open(ctx, f.TTL, f.clientInfo())
	if err != nil {
		f.Fatalf("Open, after %v: %v", time.Since(began), err)
	}
	f.Logf("Open took %v, with answers that take %v and a time to live of %v", time.Since(began), f.TTL/4, f.TTL)
	s := f.adopt(b, session)
	if _, grant := s.take(mutex("a")); !grant.Lease.Until.IsZero() && !time.Now().Before(s.until(grant.Lease.ID)) {
		f.Error("the lease was over when it was told")
	}
}

func checkSilentCalls(f *fixture) {
	b := f.behind(pauses)
	s := f.subject(b)
	store := b.Open()
	s.take(mutex("a"))
	b.Pause()
	if f.Caps.Inspect {
		_ = f.promptly("Inspect", func(ctx context.Context) error {
			_, _, err := store.Inspect(ctx, backend.Mutex, "a")
			return err
		})
	}
	_ = f.promptly("Apply", func(ctx context.Context) error {
		_, _, err := s.session.Apply(ctx, []backend.Op{s.claim(mutex("b"), true)})
		return err
	})
	s.closed = true
	_ = f.promptly("Close", s.session.Close)
	s.running.Wait() // Close makes Recv return
	s.kill()
	b.Resume()
}
