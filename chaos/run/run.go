// Package run carries out one run: it starts the servers of a store and the
// workers, has faults happen to them, and collects what everybody wrote down.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/journal"
	"github.com/dlock-go/dlock/chaos/register"
	"github.com/dlock-go/dlock/chaos/store"
)

// A Config is what is to be run.
type Config struct {
	Store    store.Maker
	Class    backend.Class
	Seed     uint64
	Duration time.Duration // without the time to start and to drain
	Worker   string        // the binary, from Build
	Shape    Shape         // the usual one if zero
	Faults   string        // words of the names of those that are wanted; all for ""
	Patience time.Duration // within which every name must be had after the faults; 30 s for 0
	Keep     string        // a directory to leave journals and logs in, or ""
}

// Primitive names a class as the command line does.
func Primitive(c backend.Class) string {
	return map[backend.Class]string{backend.Mutex: "mutex", backend.RWMutex: "rw", backend.Semaphore: "semaphore"}[c]
}

// Classes are the primitives by name.
var Classes = map[string]backend.Class{"mutex": backend.Mutex, "rw": backend.RWMutex, "semaphore": backend.Semaphore}

// A Result is a run that has been checked.
type Result struct {
	Config  Config
	Run     *check.Run
	Verdict *check.Verdict
	Wall    time.Duration
}

// Replay is the command that repeats the run.
func (r *Result) Replay() string {
	s := fmt.Sprintf("make chaos BACKEND=%s PRIMITIVE=%s SEED=%d DURATION=%v",
		r.Config.Store.Name, Primitive(r.Config.Class), r.Config.Seed, r.Config.Duration)
	if r.Config.Shape != Usual {
		s += fmt.Sprintf(" PROCESSES=%d GOROUTINES=%d NAMES=%d", r.Config.Shape.Processes, r.Config.Shape.Goroutines, r.Config.Shape.Names)
	}
	if r.Config.Faults != "" {
		s += fmt.Sprintf(" FAULTS=%q", r.Config.Faults)
	}
	return s
}

const (
	limit    = 3
	patience = 30 * time.Second
)

// calm is how long a run is without faults at first: a fifth of it, or 5 s.
func calm(d time.Duration) time.Duration { return min(d/5, 5*time.Second) }

// Build builds the worker, with the overlay in a file if there is one.
func Build(ctx context.Context, dir, overlay string) (string, error) {
	exe := filepath.Join(dir, "worker")
	args := []string{"build", "-o", exe}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/dlock-go/dlock/chaos/worker")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the worker: %w\n%s", err, out)
	}
	return exe, nil
}

// Do carries out one run and checks it.
func Do(ctx context.Context, c Config) (*Result, error) {
	begun := time.Now()
	c.Patience = cmp.Or(c.Patience, patience)
	c.Shape = cmp.Or(c.Shape, Usual)
	if err := c.Shape.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dlock-chaos-")
	if err != nil {
		return nil, err
	}
	if c.Keep == "" {
		defer os.RemoveAll(dir)
	} else {
		defer func() { _ = os.Rename(dir, c.Keep) }()
	}
	r, err := carryOut(ctx, c, dir)
	if err != nil {
		return nil, fmt.Errorf("%s %s, seed %d: %w", c.Store.Name, Primitive(c.Class), c.Seed, err)
	}
	return &Result{Config: c, Run: r, Verdict: check.Check(r), Wall: time.Since(begun)}, nil
}

// carryOut lets a run happen, and collects what everybody has written down.
func carryOut(ctx context.Context, c Config, dir string) (*check.Run, error) {
	servers := filepath.Join(dir, "store")
	if err := os.Mkdir(servers, 0o755); err != nil {
		return nil, err
	}
	slots, clients := c.Shape.Processes, 1
	if c.Store.Alone {
		slots, clients = 1, c.Shape.Processes
	}
	s := c.Store.New()
	defer s.Stop()
	if err := s.Start(ctx, store.Setup{
		Dir: servers, Class: c.Class, Limit: limit, Slots: slots, Names: c.Shape.Names, TTL: c.Store.TTL,
	}); err != nil {
		return nil, err
	}
	registers, socket, err := listen(dir, s)
	if err != nil {
		return nil, err
	}
	defer registers.Close()
	base := job.Job{
		Registers: socket, Seed: c.Seed, Class: c.Class, Limit: limit, TTL: c.Store.TTL,
		Busy: c.Shape.Names - c.Shape.long(), Long: c.Shape.long(), Clients: clients,
		Churners: c.Shape.Goroutines - c.Shape.sitters(), Sitters: c.Shape.sitters(),
	}
	t := newTeam(c.Worker, dir, slots, s, base)
	defer t.end()
	if err := errors.Join(t.errs...); err != nil {
		return nil, err
	}
	r := &check.Run{
		Promise: s.Promise(c.Store.TTL), Class: c.Class, Limit: limit, TTL: c.Store.TTL,
		Names: c.Shape.Names, Patience: c.Patience, Begin: journal.Now(),
	}
	m := watch(ctx, filepath.Join(dir, "disk"), r.Promise.Disk)
	defer m.stood()
	if err := harm(ctx, c, s, t, r); err != nil {
		return nil, err
	}
	if err := wind(c, t, base, s.URL(0)); err != nil {
		return nil, err
	}
	if r.Stalls, err = m.stood(); err != nil {
		return nil, err
	}
	if !c.Store.Alone {
		t.drain(drainWithin)
	}
	if err := errors.Join(t.errs...); err != nil {
		return nil, err
	}
	if r.Leaks, err = s.Leaks(ctx); err != nil {
		return nil, err
	}
	return r, collect(r, t, registers)
}

// listen has the registers served that the workers of a store write into.
func listen(dir string, s store.Store) (r *register.Server, socket string, err error) {
	socket = filepath.Join(dir, "registers")
	if r, err = register.Listen(socket); err != nil {
		return nil, "", err
	}
	if _, ok := s.(store.Users); ok { // who have to get there
		if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(socket, 0o777)); err != nil {
			r.Close()
			return nil, "", err
		}
	}
	return r, socket, nil
}

// harm has the faults happen to the workers, between two times of calm.
func harm(ctx context.Context, c Config, s store.Store, t *team, r *check.Run) error {
	t.crowd(ctx)
	r.Begin = journal.Now()
	wait(ctx, calm(c.Duration))
	r.Calm = journal.Now()
	faulty, cancel := context.WithTimeout(ctx, c.Duration-2*calm(c.Duration))
	defer cancel()
	plan := fault.Plan{
		Kinds: fault.Select(s.Faults(c.Store.TTL), c.Faults),
		Seed:  c.Seed, TTL: c.Store.TTL, Slots: len(t.slots), Names: r.Names, Workers: t,
	}
	events, err := plan.Run(faulty)
	r.Over = journal.Now()
	r.Faults = events
	if err != nil {
		return err
	}
	wait(ctx, calm(c.Duration))
	r.Drain = journal.Now()
	return ctx.Err()
}

// drainWithin is for how long the workers may take to end.
const drainWithin = 60 * time.Second

// wind has the workers come to an end, and one more process see whether every name can be
// had. The clients of the workers live on, though they want nothing: what is stuck in their
// sessions is in the way.
func wind(c Config, t *team, base job.Job, url string) error {
	t.rest()
	if c.Store.Alone {
		t.drain(drainWithin) // Whoever probes has a store of its own.
	}
	base.URL, base.Probe, base.Clients = url, c.Patience, 1
	p, err := start(t.exe, t.dir, len(t.all), base)
	if err != nil {
		return err
	}
	t.all = append(t.all, p)
	p.finish(c.Patience + 20*time.Second)
	return nil
}

// collect reads what the workers have written down.
func collect(r *check.Run, t *team, registers *register.Server) (err error) {
	for _, p := range t.all {
		if p.Records, err = journal.Read(p.journal); err != nil {
			return err
		}
		r.Processes = append(r.Processes, &p.Process)
	}
	for name := range r.Names {
		var n check.Registers
		n.Fenced, n.Plain = registers.Counts(name)
		r.Registers = append(r.Registers, n)
	}
	return nil
}

// crowd has two of the workers make a crowd each, and returns when they are there: on a
// busy machine that takes its time.
func (t *team) crowd(ctx context.Context) {
	two := t.slots[:min(2, len(t.slots))]
	for _, p := range two {
		p.tell("crowd")
	}
	for _, p := range two {
		select {
		case <-p.gathered:
		case <-p.done:
		case <-ctx.Done():
		case <-time.After(15 * time.Second): // It gives up before that.
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Seeds returns seeds that follow from one.
func Seeds(seed uint64) func() uint64 {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	return func() uint64 { return r.Uint64() >> 12 } // Short enough to type.
}
