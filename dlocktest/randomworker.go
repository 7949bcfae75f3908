package dlocktest

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/dlock-go/dlock"
)

// A randomWorker is one goroutine of a schedule. It never waits for a lock while it
// holds another one, so there is no deadlock.
type randomWorker struct {
	f       *fixture
	targets []*target
	seed    uint64
	shared  *client // shared with others; nil for one who has a client of its own

	own *dlock.Client
}

func (w *randomWorker) wander(steps int) {
	for i := range steps {
		// Each step has numbers of its own: what it does depends on the seed and
		// not on what came of the steps before.
		random := rand.New(rand.NewPCG(w.seed, uint64(i)))
		c := w.client()
		if c == nil {
			return
		}
		w.visit(c, w.targets[random.IntN(len(w.targets))], random)
		if w.own != nil && random.IntN(10) == 0 {
			w.quit(random)
		}
	}
	if w.own != nil {
		w.close()
	}
}

// client returns the client to use.
func (w *randomWorker) client() *dlock.Client {
	if w.shared != nil {
		return w.shared.Client
	}
	if w.own == nil {
		c, err := dlock.New(w.f.Backend(w.f.T), append(w.f.Options[:len(w.f.Options):len(w.f.Options)], dlock.WithLogger(slog.New(slog.DiscardHandler)))...)
		if err != nil {
			w.f.Error(err)
			return nil
		}
		w.own = c
	}
	return w.own
}

// visit takes a lock in some way, holds it for a moment and gives it back.
func (w *randomWorker) visit(c *dlock.Client, t *target, random *rand.Rand) {
	l := t.value(c)
	short := time.Duration(random.IntN(3000)) * time.Microsecond
	switch random.IntN(8) {
	case 0:
		l.Lock()
		w.inside(c, t, 0, random)
		l.Unlock()
	case 1:
		ctx, cancel := context.WithTimeout(context.Background(), short)
		defer cancel()
		if w.got(l.LockContext(ctx), context.DeadlineExceeded) {
			w.inside(c, t, 0, random)
			_ = l.UnlockContext(ctx) // It may be over by now.
		}
	case 2:
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		time.AfterFunc(short/4, cancel)
		if h, err := l.Acquire(ctx); w.got(err, context.Canceled) {
			w.hold(c, t, h, random)
		}
	case 3:
		if h, err := l.TryAcquire(context.Background()); w.got(err, dlock.ErrBusy) {
			w.hold(c, t, h, random)
		}
	case 4:
		err := l.Do(context.Background(), func(context.Context) error {
			w.inside(c, t, 0, random)
			return nil
		})
		w.got(err, nil)
	case 5:
		if l.TryLock() {
			w.inside(c, t, 0, random)
			l.Unlock()
		}
	default:
		if h, err := l.Acquire(context.Background()); w.got(err, nil) {
			w.hold(c, t, h, random)
		}
	}
}

// got reports whether there is no error, and fails the test for any other than
// the one that may be.
func (w *randomWorker) got(err, may error) bool {
	if err != nil && (may == nil || !errors.Is(err, may)) {
		w.f.Error(err)
	}
	return err == nil
}

// hold holds for a moment and releases in some way.
func (w *randomWorker) hold(c *dlock.Client, t *target, h *dlock.Hold, random *rand.Rand) {
	token, _ := h.Token()
	w.inside(c, t, token, random)
	if err := h.Err(); err != nil {
		w.f.Errorf("a hold is over before its release: %v", err)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	switch random.IntN(4) {
	case 0:
		w.got(h.Release(over), nil)
	case 1:
		var both sync.WaitGroup
		both.Go(func() { w.got(h.Release(over), nil) })
		both.Go(func() { w.got(h.Release(context.Background()), nil) })
		both.Wait()
	default:
		w.got(h.Release(context.Background()), nil)
	}
}

// inside is what is done while a target is held. It may try for another one.
func (w *randomWorker) inside(c *dlock.Client, t *target, token uint64, random *rand.Rand) {
	t.enter(w.f, token)
	if another := w.targets[random.IntN(len(w.targets))]; random.IntN(3) == 0 {
		if h, err := another.value(c).TryAcquire(context.Background()); w.got(err, dlock.ErrBusy) {
			token, _ := h.Token()
			another.enter(w.f, token)
			another.leave()
			w.got(h.Release(context.Background()), nil)
		}
	}
	time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
	t.leave()
}

// quit closes a client of its own while that holds something.
func (w *randomWorker) quit(random *rand.Rand) {
	t := w.targets[random.IntN(len(w.targets))]
	t.value(w.own).Lock()
	t.enter(w.f, 0)
	t.leave()
	w.close()
}

func (w *randomWorker) close() {
	ctx, cancel := context.WithTimeout(context.Background(), w.f.Patience)
	defer cancel()
	if err := w.own.Close(ctx); err != nil {
		w.f.Errorf("Close: %v", err)
	}
	w.own = nil
}
