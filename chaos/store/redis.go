package store

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/internal/redistest"
)

func init() {
	register(Maker{Name: "quorum", New: func() Store { return &redis{nodes: 3} }, TTL: time.Second})
	register(Maker{Name: "redis", New: func() Store { return &redis{nodes: 1} }, TTL: time.Second})
}

// redis is one node or a quorum of several.
type redis struct {
	Setup
	nodes   int
	servers []*redistest.Server
	skews   []*skew
	network *network
}

func (r *redis) Start(_ context.Context, s Setup) error {
	r.Setup = s
	var addrs []string
	for i := range r.nodes {
		dir := fmt.Sprintf("%s/clock%d", s.Dir, i)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		k, err := newSkew(dir)
		if err != nil {
			return err
		}
		r.skews = append(r.skews, k)
		server, err := redistest.StartWith(k.env(), "appendonly yes", "appendfsync everysec", "user app on >secret "+allRights)
		if err != nil {
			return err
		}
		r.servers = append(r.servers, server)
		addrs = append(addrs, server.Addr())
	}
	var err error
	r.network, err = newNetwork(s.Slots, addrs)
	return err
}

func (r *redis) URL(slot int) string {
	u := "redis://app:secret@" + strings.Join(r.network.addrs(slot), ",")
	if r.nodes > 1 {
		// A node that was started again takes no part for as long.
		u += "?max-ttl=2s"
	}
	return u
}

func (r *redis) Promise(ttl time.Duration) check.Promise {
	p := check.Promise{
		Caps:   backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Processes: true, Inspect: true},
		Leased: true,
		Turns:  exact,
		Woken:  push,
		Signal: ttl,
		Killed: ttl + atOnce,
	}
	if r.nodes > 1 {
		p.Caps.Queue, p.Unordered = false, "a quorum claims no order"
		p.Turns = check.Turns{Least: 1, Most: 2 * backend.MaxWriters}
		p.Passed = 16
		// Its nodes keep a lock that became free for who has waited longest.
		p.Kept = 100 * time.Millisecond
		p.Woken += p.Kept
	}
	return p
}

const clockJump = "clock jump"

// allRights are those of the user that the workers are, and commands are some of the
// rights that are taken from it.
const allRights = "~* &* +@all"

var commands = []string{"evalsha", "publish", "subscribe", "ping", "set", "del", "hset", "zadd", "zrem"}

// ofLocks matches the keys of locks that are held.
var ofLocks = regexp.MustCompile(`^dlock:(q:[hr]:[mrs]|[mrs]:)`)

// ofVotes matches the keys of a quorum that say who holds a lock and who waits for it.
var ofVotes = regexp.MustCompile(`^dlock:q:[hrw]:[mrs]`)

// starts are the faults after which a node of a quorum takes no part for a while.
var starts = map[string]bool{"kill server": true, "kill server, data lost": true, "restart server": true}

// server chooses one of the nodes. What makes a node of a quorum forget always happens
// to the same: nothing is promised when two do within one TTL.
func (r *redis) server(x *fault.Injection, forgets bool) (*redistest.Server, *skew) {
	i := 0
	if !forgets {
		i = x.Rand.IntN(len(r.servers))
	}
	if len(r.servers) > 1 {
		x.Note("server %d", i)
		x.Minor()
	}
	return r.servers[i], r.skews[i]
}

// Faults of a single node: that of one node of a quorum may not be noticed. Data
// that is lost, and clocks that jump, may let two hold for one TTL, and of a quorum
// they must not as long as they happen to one node at a time.
func (r *redis) Faults(ttl time.Duration) []fault.Kind {
	free := ttl + time.Second
	amnesia := ttl
	if r.nodes > 1 {
		amnesia = 0
	}
	kept := func(s *redistest.Server) (n int) {
		v, _ := s.Do("KEYS", "dlock:*")
		keys, _ := v.([]any)
		for _, key := range keys {
			if ofLocks.MatchString(fmt.Sprint(key)) {
				n++
			}
		}
		return n
	}
	lose := func(x *fault.Injection, n int) {
		if n > 0 {
			x.Did("%d locks forgotten that were held", n)
		}
	}
	server := func(name string, overlap, recovery time.Duration, inject func(context.Context, *fault.Injection, *redistest.Server, *skew) error) fault.Kind {
		return fault.Kind{
			Name: name, Target: fault.Server, Overlap: overlap, Recovery: recovery, Takes: overlap > 0 && name != clockJump,
			Early: r.nodes > 1 && name == "flushall", // The loss of a minority's data is what a quorum is for.
			Inject: func(ctx context.Context, x *fault.Injection) error {
				s, k := r.server(x, starts[name] || name == "flushall" || name == "delete a lock" || name == clockJump)
				return inject(ctx, x, s, k)
			},
		}
	}
	kinds := []fault.Kind{
		fault.Kill(free),
		fault.Stop(free),
		server("stop server", 0, free, func(ctx context.Context, x *fault.Injection, s *redistest.Server, _ *skew) error {
			s.Pause()
			x.Wait(ctx, x.Stretch(0.5, 3))
			s.Resume()
			return nil
		}),
		server("kill server", 0, free, func(ctx context.Context, x *fault.Injection, s *redistest.Server, _ *skew) error {
			s.Kill()
			x.Wait(ctx, x.Stretch(0, 1))
			return s.Start()
		}),
		server("restart server", 0, free, func(_ context.Context, _ *fault.Injection, s *redistest.Server, _ *skew) error {
			s.Stop()
			return s.Start()
		}),
		server("kill server, data lost", amnesia, free, func(ctx context.Context, x *fault.Injection, s *redistest.Server, k *skew) error {
			if !r.settled(ctx, x, k) {
				return nil
			}
			n := kept(s)
			err := s.RestartEmpty()
			lose(x, n)
			return err
		}),
		server("flushall", amnesia, free, func(ctx context.Context, x *fault.Injection, s *redistest.Server, k *skew) error {
			if !r.settled(ctx, x, k) {
				return nil
			}
			n := kept(s)
			_, err := s.Do("FLUSHALL")
			lose(x, n)
			return err
		}),
		server("client kill", 0, free, func(_ context.Context, x *fault.Injection, s *redistest.Server, _ *skew) error {
			kind := []string{"normal", "pubsub"}[x.Rand.IntN(2)]
			_, err := s.Do("CLIENT", "KILL", "TYPE", kind)
			x.Note("%s", kind)
			return err
		}),
	}
	kinds = append(kinds,
		server("delete a lock", amnesia, free, func(_ context.Context, x *fault.Injection, s *redistest.Server, _ *skew) error {
			name := job.Name(x.Name())
			v, err := s.Do("KEYS", "dlock:*"+name)
			if err != nil {
				return err
			}
			keys, _ := v.([]any)
			for _, key := range keys {
				if key := fmt.Sprint(key); ofLocks.MatchString(key) {
					x.Note("%s", key)
					if _, err := s.Do("DEL", key); err != nil {
						return err
					}
				}
			}
			return nil
		}),
		server("take a right", 0, free, func(ctx context.Context, x *fault.Injection, s *redistest.Server, _ *skew) error {
			command := commands[x.Rand.IntN(len(commands))]
			x.Note("%s", command)
			// An EVAL in place of an EVALSHA always does.
			if _, err := s.Do("ACL", "SETUSER", "app", "-"+command); err != nil {
				return err
			}
			x.Wait(ctx, x.Stretch(0.3, 2))
			_, err := s.Do(append([]string{"ACL", "SETUSER", "app"}, strings.Fields(allRights)...)...)
			return err
		}))
	if r.skews[0] != nil {
		kinds = append(kinds, server(clockJump, amnesia, 3*ttl, func(ctx context.Context, x *fault.Injection, _ *redistest.Server, k *skew) error {
			d := x.Stretch(0.5, 2)
			if x.Rand.IntN(2) == 0 {
				d = -d
			}
			x.Note("by %v", d.Round(time.Millisecond))
			if err := k.set(d); err != nil {
				return err
			}
			x.Wait(ctx, x.Stretch(0.5, 1.5))
			return k.set(0)
		}))
	}
	return append(kinds, r.network.faults(0, 0, free)...)
}

// settled waits until a single node can lose its data: tokens are not promised to grow
// when its clock was set back as well. It reports false when ctx ends before.
func (r *redis) settled(ctx context.Context, x *fault.Injection, k *skew) bool {
	if r.nodes == 1 {
		x.Wait(ctx, k.behind())
	}
	return ctx.Err() == nil
}

// Leaks looks for keys that never expire, beside a few that every store has, and
// for locks and queues.
func (r *redis) Leaks(ctx context.Context) ([]string, error) {
	select { // The sessions of those that were killed end by themselves.
	case <-time.After(r.TTL + 500*time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var leaks []string
	for i, s := range r.servers {
		v, err := s.Do("KEYS", "dlock:*")
		if err != nil {
			return nil, err
		}
		keys, _ := v.([]any)
		forever := 0
		for _, k := range keys {
			key := fmt.Sprint(k)
			left, err := s.Do("PTTL", key)
			if err != nil {
				return nil, err
			}
			if left == int64(-1) {
				forever++
			}
			switch rest := strings.TrimPrefix(key, "dlock:"); {
			case strings.HasPrefix(rest, "a:"):
				leaks = append(leaks, fmt.Sprintf("server %d: a session lives: %s", i, key))
			case strings.Contains(rest, "chaos/") && (r.nodes == 1 || ofVotes.MatchString(key)):
				leaks = append(leaks, fmt.Sprintf("server %d: a lock or queue is left: %s", i, key))
			}
		}
		if most := 8 + r.perName()*(r.Names+2); forever > most {
			leaks = append(leaks, fmt.Sprintf("server %d: %d keys do not expire, more than %d", i, forever, most))
		}
		v, err = s.Do("CLIENT", "LIST")
		if err != nil {
			return nil, err
		}
		if n := strings.Count(fmt.Sprint(v), "\n"); n > 1 {
			leaks = append(leaks, fmt.Sprintf("server %d: %d connections", i, n-1))
		}
	}
	return leaks, nil
}

// perName is how many keys of a name may stay for ever: a quorum keeps the token.
func (r *redis) perName() int {
	if r.nodes > 1 {
		return 1
	}
	return 0
}

func (r *redis) Stop() {
	if r.network != nil {
		r.network.close()
	}
	for _, s := range r.servers {
		s.Close()
	}
	for _, k := range r.skews {
		k.close()
	}
}
