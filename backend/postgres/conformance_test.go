package postgres

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/dlocktest"
	"github.com/dlock-go/dlock/internal/pgtest"
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

func TestConformance(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t, quick("max_connections", "300"))
	caps := backend.Caps{Queue: true, Notify: true, Fencing: true, Processes: true, Inspect: true}
	pairs := func(c *config) error {
		keys := c.keys
		c.keys = func(class backend.Class, name string) Key { return Key{keys(class, name).value, true} }
		return nil
	}
	run := func(name string, caps backend.Caps, options ...Option) {
		t.Run(name, func(t *testing.T) {
			backendtest.Run(t, backendtest.Harness{
				New: func(t *testing.T) func() backend.Backend {
					all := append([]Option{apart()}, options...)
					return func() backend.Backend { return open(t, server.URL(), all...) }
				},
				Caps:  caps,
				Vague: true,
			})
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
