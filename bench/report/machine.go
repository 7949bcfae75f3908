package report

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/testbed"
)

// A Machine is what the figures were measured on.
type Machine struct {
	CPU      string
	Cores    int
	Kernel   string
	Load     string // averages of 1, 5 and 15 minutes before the start
	Go       string
	Redis    string
	Postgres string
	Fsync    time.Duration     // that of 8 KiB, p50
	Modules  map[string]string // versions of the contestants
}

// Look describes this machine and the servers on it.
func Look(w *testbed.Testbed) (*Machine, error) {
	m := &Machine{
		CPU:      field("/proc/cpuinfo", "model name"),
		Cores:    runtime.NumCPU(),
		Go:       runtime.Version(),
		Load:     first("/proc/loadavg", 3),
		Kernel:   "Linux " + first("/proc/sys/kernel/osrelease", 1),
		Redis:    w.RedisVersion,
		Postgres: w.PostgresVersion,
		Modules:  make(map[string]string),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			m.Modules[d.Path] = d.Version
		}
	}
	var err error
	m.Fsync, err = fsync(w.Dir)
	return m, err
}

// quiet reports whether the machine had little else to do before the run.
func (m *Machine) quiet() bool {
	var load float64
	_, err := fmt.Sscan(m.Load, &load)
	return err == nil && load < 0.5*float64(m.Cores)
}

// fsync returns the median of the times in which the disk takes what a commit of
// Postgres writes.
func fsync(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var times []float64
	page := make([]byte, 8<<10)
	for range 200 {
		start := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	return time.Duration(stats.Median(times) * 1e9), nil
}

func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func first(path string, fields int) string {
	text, _ := os.ReadFile(path)
	all := strings.Fields(string(text))
	return strings.Join(all[:min(fields, len(all))], " ")
}
