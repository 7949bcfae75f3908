package file_test

import (
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestLimit(t *testing.T) {
	dir := t.TempDir()
	p, q := open(t, dir), open(t, dir)
	a, b := p.lock(t, semaphore("x", 3)), p.lock(t, semaphore("x", 3))
	for _, s := range []*peer{p, q} {
		if e := s.queue(semaphore("x", 2)).is(t, backend.Failed); !errors.Is(e.Err, backend.ErrLimit) {
			t.Error(e.Err)
		}
	}
	q.lock(t, semaphore("x", 3)).release()
	must(t, a.release())
	q.try(semaphore("x", 2)).is(t, backend.Failed)
	must(t, b.release())
	c := q.lock(t, semaphore("x", 2)) // nobody uses it now

	// One that waits uses it, too.
	d := q.lock(t, semaphore("x", 2))
	e := p.queue(semaphore("x", 2)).is(t, backend.Queued)
	must(t, e.release())
	must(t, c.release())
	must(t, d.release())
	must(t, os.WriteFile(file.Path(dir, backend.Semaphore, "x"), []byte("nonsense"), 0o666))
	p.lock(t, semaphore("x", 5))
}

// Those who agree on a limit that is new do not get into each other's way.
func TestNewLimit(t *testing.T) {
	dir := t.TempDir()
	peers := make([]*peer, 8)
	for i := range peers {
		peers[i] = open(t, dir)
	}
	for round := range uint32(50) {
		var wg sync.WaitGroup
		used := make([]*acquisition, len(peers))
		for i, p := range peers {
			wg.Go(func() { used[i] = p.try(semaphore("x", 100+round)) })
		}
		wg.Wait()
		for _, a := range used {
			a.is(t, backend.Granted)
			must(t, a.release())
		}
	}
}

func TestHugeLimit(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("n", 1000)
	p, q := open(t, dir), open(t, dir)
	for range 50 {
		p.lock(t, semaphore(name, math.MaxInt32))
		q.lock(t, semaphore(name, math.MaxInt32))
	}
}
