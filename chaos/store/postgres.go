package store

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/internal/pgtest"
)

func init() {
	register(Maker{Name: "postgres", New: func() Store { return new(postgres) }, TTL: 2 * time.Second})
}

// postgres is one server, and after a fail-over another one.
type postgres struct {
	Setup
	server  *pgtest.Server
	gone    []*pgtest.Server // former primaries
	network *network
}

func (p *postgres) Start(_ context.Context, s Setup) error {
	p.Setup = s
	var err error
	if p.server, err = pgtest.Start(p.config()); err != nil {
		return err
	}
	if _, err = p.server.SQL(roles); err != nil {
		return err
	}
	p.network, err = newNetwork(s.Slots, []string{p.addr()})
	return err
}

// mute is whom half of the workers log in as. Their sessions are another role than that,
// so they may not signal each other, nor see what the others do.
const mute = "mute"

const roles = `CREATE SCHEMA dlock;
CREATE SEQUENCE dlock.token CACHE 1 MAXVALUE 2251799813685247;
CREATE ROLE ` + mute + ` LOGIN PASSWORD '` + pgtest.Password + `';
CREATE ROLE another;
GRANT another TO ` + mute + `;
ALTER ROLE ` + mute + ` SET role = another;
GRANT USAGE ON SCHEMA dlock TO another;
GRANT USAGE, UPDATE ON SEQUENCE dlock.token TO another`

func (p *postgres) config() pgtest.Config {
	return pgtest.Config{Settings: map[string]string{
		"shared_buffers": "16MB", "log_min_messages": "fatal",
		// Who was killed may be here still when another has come in his place.
		"max_connections": strconv.Itoa(20 + 2*(p.Slots+1)*p.connections()),
	}}
}

const (
	usualConnections = 8   // of a client that asks for nothing else
	mostConnections  = 400 // of all workers
)

// wanted is how many connections a client needs to have a place in the queue of
// every name at once: one that holds, and one for each name and mode.
func (p *postgres) wanted() int {
	modes := 1
	if p.Class == backend.RWMutex {
		modes = 2
	}
	return 1 + modes*(p.Names+1)
}

// connections is how many a client has. Without one for each place there is no order
// to judge.
func (p *postgres) connections() int {
	return max(usualConnections, min(p.wanted(), mostConnections/p.Slots))
}

func (p *postgres) addr() string { return "127.0.0.1:" + strconv.Itoa(p.server.Port()) }

func (p *postgres) URL(slot int) string {
	u, err := url.Parse(p.server.URL())
	if err != nil {
		panic(err)
	}
	u.Host = p.network.addrs(slot)[0]
	if slot%2 == 1 {
		u.User = url.UserPassword(mute, pgtest.Password)
	}
	if n := p.connections(); n != usualConnections {
		q := u.Query()
		q.Set("dlock_connections", strconv.Itoa(n))
		u.RawQuery = q.Encode()
	}
	return u.String()
}

func (p *postgres) Promise(ttl time.Duration) check.Promise {
	unordered := ""
	if p.connections() < p.wanted() {
		unordered = fmt.Sprintf("%d connections of a client are too few", p.connections())
	}
	return check.Promise{
		Caps:      backend.Caps{Queue: unordered == "", Notify: true, Fencing: true, Processes: true, Inspect: true},
		Unordered: unordered,
		Leased:    true,
		Disk:      true,
		// It is that of the first; the next one queues anew when that has got in.
		Single: true,
		// A client looks whether its wait session stands in the queue before it says so,
		// and after so long says so all the same. The journal is a moment ahead of the
		// driver's clock.
		Unseen: min(time.Second, ttl/6),
		Turns:  check.Turns{Least: 1, Most: 2 * backend.MaxWriters},
		Woken:  push,
		Signal: ttl,
		Killed: atOnce,
	}
}

// Faults: a connection that breaks frees its locks at once, at the server, and
// whoever held them may not know before the deadline of his session. He mostly
// does within milliseconds.
func (p *postgres) Faults(ttl time.Duration) []fault.Kind {
	free := ttl + time.Second
	server := func(name string, overlap, recovery time.Duration, inject func(context.Context, *fault.Injection) error) fault.Kind {
		return fault.Kind{Name: name, Target: fault.Server, Overlap: overlap, Recovery: recovery, Inject: inject}
	}
	return append([]fault.Kind{
		fault.Kill(time.Second),
		fault.Stop(free),
		server("terminate backend", time.Second, free, p.terminate),
		server("stop backend", 0, free+ttl, p.stopBackend),
		server("stop server", ttl, free, func(ctx context.Context, x *fault.Injection) error {
			if err := p.server.Pause(); err != nil {
				return err
			}
			x.Wait(ctx, x.Stretch(0.5, 2))
			return p.server.Resume()
		}),
		server("kill server", ttl, free, func(ctx context.Context, x *fault.Injection) error {
			if err := p.server.Kill(); err != nil {
				return err
			}
			x.Wait(ctx, x.Stretch(0, 1))
			return p.server.Restart()
		}),
		server("restart server", ttl, free, func(context.Context, *fault.Injection) error {
			return p.server.Restart()
		}),
		server("fail over", ttl, free, p.failOver),
		server("lock the sequence", 0, free, p.lockSequence),
	}, p.network.faults(ttl, 250*time.Millisecond, free)...)
}

// some returns a process that serves one of our workers, and the process number of that.
func (p *postgres) some(x *fault.Injection) (pid string, worker int, err error) {
	// The name of a connection ends in the number.
	rows, err := p.server.SQL("select pid || '/' || substring(application_name from '[0-9]+$') from pg_stat_activity where application_name like 'dlock%' order by pid")
	all := strings.Fields(rows)
	if err != nil || len(all) == 0 {
		x.Note("no backend")
		return "", 0, err
	}
	pid, number, _ := strings.Cut(all[x.Rand.IntN(len(all))], "/")
	worker, err = strconv.Atoi(number)
	return pid, worker, err
}

// terminate is noticed by one worker alone.
func (p *postgres) terminate(_ context.Context, x *fault.Injection) error {
	pid, worker, err := p.some(x)
	if pid == "" || err != nil {
		return err
	}
	x.Of(worker)
	_, err = p.server.SQL("select pg_terminate_backend(" + pid + ")")
	return err
}

// stopBackend may hold up everybody: what it stops may have a latch of the server.
func (p *postgres) stopBackend(ctx context.Context, x *fault.Injection) error {
	text, _, err := p.some(x)
	if text == "" || err != nil {
		return err
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP) // It may have ended just now.
	x.Wait(ctx, x.Stretch(0.5, 2))
	_ = syscall.Kill(pid, syscall.SIGCONT)
	return nil
}

// lockSequence changes the sequence in a transaction that takes its time.
func (p *postgres) lockSequence(_ context.Context, x *fault.Injection) error {
	_, err := p.server.SQL(fmt.Sprintf("BEGIN; ALTER SEQUENCE dlock.token OWNED BY NONE; SELECT pg_sleep(%f); COMMIT", x.Stretch(0.5, 2).Seconds()))
	return err
}

// failOver kills the primary and makes one of a standby that has followed it.
func (p *postgres) failOver(_ context.Context, x *fault.Injection) error {
	standby, err := p.server.Standby(p.config())
	if err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	old := p.server
	p.gone = append(p.gone, old)
	p.server = standby
	if err := standby.CatchUp(old); err != nil {
		return err
	}
	if err := old.Kill(); err != nil {
		return err
	}
	if err := standby.Promote(); err != nil {
		return fmt.Errorf("promoting: %w", err)
	}
	x.Note("to port %d", standby.Port())
	return p.network.retarget(0, p.addr())
}

// Leaks looks for advisory locks and for sessions.
func (p *postgres) Leaks(ctx context.Context) ([]string, error) {
	var locks, sessions string
	for deadline := time.Now().Add(p.TTL + 2*time.Second); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if locks, err = p.server.SQL("select count(*) from pg_locks where locktype = 'advisory'"); err != nil {
			return nil, err
		}
		if sessions, err = p.server.SQL("select count(*) from pg_stat_activity where application_name like 'dlock%'"); err != nil {
			return nil, err
		}
		locks, sessions = strings.TrimSpace(locks), strings.TrimSpace(sessions)
		if locks == "0" && sessions == "0" {
			return nil, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return []string{locks + " advisory locks and " + sessions + " sessions are left"}, nil
		}
	}
}

func (p *postgres) Stop() {
	if p.network != nil {
		p.network.close()
	}
	for _, s := range append(p.gone, p.server) {
		if s != nil {
			_ = s.Close()
		}
	}
}
