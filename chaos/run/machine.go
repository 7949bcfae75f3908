package run

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/journal"
)

// A machine finds out when the machine had no time for us, or its disk not for the
// servers: what waits for that is no fault of theirs.
type machine struct {
	path     string // of a file to write
	watching sync.WaitGroup

	mu     sync.Mutex
	stalls []check.Stall
	err    error
}

func newMachine(path string) *machine { return &machine{path: path} }

// stood waits for those who watch, whose context has to have ended, and returns when
// the machine stood still.
func (m *machine) stood() ([]check.Stall, error) {
	m.watching.Wait()
	return m.stalls, m.err
}

// watchTime notes down when we did not run.
func (m *machine) watchTime(ctx context.Context) {
	defer m.watching.Done()
	const step, late = 10 * time.Millisecond, 40 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	for last := journal.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := journal.Now()
		if now-last > int64(step+late) {
			m.add(check.Stall{From: last, To: now})
		}
		last = now
	}
}

// watchDisk notes down when it took long to make a few bytes durable. A server that
// does that for every batch had all its clients wait.
func (m *machine) watchDisk(ctx context.Context) {
	defer m.watching.Done()
	const step, late = 200 * time.Millisecond, 80 * time.Millisecond
	f, err := os.Create(m.path)
	if err != nil {
		m.fail(err)
		return
	}
	defer f.Close()
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		from := journal.Now()
		_, err := f.WriteAt([]byte("on disk?"), 0)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			m.fail(err)
			return
		}
		if to := journal.Now(); to-from > int64(late) {
			m.add(check.Stall{From: from, To: to})
		}
	}
}

func (m *machine) add(s check.Stall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stalls = append(m.stalls, s)
}

func (m *machine) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}
