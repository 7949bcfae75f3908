// Command worker is one process of a run: it uses locks through the public API,
// and writes down what it asks for and what it gets. Its job is its only
// argument; lines on its standard input tell it what to do next, and when that
// is closed it ends. Faults happen to it from outside.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	_ "github.com/dlock-go/dlock/backend/file"
	_ "github.com/dlock-go/dlock/backend/memory"
	_ "github.com/dlock-go/dlock/backend/postgres"
	_ "github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/journal"
	"github.com/dlock-go/dlock/chaos/sched"
)

// A worker is the process.
type worker struct {
	job     job.Job
	journal *journal.Writer
	ops     atomic.Int64 // the last number given to an acquisition

	stop    context.Context // ends when no new acquisition is to begin
	halt    context.CancelFunc
	working sync.WaitGroup
	clients []*client
}

// A client is one of its clients, with what its store is asked.
type client struct {
	*dlock.Client
	recordingStore *recordingStore
	index          int64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run() error {
	w := new(worker)
	if err := json.Unmarshal([]byte(os.Args[1]), &w.job); err != nil {
		return err
	}
	j, err := journal.Create(w.job.Journal)
	if err != nil {
		return err
	}
	w.journal = j
	if err := become(w.job.User); err != nil {
		return err
	}
	j.Add(journal.Start, int64(w.job.Slot), int64(os.Getpid()))
	watching, cease := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go w.watch(watching, watched)
	defer func() { cease(); <-watched }()

	goroutines, descriptors := census()
	if err := w.connect(); err != nil {
		return err
	}
	w.stop, w.halt = context.WithCancel(context.Background())
	defer w.halt()
	if w.job.Probe > 0 {
		err = w.probe()
	} else {
		err = w.work()
	}
	return w.part(err, goroutines, descriptors)
}

// connect makes the clients. It does not wait for the store.
func (w *worker) connect() error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for i := range w.job.Clients {
		b, err := backend.FromURL(w.job.URL)
		if err != nil {
			return err
		}
		t := newTap(b, w.journal, i)
		c, err := dlock.New(t, dlock.WithTTL(w.job.TTL), dlock.WithHandoff(w.job.Handoff), dlock.WithLogger(logger))
		if err != nil {
			return err
		}
		w.clients = append(w.clients, &client{c, t, int64(i)})
	}
	return nil
}

// work has the goroutines work until the controller ends that.
func (w *worker) work() error {
	for _, c := range w.clients {
		for i := range w.job.Churners + w.job.Sitters {
			h, err := w.routine(c, i)
			if err != nil {
				return err
			}
			w.working.Add(1)
			go h.work()
		}
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			os.Exit(1) // The controller is gone.
		}
		switch line {
		case "crowd\n":
			w.crowd(w.clients[0])
		case "hold\n":
			w.working.Add(1)
			go w.hostage()
		case "rest\n":
			w.halt() // The clients live on.
		case "drain\n":
			w.halt()
			w.working.Wait()
			return nil
		}
	}
}

// part ends the clients and tells what is left over.
func (w *worker) part(failed error, goroutines, descriptors int) error {
	for _, c := range w.clients {
		w.drained(c)
	}
	for _, c := range w.clients {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := c.Close(ctx); err != nil && failed == nil {
			failed = err
		}
		cancel()
	}
	// A goroutine that has done its work may need a moment to be gone.
	var g, d int
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if g, d = census(); g <= goroutines && d <= descriptors || time.Now().After(deadline) {
			break
		}
	}
	text := ""
	if failed != nil {
		text = failed.Error()
	}
	w.journal.Put(journal.Now(), journal.Closed, text, int64(goroutines), int64(g), int64(descriptors), int64(d))
	if d > descriptors {
		fmt.Fprintln(os.Stderr, "worker: descriptors:", open())
	}
	if g > goroutines {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "worker: goroutines left over:\n%s\n", buf[:runtime.Stack(buf, true)])
	}
	return failed
}

// drained tells what a client still has when nobody wants anything any more. What
// is given back in the background has a moment to get through.
func (w *worker) drained(c *client) {
	for deadline := time.Now().Add(w.job.TTL + 5*time.Second); ; time.Sleep(10 * time.Millisecond) {
		s, n := c.Stats(), c.recordingStore.outstanding()
		if s.Holds+s.Waiting+s.Queued+n == 0 || time.Now().After(deadline) {
			w.journal.Add(journal.Drained, c.index, int64(s.Holds), int64(s.Waiting), int64(s.Queued), int64(n))
			return
		}
	}
}

// census counts the goroutines and the open descriptors of the process.
func census() (goroutines, descriptors int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return runtime.NumGoroutine(), len(entries)
}

// open lists the open descriptors.
func open() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var all []string
	for _, e := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if fd, err := strconv.Atoi(e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			if a, err := unix.Getsockname(fd); err == nil {
				to += fmt.Sprintf(" %T%+v", a, a)
			}
			if a, err := unix.Getpeername(fd); err == nil {
				to += fmt.Sprintf(" to %T%+v", a, a)
			}
		}
		all = append(all, e.Name()+" "+to)
	}
	return all
}

// watch is the heartbeat of the harness in this process. It notes down when the process
// did not run, be it for a SIGSTOP or because the machine had no time for it.
func (w *worker) watch(ctx context.Context, watched chan<- struct{}) {
	defer close(watched)
	const step = journal.Late
	tick := time.NewTicker(step)
	defer tick.Stop()
	var meter sched.Meter
	self := []int{os.Getpid()}
	last := journal.Now()
	for beat := 0; ; beat++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := journal.Now()
		if beat%4 == 0 {
			// Others of its threads may have had to wait while this one had not.
			if d := meter.Waited(self); d > journal.Short {
				w.journal.Put(now, journal.Stall, "", now-int64(d))
			}
		}
		if now-last > int64(step+journal.Late) {
			w.journal.Put(now, journal.Stall, "", last)
		}
		last = now
	}
}
