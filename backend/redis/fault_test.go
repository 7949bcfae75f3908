package redis_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// refused fails the test unless the store at url cannot be opened, for a reason
// that says so and holds no secret.
func refused(t *testing.T, url, reason string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := dlock.Open(ctx, url)
	if err == nil {
		c.Close(ctx)
		t.Fatalf("opened; want an error about %s", reason)
	}
	if text := err.Error(); !strings.Contains(text, reason) || strings.Contains(text, "secret") {
		t.Errorf("error %q; want one about %s, without secrets", text, reason)
	}
	if ctx.Err() != nil {
		t.Errorf("it took %v", patience)
	}
	return err
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	refused(t, "redis://user:secret@"+addr, "refused")
	refused(t, "redis+cluster://user:secret@"+addr, "refused")
	refused(t, "redis+sentinel://user:secret@"+addr+"?master=m", "sentinel")
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, "requirepass right")
	refused(t, "redis://:secret@"+s.Addr(), "WRONGPASS")
	refused(t, "redis://"+s.Addr(), "NOAUTH")
	open(t, "redis://:right@"+s.Addr(), time.Second).Mutex("a").Lock()
}

func TestReplicaIsRefused(t *testing.T) {
	t.Parallel()
	trio := redistest.NewTrio(t)
	refused(t, "redis://"+trio.Replica.Addr(), "replica")
}

func TestEvictionIsRefused(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, "maxmemory 100mb", "maxmemory-policy allkeys-lru")
	if err := refused(t, "redis://"+s.Addr(), "noeviction"); !errors.Is(err, dlock.ErrUnsupported) {
		t.Errorf("%v is not ErrUnsupported", err)
	}
	do(t, s, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	open(t, "redis://"+s.Addr(), time.Second)
}

// TestFullMemory expects what is held to stay so when the server accepts no new
// data.
func TestFullMemory(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := open(t, "redis://"+s.Addr(), time.Second)
	h := acquire(t, c.Mutex("a"))
	do(t, s, "CONFIG", "SET", "maxmemory", "1")
	if _, err := s.Do("SET", "k", "v"); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("SET: %v, want OOM", err)
	}
	stands(t, h, 3*time.Second)
	release(t, h)
}

// TestForbidden has servers that do not allow everything.
func TestForbidden(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	user := func(name string, rules ...string) string {
		do(t, s, append([]string{"ACL", "SETUSER", name, "on", ">secret", "~*", "&*", "+@all"}, rules...)...)
		return "redis://" + name + ":secret@" + s.Addr()
	}
	works := func(url string) {
		t.Helper()
		a, b := open(t, url, time.Second), open(t, url, time.Second)
		h := acquire(t, a.Mutex("a"))
		if ok, err := b.Mutex("a").TryLockContext(patient(t)); ok || err != nil {
			t.Errorf("TryLockContext is %v, %v while the lock is held", ok, err)
		}
		release(t, h)
	}
	works(user("noevalsha", "-evalsha"))
	works(user("noinfo", "-info"))
	works(user("noconfig", "-config", "-client", "-script"))
	works(user("nosubscribe", "-subscribe"))
	refused(t, user("nochannel", "resetchannels", "&other"), "channel")
	for _, command := range []string{"hkeys", "zrangebyscore", "publish", "incr", "time"} {
		refused(t, user("no"+command, "-"+command), strings.ToUpper(command))
	}
	refused(t, user("noscript", "-evalsha", "-eval"), "eval")
	refused(t, user("nokeys", "resetkeys", "~other:*"), "key")
	works(user("itsown", "resetkeys", "~dlock:*", "resetchannels", "&dlock:*"))
}

func TestScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := open(t, "redis://"+s.Addr(), 10*time.Second)
	for range 3 {
		h := acquire(t, c.Mutex("a"))
		do(t, s, "SCRIPT", "FLUSH")
		release(t, h)
		do(t, s, "SCRIPT", "FLUSH")
	}
}

// TestStrangeKey puts keys of other types where locks are.
func TestStrangeKey(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	ses := session(t, redis.New(c), 10*time.Second)
	do(t, s, "LPUSH", "dlock:m:list", "x")
	do(t, s, "SET", "dlock:m:text", "x")
	do(t, s, "SET", "dlock:r:text", "x")
	do(t, s, "LPUSH", "dlock:s:list", "x")
	rw := backend.Op{Do: backend.Acquire, Class: backend.RWMutex, Mode: backend.Shared, Limit: 1, Owner: 3, Name: "text"}
	sem := backend.Op{Do: backend.Acquire, Class: backend.Semaphore, Mode: backend.Exclusive, Limit: 2, Owner: 4, Name: "list"}
	ops := []backend.Op{mutexOp(1, "list"), mutexOp(2, "text"), rw, sem, mutexOp(5, "fine")}
	results := apply(t, ses, ops...)
	for i, r := range results[:4] {
		if r.State != backend.Failed || r.Err == nil || errors.Is(r.Err, backend.ErrUnsupported) {
			t.Errorf("%v %s: state %d, %v", ops[i].Class, ops[i].Name, r.State, r.Err)
		}
	}
	if results[4].State != backend.Granted {
		t.Errorf("another lock: state %d, %v", results[4].State, results[4].Err)
	}
	t.Log(results[0].Err, results[1].Err)
	for i := range ops {
		ops[i] = released(ops[i])
	}
	for i, r := range apply(t, ses, ops...) {
		if r.State != backend.Released {
			t.Errorf("release of %v %s: state %d", ops[i].Class, ops[i].Name, r.State)
		}
	}
	if got := do(t, s, "TYPE", "dlock:m:list"); got != "list" {
		t.Errorf("what stood there is now %s", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert := redistest.NewCertificate(t)
	pem, err := os.ReadFile(cert.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for nodes, name := range map[int]string{1: "one node", 3: "quorum"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var addrs []string
			var clients []client.UniversalClient
			for range nodes {
				s := redistest.NewTLS(t, cert)
				addrs = append(addrs, s.Addr())
				c := client.NewClient(&client.Options{Addr: s.Addr(), TLSConfig: &tls.Config{RootCAs: pool}})
				defer c.Close()
				clients = append(clients, c)
			}
			hosts := strings.Join(addrs, ",")
			pair := func(locks *dlock.Client) {
				t.Helper()
				release(t, acquire(t, locks.Mutex("a")))
			}
			ca := "tls-ca-file=" + url.QueryEscape(cert.CAFile)
			pair(open(t, "rediss://"+hosts+"?"+ca, time.Second))
			refused(t, "rediss://:secret@"+hosts, "certificate")
			refused(t, "rediss://:secret@"+hosts+"?tls-server-name=other&"+ca, "certificate")
			refused(t, "redis://:secret@"+hosts, "")

			locks, err := dlock.New(redis.New(clients...))
			if err != nil {
				t.Fatal(err)
			}
			defer locks.Close(t.Context())
			pair(locks)
		})
	}
}

// TestTLSOnAPlainPort asks servers for TLS that do not know what that is, and wait.
func TestTLSOnAPlainPort(t *testing.T) {
	t.Parallel()
	for _, servers := range [][]*redistest.Server{startNodes(t, 1), startNodes(t, 3)} {
		url := strings.Replace(urlOn(servers), "redis://", "rediss://", 1)
		// On a busy machine the reason may come too late for a ctx that ends early.
		for began := time.Now(); ; {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			c, err := dlock.Open(ctx, url)
			cancel()
			if err == nil {
				c.Close(t.Context())
				t.Fatal("opened")
			}
			if strings.Contains(err.Error(), "TLS") && errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if time.Since(began) > 2*patience {
				t.Errorf("%v", err)
				break
			}
		}
	}
}

// TestHangingServer expects nobody to wait for longer than he wants to.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	const ttl = 2 * time.Second
	c := open(t, "redis://"+s.Addr(), ttl)
	h := acquire(t, c.Mutex("a"))
	s.Pause()
	for what, call := range map[string]func(context.Context) error{
		"LockContext": c.Mutex("b").LockContext,
		"TryLockContext": func(ctx context.Context) error {
			_, err := c.Mutex("c").TryLockContext(ctx)
			return err
		},
		"Release": h.Release,
		"Inspect": func(ctx context.Context) error {
			_, err := c.Inspect(ctx, "d")
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		if d := time.Since(began); d > ttl/4 {
			t.Errorf("%s took %v with a deadline of 50 ms", what, d)
		}
		// A release is handed over and goes on without its caller.
		if what != "Release" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
	s.Resume()
	// Nothing is left of what was given up.
	for _, name := range []string{"a", "b", "c"} {
		release(t, acquire(t, open(t, "redis://"+s.Addr(), ttl).Mutex(name)))
	}
}
