package mailbox

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/dlock-go/dlock/backend"
)

// What was sent comes in order, once, and the end is told to who waits for it.
func TestMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		m := New(&mu)
		send := func(owner uint64) {
			mu.Lock()
			defer mu.Unlock()
			m.Send(backend.Event{Kind: backend.EventTurn, Owner: owner})
		}
		var got []uint64
		ended := make(chan error)
		go func() {
			for {
				events, err := m.Recv(t.Context())
				if err != nil {
					ended <- err
					return
				}
				for _, e := range events {
					got = append(got, e.Owner)
				}
			}
		}()
		for i := range uint64(3) {
			send(2 * i)
			send(2*i + 1)
			synctest.Wait()
		}
		why := errors.New("why")
		mu.Lock()
		m.End(why)
		mu.Unlock()
		if err := <-ended; err != why {
			t.Errorf("Recv: %v", err)
		}
		for i, owner := range got {
			if owner != uint64(i) {
				t.Fatalf("received %v", got)
			}
		}
		if len(got) != 6 {
			t.Errorf("received %v", got)
		}
	})
}

// A context that has ended does not keep back what has come.
func TestRecvEnds(t *testing.T) {
	m := New(new(sync.Mutex))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Recv(ctx); err != context.Canceled {
		t.Errorf("Recv: %v", err)
	}
	m.Send(backend.Event{Owner: 1})
	if events, err := m.Recv(ctx); len(events) != 1 || err != nil {
		t.Errorf("Recv: %v, %v", events, err)
	}
}
