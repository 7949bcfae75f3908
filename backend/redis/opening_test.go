package redis_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
)

// A slowLink delivers what a server says after a delay, one answer's after another's.
type slowLink struct{ delay time.Duration }

func (l slowLink) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		io.Copy(conn, far)
		conn.Close()
	}()
	go func() {
		defer far.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			time.Sleep(l.delay)
			if _, err := far.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	return near, nil
}

// TestOpenIsBoundedByItsContext opens sessions over a link that takes longer for each
// answer than the leases live.
func TestOpenIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		const ttl = 50 * time.Millisecond
		link := slowLink{3 * ttl}
		s, err := d.store(t, client.UniversalOptions{Dialer: link.dial}).Open(patient(t), ttl, backend.ClientInfo{})
		if err != nil {
			t.Fatal(err)
		}
		s.Close(patient(t))
	})
}

// TestOpenTellsWhatItWaitsFor opens sessions on servers that hang.
func TestOpenTellsWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		st := d.store(t, client.UniversalOptions{})
		for _, s := range d.servers {
			s.Pause()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := st.Open(ctx, 50*time.Millisecond, backend.ClientInfo{})
		if took := time.Since(began); took < time.Second || took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "asking the server") && !strings.Contains(err.Error(), "subscribing") {
			t.Errorf("%v", err)
		}
		for _, s := range d.servers {
			s.Resume()
		}
	})
}

// TestOpenEndsWhileItConnects ends the context of Open just before a connection is made,
// to a server that hangs.
func TestOpenEndsWhileItConnects(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		var dials atomic.Int32
		dial := func(_ context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).Dial(network, addr)
			if int(dials.Add(1)) > len(d.servers) { // It is that of a subscription.
				for _, s := range d.servers {
					s.Pause()
				}
				cancel()
				<-ended
			}
			return conn, err
		}
		defer func() {
			for _, s := range d.servers {
				s.Resume()
			}
		}()
		context.AfterFunc(ctx, func() { time.AfterFunc(100*time.Millisecond, func() { close(ended) }) })
		opened := make(chan error, 1)
		st := d.store(t, client.UniversalOptions{Dialer: dial})
		go func() {
			_, err := st.Open(ctx, time.Minute, backend.ClientInfo{})
			opened <- err
		}()
		select {
		case err := <-opened:
			if err == nil {
				t.Error("opened")
			}
		case <-time.After(patience):
			t.Error("Open does not return")
		}
	})
}

// TestSlowLinkServes holds a lock over a link of which opening takes longer than the
// time to live.
func TestSlowLinkServes(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		const ttl = 5 * time.Second
		s := session(t, d.store(t, client.UniversalOptions{Dialer: slowLink{ttl / 5}.dial}), ttl)
		op := mutexOp(1, "n")
		granted(t, s, op)
		for range 5 {
			for _, l := range leases(t, s) {
				if !time.Now().Before(l.Until) {
					t.Errorf("the lease is over: %+v", l)
				}
			}
		}
		until(t, "released", func() bool { return state(t, s, released(op)) == backend.Released })
	})
}
