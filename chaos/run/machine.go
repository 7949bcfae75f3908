package run

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/journal"
	"github.com/dlock-go/dlock/chaos/sched"
)

// A machine finds out when the machine had no time for us, or its disk not for the
// servers: what waits for that is no fault of theirs.
type machine struct {
	path     string // of a file to write
	cease    context.CancelFunc
	watching sync.WaitGroup

	mu     sync.Mutex
	stalls []check.Stall
	err    error
}

// watch begins to watch the machine, and its disk if that matters, by a file that is
// written.
func watch(ctx context.Context, path string, disk bool) *machine {
	m := &machine{path: path}
	ctx, m.cease = context.WithCancel(ctx)
	m.watching.Add(2)
	go m.watchTime(ctx)
	go m.watchThreads(ctx)
	if disk {
		m.watching.Add(1)
		go m.watchDisk(ctx)
	}
	return m
}

// stood ends the watch, and returns when the machine stood still.
func (m *machine) stood() ([]check.Stall, error) {
	m.cease()
	m.watching.Wait()
	return m.stalls, m.err
}

// watchTime notes down when we did not run.
func (m *machine) watchTime(ctx context.Context) {
	defer m.watching.Done()
	const step = journal.Late
	tick := time.NewTicker(step)
	defer tick.Stop()
	for last := journal.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := journal.Now()
		if now-last > int64(step+journal.Late) {
			m.add(check.Stall{From: last, To: now})
		}
		last = now
	}
}

// watchThreads notes down when one of our threads, or of those of the servers, had to wait
// for a processor.
func (m *machine) watchThreads(ctx context.Context) {
	defer m.watching.Done()
	tick := time.NewTicker(4 * journal.Late)
	defer tick.Stop()
	var meter sched.Meter
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		d := meter.Waited(sched.Family("worker"))
		if now := journal.Now(); d > journal.Short {
			m.add(check.Stall{From: now - int64(d), To: now})
		}
	}
}

// watchDisk notes down when it took long to make a few bytes durable. A server that
// does that for every batch had all its clients wait.
func (m *machine) watchDisk(ctx context.Context) {
	defer m.watching.Done()
	const step, late = 100 * time.Millisecond, 4 * journal.Late
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
