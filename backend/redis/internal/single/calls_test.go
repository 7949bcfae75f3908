package single

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// The context of an Apply ends the calls of that Apply, and connections only while it
// is under way: what it has left is for the goodbye of the session. An Apply that
// begins after that returns as promptly.
func TestCallsEnd(t *testing.T) {
	for _, c := range []struct{ underway, again, cut bool }{
		{true, false, true},
		{false, false, false},
		{false, true, true},
	} {
		s := &session{wire: new(redisconn.Wire), patience: time.Minute}
		s.life, s.end = context.WithCancel(t.Context())
		here, there := net.Pipe()
		dial := s.wire.Over(func(context.Context, string, string) (net.Conn, error) { return here, nil })
		if _, err := dial(t.Context(), "", ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := s.calls.begin(ctx, s)
		s.calls.done()
		call := s.calls.begin(ctx, s)
		if first.Done() != call.Done() {
			t.Error("the context was made anew")
		}
		if !c.underway {
			s.calls.done()
		}
		cancel()
		<-call.Done()
		if c.again {
			s.calls.begin(ctx, s)
		}
		time.AfterFunc(100*time.Millisecond, func() { here.Write([]byte{1}) })
		_, err := there.Read(make([]byte, 1))
		if cut := err != nil; cut != c.cut {
			t.Errorf("%+v: the connection was cut: %v", c, cut)
		}
		// Another context, and then the end of the session.
		call = s.calls.begin(t.Context(), s)
		if call.Err() != nil {
			t.Error("the end of one context has ended the calls of another")
		}
		s.end()
		if call.Err() == nil {
			t.Error("the calls go on when the session has ended")
		}
		there.Close()
		here.Close()
	}
}

// The end of the context of one Apply, which is noticed a moment later, leaves the
// connections of the next one alone.
func TestCallsOutliveTheContextBefore(t *testing.T) {
	s := &session{wire: new(redisconn.Wire), patience: time.Minute, life: t.Context()}
	here, there := net.Pipe()
	defer here.Close()
	go io.Copy(io.Discard, there)
	dial := s.wire.Over(func(context.Context, string, string) (net.Conn, error) { return here, nil })
	if _, err := dial(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		s.calls.begin(ctx, s)
		s.calls.done()
		cancel()
		s.calls.begin(t.Context(), s)
		runtime.Gosched()
		s.calls.done()
	}
	if _, err := here.Write([]byte{1}); err != nil {
		t.Errorf("the connection was cut: %v", err)
	}
}
