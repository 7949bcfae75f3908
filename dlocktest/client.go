package dlocktest

import (
	"context"
	"log/slog"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A client is a [dlock.Client] of which it is known what it asked of the store, and what it
// logged.
type client struct {
	*dlock.Client
	f        *fixture
	recorder *recorder
	journal  *journal
}

// client opens a client on a Backend of its own. It ends with the test.
func (f *fixture) client(opts ...dlock.Option) *client {
	f.Helper()
	p := &client{f: f, recorder: newRecorder(f.Backend(f.T)), journal: new(journal)}
	all := append([]dlock.Option{dlock.WithLogger(slog.New(slog.NewTextHandler(p.journal, nil)))}, f.Options...)
	c, err := dlock.New(p.recorder, append(all, opts...)...)
	if err != nil {
		f.Fatal(err)
	}
	p.Client = c
	f.Cleanup(func() {
		if !f.stuck {
			p.close()
		}
		if f.Failed() && p.journal.String() != "" {
			f.Logf("a client logged:\n%s", p.journal)
		}
	})
	return p
}

// clients opens n clients.
func (f *fixture) clients(n int, opts ...dlock.Option) []*client {
	f.Helper()
	all := make([]*client, n)
	for i := range all {
		all[i] = f.client(opts...)
	}
	return all
}

func (p *client) close() {
	p.f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.f.Patience)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		p.f.Errorf("Close: %v", err)
	}
}

// queued waits until the client has a number of places in the store's queue for a
// lock.
func (p *client) queued(class backend.Class, name string, places int) {
	p.f.Helper()
	p.f.until("the store lets the client wait", func() bool { return p.recorder.account(class, p.f.name(name)).waiting == places })
}
