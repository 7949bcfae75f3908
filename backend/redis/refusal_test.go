package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// user gives all servers a user with these rights beside all others, and returns the
// settings of a client for it.
func (d deployment) user(t *testing.T, name string, rules ...string) client.UniversalOptions {
	t.Helper()
	d.each(t, append([]string{"ACL", "SETUSER", name, "on", ">secret", "~*", "&*", "+@all"}, rules...)...)
	return client.UniversalOptions{Username: name, Password: "secret"}
}

// leases applies a heartbeat and returns the leases that it tells of.
func leases(t *testing.T, s backend.Session) []backend.Lease {
	t.Helper()
	_, leases, err := s.Apply(patient(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

// passing are refusals of the moment: how they begin, what brings them about, and what
// ends them.
var passing = map[string]struct {
	all        bool // ops are refused, not only new ones
	begin, end []string
}{
	"OOM":        {false, []string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
	"NOREPLICAS": {true, []string{"CONFIG", "SET", "min-replicas-to-write", "1"}, []string{"CONFIG", "SET", "min-replicas-to-write", "0"}},
	"READONLY":   {true, []string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
}

// TestRefusalThatPasses has servers that do not serve for a while, and expects them to
// be quoted.
func TestRefusalThatPasses(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		for what, c := range passing {
			if what == "READONLY" && (d.cluster || len(d.servers) > 1) {
				continue // That is a REPLICATE in a cluster, and votes that came over do not count.
			}
			s := session(t, d.store(t, client.UniversalOptions{}), 5*time.Second)
			held, next := mutexOp(1, "n"), mutexOp(2, "m")
			granted(t, s, held)
			d.each(t, c.begin...)
			refusedNow := func(op backend.Op) {
				t.Helper()
				until(t, "refused", func() bool {
					r := apply(t, s, op)[0]
					if r.State != backend.Unknown && r.State != backend.Refused {
						t.Fatalf("%s: state %d, %v; want Refused", what, r.State, r.Err)
					}
					if r.State == backend.Refused && (!strings.Contains(fmt.Sprint(r.Err), what) || errors.Is(r.Err, backend.ErrDenied)) {
						t.Errorf("%s: the reason is %v", what, r.Err)
					}
					return r.State == backend.Refused
				})
			}
			refusedNow(next)
			if c.all {
				l := leases(t, s)
				if len(l) == 0 || l[0].Err == nil || !strings.Contains(l[0].Err.Error(), what) || l[0].Until.IsZero() {
					t.Errorf("%s: the leases after a refused heartbeat are %+v", what, l)
				}
				refusedNow(released(held))
			} else if l := leases(t, s); len(l) > 0 && l[0].Err != nil {
				t.Errorf("%s: a heartbeat that needs no memory: %v", what, l[0].Err)
			}
			d.each(t, c.end...)
			granted(t, s, next)
			for _, op := range []backend.Op{held, next} {
				until(t, "released", func() bool { return state(t, s, released(op)) == backend.Released })
			}
		}
	})
}

// TestRefusalThatStays takes the right to a command away, and gives it back.
func TestRefusalThatStays(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		s := session(t, d.store(t, d.user(t, "u")), 5*time.Second)
		watch := session(t, d.store(t, client.UniversalOptions{}), 5*time.Second)
		held := mutexOp(1, "held")
		granted(t, s, held)
		d.user(t, "u", "-evalsha", "-eval")
		var owner uint64 = 1
		until(t, "denied", func() bool {
			owner++
			r := apply(t, s, mutexOp(owner, "n"))[0]
			switch r.State {
			case backend.Unknown, backend.Refused: // A quorum's nodes are cut off one by one.
				return false
			case backend.Failed:
			default:
				t.Fatalf("state %d, %v; want Failed", r.State, r.Err)
			}
			if !errors.Is(r.Err, backend.ErrDenied) || !strings.Contains(r.Err.Error(), "NOPERM") {
				t.Errorf("the reason is %v", r.Err)
			}
			return true
		})
		if l := leases(t, s); len(l) == 0 || !errors.Is(l[0].Err, backend.ErrDenied) {
			t.Errorf("the leases after a denied heartbeat are %+v", l)
		}
		r := apply(t, s, released(held))[0]
		if r.State != backend.Refused || !errors.Is(r.Err, backend.ErrDenied) {
			t.Errorf("a release that is not allowed: state %d, %v; want Refused", r.State, r.Err)
		}
		if got := state(t, watch, notWaiting(mutexOp(1, "held"))); got != backend.Busy {
			t.Errorf("what was not released: state %d for others, want Busy", got)
		}
		granted(t, watch, mutexOp(2, "n"))
		d.user(t, "u")
		until(t, "released", func() bool {
			got := state(t, s, released(held))
			if got == backend.NotHeld {
				t.Fatal("the release is NotHeld")
			}
			return got == backend.Released
		})
		granted(t, watch, mutexOp(3, "held"))
	})
}

func notWaiting(op backend.Op) backend.Op {
	op.Wait = false
	return op
}

// inScripts are the commands that scripts call.
var inScripts = strings.Fields("set get del exists pexpire pttl time zadd zrem zrange zrangebyscore zscore hset hget hdel hmget hgetall hlen hexists hkeys hvals hscan hsetnx hincrby incr publish")

// TestEachCommandDenied takes the right to each command in turn from sessions that
// contend for a lock of each kind. Whatever they are told, nobody else may find anything
// left of what they were told is not theirs, once the right is back.
func TestEachCommandDenied(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		st, plain := d.store(t, d.user(t, "u")), d.store(t, client.UniversalOptions{})
		for _, command := range inScripts {
			a, b, other := session(t, st, 10*time.Second), session(t, st, 10*time.Second), session(t, plain, 10*time.Second)
			denied := false
			for kind, op := range kinds(1, "n "+command) {
				granted(t, a, op)
				op.Mode, op.Limit = backend.Exclusive, 1
				if kind == "ticket" {
					op.Limit = 2
				}
				d.user(t, "u", "-"+command)
				mine := contend(t, b, op)
				theirs := leave(t, a, kinds(1, "n "+command)[kind])
				denied = denied || mine != nil || theirs != nil
				d.user(t, "u")
				for _, s := range []backend.Session{b, a} {
					until(t, command+": a "+kind+" is released", func() bool {
						got := state(t, s, released(op))
						return got == backend.Released || got == backend.NotHeld
					})
				}
				op.Owner = 2
				granted(t, other, op)
				until(t, "the other releases", func() bool { return state(t, other, released(op)) == backend.Released })
				op.Owner = 1
			}
			for _, s := range []backend.Session{a, b, other} {
				s.Close(patient(t))
			}
			t.Logf("%s: something was denied: %v", command, denied)
		}
	})
}

// contend asks for a lock until it has an answer that ends its request, and returns the
// reason of one that is no place in the queue. An answer of Failed has to leave nothing.
func contend(t *testing.T, s backend.Session, op backend.Op) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		switch r := apply(t, s, op)[0]; r.State {
		case backend.Failed:
			if !errors.Is(r.Err, backend.ErrDenied) {
				t.Errorf("an Acquire has failed by %v, which is not ErrDenied", r.Err)
			}
			return r.Err
		case backend.Refused:
			return r.Err
		case backend.Unknown:
		default:
			return nil
		}
	}
	return nil
}

// leave releases a lock, and returns why that was refused.
func leave(t *testing.T, s backend.Session, op backend.Op) error {
	t.Helper()
	if r := apply(t, s, released(op))[0]; r.State == backend.Refused {
		return r.Err
	}
	return nil
}

// TestOpenIsDenied opens sessions that the servers do not allow, and looks which errors
// are to be tried again.
func TestOpenIsDenied(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		for what, c := range map[string]struct {
			options client.UniversalOptions
			cause   error
		}{
			"no script":      {d.user(t, "noscript", "-eval", "-evalsha"), backend.ErrDenied},
			"no keys":        {d.user(t, "nokeys", "resetkeys", "~other:*"), backend.ErrDenied},
			"wrong password": {client.UniversalOptions{Username: "u", Password: "wrong"}, nil},
		} {
			s, err := d.store(t, c.options).Open(patient(t), 5*time.Second, backend.ClientInfo{})
			if err == nil {
				s.Close(patient(t))
				t.Errorf("%s: opened", what)
				continue
			}
			if denied := errors.Is(err, backend.ErrDenied); denied != (c.cause != nil) || errors.Is(err, backend.ErrUnsupported) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestQuorumOpenNamesARight takes each right in turn from who opens a session.
func TestQuorumOpenNamesARight(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	ofQuorums := strings.Fields("info zunionstore")
	for _, command := range inScripts {
		if command != "incr" && command != "hexists" && command != "hlen" && command != "zrange" {
			ofQuorums = append(ofQuorums, command)
		}
	}
	for _, command := range ofQuorums {
		st := d.store(t, d.user(t, "u", "-"+command))
		s, err := st.Open(patient(t), 5*time.Second, backend.ClientInfo{})
		if err == nil {
			s.Close(patient(t))
			t.Errorf("%s: opened", command)
			continue
		}
		if !errors.Is(err, backend.ErrDenied) || !strings.Contains(strings.ToUpper(err.Error()), strings.ToUpper(command)) {
			t.Errorf("%s: %v", command, err)
		}
	}
	for _, s := range d.servers {
		if got := do(t, s, "EXISTS", "t:q:probe"); got != "0" {
			t.Error("the probe is left")
		}
	}
}

// TestQuorumBearsAMinorityThatRefuses expects nobody to hear of one node of three that
// does not serve.
func TestQuorumBearsAMinorityThatRefuses(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	s := session(t, d.store(t, d.user(t, "u")), 5*time.Second)
	for owner, fault := range map[uint64][]string{
		1: {"CONFIG", "SET", "maxmemory", "1"},
		2: {"CONFIG", "SET", "min-replicas-to-write", "1"},
		3: {"ACL", "SETUSER", "u", "-evalsha", "-eval"},
	} {
		do(t, d.servers[0], fault...)
		op := mutexOp(owner, "n")
		granted(t, s, op)
		for _, l := range leases(t, s) {
			if l.Err != nil {
				t.Errorf("%v: %v", fault, l.Err)
			}
		}
		until(t, "released", func() bool { return state(t, s, released(op)) == backend.Released })
	}
}

// TestClusterMemberByItself opens a cluster's node as if it were a server of its own.
func TestClusterMemberByItself(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, "cluster-enabled yes")
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	_, err := redis.New(c).Open(patient(t), time.Second, backend.ClientInfo{})
	if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), "redis+cluster://") {
		t.Errorf("%v", err)
	}
}
