package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/workload"
)

// Ordered reports whether this process was started to take part.
func Ordered() bool { return os.Getenv(variable) != "" }

// Serve does the jobs that come on the standard input until it ends.
func Serve() error {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(variable)), &o); err != nil {
		return err
	}
	c, err := contestant.Find(o.Contestant)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out := json.NewEncoder(os.Stdout)
	locks, err := c.Open(ctx, o.Testbed)
	if err != nil {
		return out.Encode(workload.Sample{Failure: err.Error()})
	}
	if o.Profile != "" {
		stop, err := profile(o.Profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := out.Encode(workload.Sample{}); err != nil { // Ready.
		return err
	}
	p := &workload.Process{Testbed: o.Testbed, Contestant: c, Locks: locks}
	for in := json.NewDecoder(os.Stdin); ; {
		var j workload.Job
		if err := in.Decode(&j); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := out.Encode(p.Work(j)); err != nil {
			return err
		}
	}
	// Waiters that were not served may keep it from closing.
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		locks.Close()
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
	return nil
}

// profile has the CPU's time of this process written to a file in dir, whose name
// begins with that of the contestant.
func profile(dir string) (stop func(), err error) {
	f, err := os.Create(fmt.Sprintf("%s-%d.pprof", dir, os.Getpid()))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
