package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// A witness watches holders of one lock: two at a time are only right when the
// earlier one is told that its lock is lost.
type witness struct {
	mu     sync.Mutex
	inside map[*acquisition]bool // whether another one came in meanwhile
}

func (w *witness) enter(a *acquisition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.inside {
		w.inside[other] = true
	}
	w.inside[a] = false
}

func (w *witness) leave(a *acquisition) error {
	w.mu.Lock()
	intruded := w.inside[a]
	delete(w.inside, a)
	w.mu.Unlock()
	if intruded && !a.isLost() {
		return errors.New("two holders, and the earlier one was not told")
	}
	return nil
}

func TestRemovalRaces(t *testing.T) {
	for _, test := range []struct {
		name   string
		rounds int                                    // five times as many take long
		remove func(dir string, stop <-chan struct{}) // beside the lockers
		after  func(dir string)                       // by each of them
	}{
		{
			name:   "of the file after each use",
			rounds: 100,
			after:  func(dir string) { file.Unlink(file.Path(dir, backend.Mutex, "x")) },
		},
		{
			name:   "of the directory",
			rounds: 200,
			remove: func(dir string, stop <-chan struct{}) {
				for {
					select {
					case <-stop:
						return
					default:
						os.RemoveAll(dir)
					}
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			if test.remove != nil && runtime.GOOS == "windows" {
				t.Skip("Windows keeps a directory as long as its files are open")
			}
			w := witness{inside: make(map[*acquisition]bool)}
			rounds := test.rounds
			switch {
			case long:
				rounds *= 5
			case testing.Short():
				rounds /= 2
			}
			var lockers, remover sync.WaitGroup
			stop := make(chan struct{})
			peers := make([]*peer, 20)
			for i := range peers {
				peers[i] = open(t, dir)
			}
			if test.remove != nil {
				remover.Go(func() { test.remove(dir, stop) })
			}
			for _, p := range peers {
				lockers.Go(func() {
					for range rounds {
						a := p.queue(mutex("x"))
						if err := a.wait(); err != nil {
							if a.isLost() { // as soon as it was granted
								a.release()
								continue
							}
							t.Error(err)
							return
						}
						w.enter(a)
						if err := w.leave(a); err != nil {
							t.Error(err)
						}
						if err := a.release(); err != nil {
							t.Error(err)
						}
						if test.after != nil {
							test.after(dir)
						}
					}
				})
			}
			lockers.Wait()
			close(stop)
			remover.Wait()
		})
	}
}
