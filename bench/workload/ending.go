package workload

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/testbed"
)

// An Ending is how a process comes to hold a lock no more without giving it back.
type Ending string

// The endings.
const (
	Killed Ending = "killed" // by SIGKILL
	Cut    Ending = "cut"    // Its connections end, and it gets no others.
	Silent Ending = "silent" // Nothing passes on its connections, and neither side is told.
)

// Befalls reports whether an ending can befall who has a lock of a store.
func (e Ending) Befalls(s contestant.Store) bool {
	return s.Networked() || s.Shared() && e == Killed
}

var ending = &Workload{
	Name:  "ending",
	Title: "A holder that is gone",
	About: "The time until a process that waits has the lock, after what befell the process that held it: it was killed, its connections were cut, or they fell silent, as when a cable is pulled. " +
		"The time to live is 6 s where there is one. Nothing stands where the lock was not free within 12 s. A quick run leaves this out.",
	Unit:      "waiters",
	Full:      Effort{Sizes: []int{1}, Rounds: 1, Length: 12 * time.Second},
	Processes: 1,
	Fresh:     true,
	Endings:   []Ending{Killed, Cut, Silent},
	Columns: []Column{
		{string(Killed), "after a kill", Seconds, Lower},
		{string(Cut), "after a cut", Seconds, Lower},
		{string(Silent), "after silence", Seconds, Lower},
	},
	// Process 0 waits for locks of which each other one holds one, until the job starts.
	work: func(p *Process, j Job) (*Sample, error) {
		if j.Process > 0 {
			slog.SetLogLoggerLevel(slog.LevelError) // That the lock will be lost is no news.
			mu := p.Locks.Mutex(j.name(j.Process))
			p.held = append(p.held, mu)
			return &Sample{}, mu.Lock()
		}
		type answer struct {
			section Section
			err     error
		}
		answers := make(chan answer, j.Size)
		for holder := 1; holder <= j.Size; holder++ {
			mu := p.Locks.Mutex(j.name(holder))
			go func() {
				s := Section{Process: holder, Asked: testbed.Now()}
				err := mu.Lock()
				s.Granted = testbed.Now()
				answers <- answer{s, err}
			}()
		}
		s := new(Sample)
		for over := time.After(j.Start.Add(j.Length).Sub(testbed.Now())); len(s.Sections) < j.Size; {
			select {
			case a := <-answers:
				if a.err != nil {
					return nil, a.err
				}
				s.Sections = append(s.Sections, a.section)
			case <-over:
				return s, nil
			}
		}
		return s, nil
	},
}

func (j Job) name(holder int) string { return fmt.Sprintf("%s-%d", j.Names, holder) }

// Freed returns the figures of endings: how long after each the lock was granted to
// who waited. befallen and when are by the number of the holder, which begins at 1.
func Freed(waited *Sample, befallen []Ending, when []testbed.Instant) (Figures, error) {
	f := make(Figures)
	for _, s := range waited.Sections {
		took := s.Granted.Sub(when[s.Process-1])
		if took < 0 {
			return nil, fmt.Errorf("NO EXCLUSION: the lock was granted while another process held it")
		}
		f[string(befallen[s.Process-1])] = took.Seconds()
	}
	return f, nil
}
