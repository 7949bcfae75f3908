package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
)

// A meter is the network of one program: it counts what is sent, and can cut.
type meter struct {
	mu      sync.Mutex
	bytes   int
	scripts int
	conns   map[*metered]bool // whether it listens to a channel
}

type metered struct {
	net.Conn
	meter *meter
}

func (m *meter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &metered{conn, m}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns == nil {
		m.conns = make(map[*metered]bool)
	}
	m.conns[c] = false
	return c, nil
}

func (c *metered) Write(b []byte) (int, error) {
	c.meter.mu.Lock()
	c.meter.bytes += len(b)
	c.meter.scripts += bytes.Count(b, []byte("\r\nevalsha\r\n"))
	if bytes.Contains(b, []byte("\r\nsubscribe\r\n")) {
		c.meter.conns[c] = true
	}
	c.meter.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *metered) Close() error {
	c.meter.mu.Lock()
	delete(c.meter.conns, c)
	c.meter.mu.Unlock()
	return c.Conn.Close()
}

// cut closes the connections that listen to a channel, or all.
func (m *meter) cut(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, listens := range m.conns {
		if all || listens {
			c.Conn.Close()
		}
	}
}

func (m *meter) sent() (bytes, scripts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes, m.scripts
}

// An elder lives long, and is measured in its youth and at the end.
type elder struct {
	*testing.T
	d      deployment
	meter  *meter
	store  *redis.Store
	prefix string
	ttl    time.Duration
	a, b   backend.Session
	owner  uint64
}

func (e *elder) next() uint64 { e.owner++; return e.owner }

// apply applies ops to a session until it has answers, and opens another in the place of
// one that is dead.
func (e *elder) apply(s *backend.Session, ops ...backend.Op) []backend.Result {
	e.Helper()
	for deadline := time.Now().Add(patience); ; {
		results, _, err := (*s).Apply(e.Context(), ops)
		if err == nil && !slices.ContainsFunc(results, func(r backend.Result) bool { return r.State == backend.Unknown }) {
			return results
		}
		if err != nil {
			(*s).Close(e.Context())
			*s = e.open()
		}
		if time.Now().After(deadline) {
			e.Fatalf("no answer: %v, %v", results, err)
		}
		time.Sleep(2 * time.Millisecond) // as every caller pauses
	}
}

func (e *elder) open() backend.Session {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	s, err := e.store.Open(ctx, e.ttl, backend.ClientInfo{Host: "host", PID: 1})
	if err != nil {
		e.Fatal(err)
	}
	go drain(s)
	return s
}

// pair acquires and releases a lock that nobody else wants.
func (e *elder) pair(s *backend.Session, op backend.Op) {
	e.Helper()
	for {
		op.Owner = e.next()
		r := e.apply(s, op)[0]
		if r.State == backend.Queued { // Of a session that died just before.
			for deadline := time.Now().Add(patience); r.State == backend.Queued; r = e.apply(s, op)[0] {
				if time.Now().After(deadline) {
					e.Fatal("queued for a lock that nobody wants")
				}
			}
		}
		e.apply(s, released(op))
		if r.State == backend.Granted {
			return
		}
		if r.State == backend.Failed && errors.Is(r.Err, backend.ErrLimit) || r.State == backend.Busy {
			continue
		}
		if r.State != backend.Granted && r.State != backend.Failed {
			e.Fatalf("state %d, %v", r.State, r.Err)
		}
	}
}

// drain takes the events of a session, so that they do not pile up, until it ends.
func drain(s backend.Session) {
	for {
		if _, err := s.Recv(context.Background()); err != nil {
			return
		}
	}
}

// An age is what a program has and costs at some time.
type age struct {
	sizes          map[string]int
	goroutines     int
	keys           int
	bytes, scripts int // of ten pairs, without the heartbeats that were due
}

func (e *elder) measure() (g age) {
	e.Helper()
	e.pair(&e.a, mutexOp(0, "measured"))
	g.bytes, g.scripts = 1<<30, 1<<30
	for range 5 { // A heartbeat may fall into one of them.
		began := time.Now()
		bytes, scripts := e.meter.sent()
		for range 10 {
			e.pair(&e.a, mutexOp(0, "measured"))
		}
		b, s := e.meter.sent()
		s -= 2 * len(e.d.servers) * int(3*time.Since(began)/e.ttl)
		g.bytes, g.scripts = min(g.bytes, b-bytes), min(g.scripts, s-scripts)
	}
	g.sizes = redis.Sizes(e.a)
	g.goroutines = goroutines(e.prefix)
	for _, s := range e.d.servers {
		v, err := s.Do("KEYS", e.prefix+"*")
		if err != nil {
			e.Fatal(err)
		}
		keys, _ := v.([]any)
		g.keys += len(keys)
	}
	return g
}

// goroutines returns how many there are of the elder of that name.
func goroutines(name string) int {
	var b strings.Builder
	pprof.Lookup("goroutine").WriteTo(&b, 1)
	n := 0
	for block := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(block, fmt.Sprintf("%q", name)) {
			var here int
			fmt.Sscanf(block[max(0, strings.LastIndex(block[:strings.Index(block, " @")+1], "\n")+1):], "%d", &here)
			n += here
		}
	}
	return n
}

// events are what happens to a program again and again.
var events = map[string]func(e *elder){
	"idle beyond the time to live": func(e *elder) {
		e.pair(&e.a, mutexOp(0, fmt.Sprint("idle", e.owner%4)))
		for began := time.Now(); time.Since(began) < e.ttl+e.ttl/10; time.Sleep(e.ttl / 4) {
			e.apply(&e.a)
		}
	},
	"contention": func(e *elder) {
		kind := []string{"mutex", "write lock", "ticket"}[e.owner%3]
		one, two := kinds(e.next(), "contended")[kind], kinds(e.next(), "contended")[kind]
		one.Limit, two.Limit = 1, 1
		e.apply(&e.a, one)
		e.apply(&e.b, two)
		e.apply(&e.a, released(one))
		for deadline := time.Now().Add(patience); e.apply(&e.b, two)[0].State != backend.Granted; {
			if time.Now().After(deadline) {
				e.Fatal("never granted")
			}
		}
		e.apply(&e.b, released(two))
	},
	"a session ends": func(e *elder) {
		s := e.open()
		op := mutexOp(1, "of a session")
		e.apply(&s, op)
		ctx, cancel := context.WithCancel(e.Context())
		if e.next()%10 == 0 {
			cancel() // It ends as if its process was killed.
		}
		s.Close(ctx)
		cancel()
		e.apply(&e.a) // Who is left sees to what the dead leave.
	},
	"names that come once": func(e *elder) {
		for _, op := range kinds(0, fmt.Sprint("once ", e.owner)) {
			e.pair(&e.a, op)
		}
	},
	"limits that change": func(e *elder) {
		op := kinds(0, "limited")["ticket"]
		op.Limit = uint32(2 + e.owner%5)
		e.pair(&e.a, op)
		op.Owner = e.next()
		e.apply(&e.a, op)
		other := op
		other.Owner, other.Limit = e.next(), op.Limit+1
		if r := e.apply(&e.b, other)[0]; !errors.Is(r.Err, backend.ErrLimit) {
			e.Errorf("state %d, %v; want ErrLimit", r.State, r.Err)
		}
		e.apply(&e.a, released(op))
	},
	"a subscription is lost": func(e *elder) {
		e.meter.cut(false)
		e.pair(&e.a, mutexOp(0, "cut"))
	},
	"all connections are lost": func(e *elder) {
		e.meter.cut(true)
		e.pair(&e.a, mutexOp(0, "cut"))
	},
}

// TestAge runs programs through many cycles of each event, and expects the last tenth
// to find them as the first has left them.
func TestAge(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		for i, name := range slices.Sorted(maps.Keys(events)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cycles, ttl := 10_000, 10*time.Second
				switch name {
				case "idle beyond the time to live":
					cycles, ttl = 500, 100*time.Millisecond
				case "a session ends":
					ttl = time.Second
				}
				if !long() {
					cycles /= 10
					if cycles > 100 && (d.cluster || len(d.servers) > 1 || strings.HasPrefix(name, "a")) {
						cycles /= 5 // They take as long as the others.
					}
				}
				e := &elder{T: t, d: d, meter: new(meter), prefix: fmt.Sprint(t.Name(), i, ":"), ttl: ttl}
				pprof.Do(t.Context(), pprof.Labels("elder", e.prefix), func(context.Context) { e.live(cycles, events[name]) })
			})
		}
	})
}

func (e *elder) live(cycles int, event func(*elder)) {
	e.store = e.d.store(e.T, client.UniversalOptions{Dialer: e.meter.dial}).WithPrefix(e.prefix)
	e.a, e.b = e.open(), e.open()
	defer func() {
		e.a.Close(context.Background())
		e.b.Close(context.Background())
	}()
	for range cycles / 10 {
		event(e)
	}
	young := e.measure()
	for range cycles - cycles/10 {
		event(e)
	}
	var old age
	grown := func() (what string) {
		old = e.measure()
		for what, n := range old.sizes {
			if limit := young.sizes[what]; n > 2*limit+64 {
				return fmt.Sprintf("%d %s, %d in its youth", n, what, limit)
			}
		}
		switch {
		case old.goroutines > young.goroutines+4:
			return fmt.Sprintf("%d goroutines, %d in its youth", old.goroutines, young.goroutines)
		case old.keys > young.keys+8:
			return fmt.Sprintf("%d keys, %d in its youth", old.keys, young.keys)
		case old.bytes > 2*young.bytes, old.scripts > max(young.scripts, 20*len(e.d.servers)):
			// In its youth a node of a quorum may have been away.
			return fmt.Sprintf("%d bytes and %d scripts for ten pairs, %d and %d in its youth", old.bytes, old.scripts, young.bytes, young.scripts)
		}
		return ""
	}
	// What the last event has begun is given time to end.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		what := grown()
		if what == "" {
			break
		}
		if time.Now().After(deadline) {
			e.Errorf("after %d cycles: %s", cycles, what)
			break
		}
	}
	e.Logf("young %+v", young)
	e.Logf("old   %+v", old)
}
