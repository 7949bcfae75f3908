package store

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
)

func init() {
	register(Maker{Name: "memory", New: func() Store { return memory{} }, TTL: 2 * time.Second, Alone: true})
}

// memory is the store in the worker itself. All that can happen to it is that the
// process stands still.
type memory struct{}

func (memory) Start(context.Context, Setup) error      { return nil }
func (memory) URL(int) string                          { return "memory:chaos" }
func (memory) Leaks(context.Context) ([]string, error) { return nil, nil }
func (memory) Stop()                                   {}
func (memory) Faults(time.Duration) []fault.Kind       { return []fault.Kind{fault.Stop(0)} }
func (memory) Promise(time.Duration) check.Promise {
	return check.Promise{
		Caps:   backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Inspect: true},
		Turns:  exact,
		Woken:  push,
		Signal: push,
		Killed: atOnce,
	}
}
