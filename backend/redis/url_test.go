package redis_test

import (
	"errors"
	"strings"
	"testing"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://host":                                          "redis://host:6379",
		"redis://":                                              "redis://localhost:6379",
		"redis://:7000":                                         "redis://localhost:7000",
		"REDIS://host:7000/0":                                   "redis://host:7000",
		"redis://user:secret@host:7000/2":                       "redis://host:7000/2",
		"redis://:s%40cret@host":                                "redis://host:6379",
		"redis://user:se:cr@et@host/1?prefix=app%3A":            "redis://host:6379/1?prefix=app%3A",
		"rediss://[::1]:7000":                                   "rediss://[::1]:7000",
		"redis://[::1]":                                         "redis://[::1]:6379",
		"rediss://host?tls-server-name=x":                       "rediss://host:6379",
		"redis+cluster://u:secret@a:1,b:2":                      "redis+cluster://a:1,b:2",
		"redis+sentinel://:secret@a,b:2/3?master=m&prefix=p":    "redis+sentinel://a:26379,b:2/3?master=m&prefix=p",
		"rediss+sentinel://a?master=m&sentinel-password=secret": "rediss+sentinel://a:26379?master=m",
	} {
		b, err := backend.FromURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
		} else if got := b.String(); got != want {
			t.Errorf("%s is %s, want %s", url, got, want)
		}
	}
}

func TestBadURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis:host",
		"redis://secret@",
		"redis://user:secret@host:port",
		"redis://user:sec/ret@host",
		"redis://user:secret@host:70000",
		"redis://user:%secret@host",
		"redis://user:secret@host/db",
		"redis://user:secret@host/1/2",
		"redis://user:secret@host/-1",
		"redis://user:secret@a,,b",
		"redis://user:secret@a:1,a:1",
		"redis://user:secret@a:1:2",
		"redis://user:secret@host#fragment",
		"redis://user:secret@host?password=secret",
		"redis://user:secret@host?prefix=a&prefix=b",
		"redis://user:secret@host?prefix=%zz",
		"redis://user:secret@host?tls-ca-file=/x",
		"redis://user:secret@host?master=m",
		"rediss://user:secret@host?tls-ca-file=/no/such/file",
		"rediss://user:secret@host?tls-ca-file=url_test.go",
		"rediss://user:secret@host?tls-cert-file=/x",
		"redis+cluster://user:secret@host/1",
		"redis+cluster://user:secret@host?prefix=%7Ba%7D",
		"redis+sentinel://user:secret@host",
	} {
		b, err := backend.FromURL(url)
		if err == nil {
			if url == "redis://secret@" {
				continue // a user without a password, on this machine
			}
			t.Errorf("%s is %v", url, b)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%s: the error repeats the password: %v", url, err)
		}
	}
}

func TestClientsOfOnesOwn(t *testing.T) {
	t.Parallel()
	c := client.NewClient(&client.Options{Addr: "host:1", Username: "user", Password: "secret", DB: 3})
	defer c.Close()
	cluster := client.NewClusterClient(&client.ClusterOptions{Addrs: []string{"a:1", "b:2"}, Password: "secret"})
	defer cluster.Close()
	ring := client.NewRing(&client.RingOptions{Addrs: map[string]string{"a": "a:1"}})
	defer ring.Close()
	for _, b := range []struct {
		store *redis.Store
		want  string
	}{
		{redis.New(c), "redis://host:1/3"},
		{redis.New(c).WithPrefix("app:"), "redis://host:1/3?prefix=app%3A"},
		{redis.New(cluster), "redis+cluster://a:1,b:2"},
	} {
		if got := b.store.String(); got != b.want {
			t.Errorf("String is %s, want %s", got, b.want)
		}
		if b.store.Caps() != caps {
			t.Errorf("%s: Caps are %+v", b.store, b.store.Caps())
		}
	}
	for what, st := range map[string]*redis.Store{
		"no client":  redis.New(),
		"a ring":     redis.New(ring),
		"nil":        redis.New(nil),
		"a nil":      redis.New((*client.Client)(nil)),
		"braces":     redis.New(cluster).WithPrefix("{a}"),
		"a ring too": redis.New(c, ring),
	} {
		if _, err := st.Open(t.Context(), patience, backend.ClientInfo{}); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", what, err)
		}
		_ = st.String()
		_ = st.Caps()
		if _, _, err := st.Inspect(t.Context(), backend.Mutex, "a"); err == nil {
			t.Errorf("%s: Inspect succeeds", what)
		}
	}
}
