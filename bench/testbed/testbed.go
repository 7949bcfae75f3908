// Package testbed is what the contestants are measured in: the servers, a
// directory, and what the machine and the servers count. It reads /proc, so it
// is for Linux.
package testbed

import (
	"fmt"
	"os"

	"github.com/dlock-go/dlock/internal/pgtest"
	"github.com/dlock-go/dlock/internal/redistest"
)

// A Testbed says where everything is. The process that started it tells it to
// others.
type Testbed struct {
	Dir string // for files

	RedisAddr    string
	RedisPID     int
	RedisVersion string

	QuorumAddrs []string // of Redis servers that know nothing of one another
	QuorumPIDs  []int

	PostgresURL     string
	PostgresPID     int
	PostgresVersion string
}

// The settings of the servers that matter to what is measured. Both keep what
// they acknowledge: Postgres on the disk, Redis in a log that reaches the disk
// within a second.
var (
	RedisSettings    = []string{"appendonly yes", "appendfsync everysec"}
	PostgresSettings = map[string]string{"fsync": "on", "synchronous_commit": "on", "max_connections": "300", "max_locks_per_transaction": "256"}
)

// quorum is how many servers a quorum has.
const quorum = 3

// Start starts servers of our own. stop ends them and removes what they wrote.
func Start() (w *Testbed, stop func(), err error) {
	w = new(Testbed)
	var stops []func() error
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			if err := stops[i](); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if w.Dir, err = os.MkdirTemp("", "dlock-bench"); err != nil {
		return nil, nil, err
	}
	stops = append(stops, func() error { return os.RemoveAll(w.Dir) })
	r, err := redistest.Start(RedisSettings...)
	if err != nil {
		return nil, nil, err
	}
	stops = append(stops, func() error { r.Close(); return nil })
	w.RedisAddr, w.RedisPID = r.Addr(), r.PID()
	info, err := r.Info()
	if err != nil {
		return nil, nil, err
	}
	w.RedisVersion = info["redis_version"]
	for range quorum {
		r, err := redistest.Start(RedisSettings...)
		if err != nil {
			return nil, nil, err
		}
		stops = append(stops, func() error { r.Close(); return nil })
		w.QuorumAddrs, w.QuorumPIDs = append(w.QuorumAddrs, r.Addr()), append(w.QuorumPIDs, r.PID())
	}
	p, err := pgtest.Start(pgtest.Config{Settings: PostgresSettings})
	if err != nil {
		return nil, nil, err
	}
	stops = append(stops, p.Close)
	w.PostgresURL, w.PostgresPID = p.URL(), p.PID()
	w.PostgresVersion, err = p.SQL("show server_version")
	return w, stop, err
}
