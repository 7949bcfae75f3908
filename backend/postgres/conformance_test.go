package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/dlocktest"
)

// TestMain lets the test binary stand for other processes; see dlocktest.
func TestMain(m *testing.M) { dlocktest.Main(m) }

// realms counts the parts of databases that tests have for themselves.
var realms atomic.Uint64

// apart keeps the locks of a store apart from all others of its database.
func apart() Option {
	realm := fmt.Sprintf("realm %d/", realms.Add(1))
	return func(c *config) error {
		c.keys = func(class backend.Class, name string) Key { return nameKey(class, realm+name) }
		return nil
	}
}

// open makes a store from a URL and options.
func open(t testing.TB, url string, options ...Option) *Store {
	t.Helper()
	b, err := backend.FromURL(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range options {
		if err := option(&b.(*Store).config); err != nil {
			t.Fatal(err)
		}
	}
	return b.(*Store)
}

// at returns an address by another way to its server.
func at(t testing.TB, address, host string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u.String()
}

// lose ends the connections that hold a lock, and returns when they are gone.
func lose(t *testing.T, b backend.Backend, class backend.Class, name string) {
	st := b.(*Store)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := st.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(c)
	all, err := st.sightings(ctx, c, class, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if !g.granted || g.gate {
			continue
		}
		if _, err := c.Exec(ctx, "SELECT pg_terminate_backend($1, 60000)", g.pid); err != nil {
			t.Fatal(err)
		}
	}
}

// harness returns that of a store with options.
func (r *fixture) harness(caps backend.Caps, options ...Option) backendtest.Harness {
	return backendtest.Harness{
		New: func(t *testing.T) func() backend.Backend {
			all := append([]Option{apart()}, options...)
			return func() backend.Backend { return open(t, r.url(), all...) }
		},
		Lose: lose,
		Fault: func(t *testing.T) *backendtest.Between {
			r, restart := r, func() { t.Error("the server is not this check's own") }
			if strings.Contains(t.Name(), "restart") {
				r = newServer(t)
				restart = func() { r.must(r.server.Restart()) }
			}
			proxy := backendtest.NewProxy(t, fmt.Sprintf("127.0.0.1:%d", r.server.Port()))
			all := append([]Option{apart()}, options...)
			b := backendtest.Through(proxy)
			b.Open = func() backend.Backend { return open(t, at(t, r.url(), proxy.Addr()), all...) }
			b.Direct = func() backend.Backend { return open(t, r.url(), all...) }
			b.Restart = restart
			b.CutEnds = true
			return b
		},
		Caps:         caps,
		Vague:        true,
		AboutWriters: true,
	}
}

var allCaps = backend.Caps{Queue: true, Notify: true, Fencing: true, Processes: true, Inspect: true}

func TestConformance(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	caps := allCaps
	pairs := func(c *config) error {
		keys := c.keys
		c.keys = func(class backend.Class, name string) Key { return Key{keys(class, name).value, true} }
		return nil
	}
	run := func(name string, caps backend.Caps, options ...Option) {
		t.Run(name, func(t *testing.T) {
			backendtest.Run(t, r.harness(caps, options...))
		})
	}
	run("default", caps)
	if !long {
		return
	}
	run("pairs", caps, pairs)
	caps.Fencing = false
	run("without tokens", caps, WithoutTokens())
}

// The checks that need a Fault find bugs.
func TestMutants(t *testing.T) {
	t.Parallel()
	backendtest.RunMutants(t, newFixture(t).harness(allCaps))
}
