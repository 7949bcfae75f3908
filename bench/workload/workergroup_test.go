package workload

import (
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

// unshared is a lock that never waits.
type unshared struct{ mu sync.Mutex }

func (l *unshared) Lock() error   { l.mu.Lock(); return nil }
func (l *unshared) Unlock() error { l.mu.Unlock(); return nil }

// Thousands of goroutines that never wait do not keep each other, and who measures
// them, from the processors for the 10 ms that the runtime gives each.
func TestALargeCrewIsOverInTime(t *testing.T) {
	p := &Process{Contestant: new(contestant.Contestant)}
	locks := make([]contestant.Lock, 4096)
	for i := range locks {
		locks[i] = new(unshared)
	}
	start := time.Now()
	if _, err := p.measure(locks, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("measuring for 300 ms took %v", took)
	}
}
