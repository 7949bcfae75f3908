package backendtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// broken are drivers with one bug each, and the group of checks that has to
// find it. One without a bug shows that it is the bug that is found.
var broken = []struct {
	name  string
	found string
	bend  func(b *bent)
}{
	{"no bug at all", ".*", nil},
	{"release does not look at the owner", "exclusion", func(b *bent) {
		b.op = func(s *bentSession, op *backend.Op) {
			if op.Do == backend.Release && s.holder[op.Name] == s {
				op.Owner = s.owner[op.Name]
			}
		}
	}},
	{"a held lock is granted to its session again", "exclusion", func(b *bent) {
		b.result = func(s *bentSession, op backend.Op, r *backend.Result) {
			if r.State == backend.Busy && s.holder[op.Name] == s {
				r.State, r.Grant.Ordinal = backend.Granted, 1<<50
			}
		}
	}},
	{"a try joins the queue", "exclusion", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) { op.Wait = op.Do == backend.Acquire }
		b.result = func(_ *bentSession, op backend.Op, r *backend.Result) {
			if r.State == backend.Queued && !op.Wait {
				r.State = backend.Busy
			}
		}
	}},
	{"a repeated acquire is a new grant", "exclusion", func(b *bent) {
		ordinal := uint64(1 << 50)
		b.result = func(_ *bentSession, _ backend.Op, r *backend.Result) {
			ordinal++
			r.Grant.Ordinal = ordinal
		}
	}},
	{"grants are not pushed", "exclusion", func(b *bent) {
		b.event = func(_ *bentSession, e *backend.Event) bool { return e.Kind != backend.EventGranted }
	}},
	{"a batch runs backwards", "batch", func(b *bent) {
		b.reverse = true
	}},
	{"a batch is cut short", "batch", func(b *bent) {
		b.batch = func(_ *bentSession, ops []backend.Op) []backend.Op { return ops[:min(len(ops), 256)] }
	}},
	{"places are lost when asked for again", "queue", func(b *bent) {
		b.result = func(s *bentSession, op backend.Op, r *backend.Result) {
			if r.State == backend.Queued && s.waits[op.Owner] {
				op.Do = backend.Release
				s.Session.Apply(context.Background(), []backend.Op{op})
				op.Do = backend.Acquire
				s.Session.Apply(context.Background(), []backend.Op{op})
			}
		}
	}},
	{"one session gives most of its turns away", "queue", func(b *bent) {
		b.event = func(s *bentSession, e *backend.Event) bool {
			if e.Kind != backend.EventGranted || !s.first {
				return true
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			op := s.asked[e.Owner]
			if s.turns++; s.turns%4 == 0 || op.Name == "" {
				return true
			}
			leave := op
			leave.Do = backend.Release
			results, _, err := s.Session.Apply(context.Background(), []backend.Op{leave, op})
			if err != nil || results[1].State != backend.Granted {
				return false
			}
			e.Grant = results[1].Grant
			return true
		}
	}},
	{"an owner may stand for several locks", "exclusion", func(b *bent) {
		b.result = func(_ *bentSession, op backend.Op, r *backend.Result) {
			if errors.Is(r.Err, backend.ErrOwner) {
				r.State, r.Err = backend.Queued, nil
			}
		}
	}},
	{"the limit of a mutex is not looked at", "exclusion", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) {
			if op.Class != backend.Semaphore {
				op.Limit = 1
			}
		}
	}},
	{"waiters are told in the order in which they came", "inspect", func(b *bent) {
		b.inspect = func(holders, waiters []backend.Participant) ([]backend.Participant, []backend.Participant) {
			slices.SortFunc(waiters, func(a, b backend.Participant) int { return a.Since.Compare(b.Since) })
			return holders, waiters
		}
	}},
	{"withdrawal is forgotten", "withdrawal", func(b *bent) {
		b.op = func(s *bentSession, op *backend.Op) {
			if op.Do == backend.Release && s.held[op.Name] == 0 {
				op.Owner = 1 << 60
			}
		}
	}},
	{"a reader is ignored", "rwmutex", func(b *bent) {
		b.op = func(s *bentSession, op *backend.Op) {
			if op.Mode == backend.Shared {
				op.Name += "/readers"
			}
		}
	}},
	{"a waiting writer lets readers in", "rwmutex", func(b *bent) {
		b.result = func(s *bentSession, op backend.Op, r *backend.Result) {
			if op.Mode == backend.Shared && r.State == backend.Busy && s.held[op.Name] > 0 {
				r.State, r.Grant.Ordinal = backend.Granted, 1<<50
			}
		}
	}},
	{"a semaphore has one ticket too many", "exclusion", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) {
			if op.Class == backend.Semaphore {
				op.Limit++
			}
		}
	}},
	{"a semaphore has one ticket too few", "semaphore", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) {
			if op.Class == backend.Semaphore && op.Limit > 1 {
				op.Limit--
			}
		}
	}},
	{"a semaphore takes any limit", "semaphore", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) {
			if op.Class == backend.Semaphore {
				op.Limit = 5
			}
		}
	}},
	{"classes share their names", "name", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) {
			op.Class, op.Limit = backend.Semaphore, 1
			op.Mode = backend.Exclusive
		}
	}},
	{"names are folded", "name", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) { op.Name = strings.ToLower(op.Name) }
	}},
	{"names are cut", "name", func(b *bent) {
		b.op = func(_ *bentSession, op *backend.Op) { op.Name = op.Name[:min(len(op.Name), 255)] }
	}},
	{"ordinals do not grow", "fencing", func(b *bent) {
		b.result = func(_ *bentSession, _ backend.Op, r *backend.Result) { r.Grant.Ordinal = 7 }
		b.event = func(_ *bentSession, e *backend.Event) bool { e.Grant.Ordinal = 7; return true }
	}},
	{"nobody is told of contention", "contended", func(b *bent) {
		b.event = func(_ *bentSession, e *backend.Event) bool { return e.Kind != backend.EventContended }
	}},
	{"holders are told as waiters", "inspect", func(b *bent) {
		b.inspect = func(holders, waiters []backend.Participant) ([]backend.Participant, []backend.Participant) {
			return nil, append(holders, waiters...)
		}
	}},
	{"waiters are told in reverse", "inspect", func(b *bent) {
		b.inspect = func(holders, waiters []backend.Participant) ([]backend.Participant, []backend.Participant) {
			slices.Reverse(waiters)
			return holders, waiters
		}
	}},
	{"Close forgets to give back", "session", func(b *bent) {
		b.close = func(s *bentSession) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.held) > 0
		}
	}},
	{"a goroutine is left", "session", func(b *bent) {
		b.open = func(ctx context.Context) context.Context {
			go func() { select {} }()
			return ctx
		}
	}},
	{"Recv does not look at its ctx", "session", func(b *bent) {
		b.recv = func(context.Context) context.Context { return context.Background() }
	}},
}

const brokenEnv = "DLOCK_BACKENDTEST_BROKEN"

// TestBroken runs the suite on each broken driver, in a process of its own, and
// expects it to fail.
func TestBroken(t *testing.T) {
	if name := os.Getenv(brokenEnv); name != "" {
		runBroken(t, name)
		return
	}
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$/^"+c.found+"$", "-test.short", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), brokenEnv+"="+c.name)
			out, err := cmd.CombinedOutput()
			switch {
			case c.bend == nil && err != nil:
				t.Errorf("the suite fails without a bug:\n%s", out)
			case c.bend == nil:
			case strings.Contains(string(out), "panic:"):
				t.Errorf("the bug breaks the suite itself:\n%s", out)
			case err == nil:
				t.Errorf("the suite did not find it:\n%s", out)
			case !strings.Contains(string(out), "--- FAIL: TestBroken/"+c.found):
				t.Errorf("the checks of %q did not find it:\n%s", c.found, out)
			}
		})
	}
}

func runBroken(t *testing.T, name string) {
	i := slices.IndexFunc(broken, func(c struct {
		name, found string
		bend        func(*bent)
	}) bool {
		return c.name == name
	})
	backendtest.Run(t, backendtest.Harness{
		New: func(*testing.T) func() backend.Backend {
			b := &bent{Store: memory.New(), holder: make(map[string]*bentSession), owner: make(map[string]uint64)}
			if bend := broken[i].bend; bend != nil {
				bend(b)
			}
			return func() backend.Backend { return b }
		},
		Caps:     memoryCaps,
		TTL:      100 * time.Millisecond,
		Patience: 300 * time.Millisecond,
	})
}
