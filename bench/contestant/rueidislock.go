package contestant

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"github.com/dlock-go/dlock/bench/testbed"
)

var rueidisLock = &Contestant{
	ID: "rueidislock", Title: "rueidislock", Store: Redis, Role: Peer,
	Says: "KeyMajority 1 and NoLoopTracking, its fastest setting for one node; it renews by itself and is told of releases by client-side caching; " +
		"it is called again after 1 s, as a waiter of KeyMajority 1 can sleep through a release for ever",
	open: func(_ context.Context, w *testbed.Testbed) (Locks, error) {
		locker, err := rueidislock.NewLocker(rueidislock.LockerOption{
			ClientOption:   rueidis.ClientOption{InitAddress: []string{w.RedisAddr}},
			KeyValidity:    TTL,
			ExtendInterval: TTL / 3,
			KeyMajority:    1,
			NoLoopTracking: true,
			// With one key there is no next one to try. After the default of 20 ms it
			// gives up its request, and with NoLoopTracking nothing wakes it then.
			TryNextAfter: TTL,
		})
		return rueidisLocks{locker}, err
	},
}

type rueidisLocks struct{ rueidislock.Locker }

func (l rueidisLocks) Mutex(name string) Lock { return &rueidisLocked{locker: l.Locker, name: name} }

type rueidisLocked struct {
	locker rueidislock.Locker
	name   string
	unlock context.CancelFunc
}

// Lock cuts waits short. A try that fails may take the gate by which releases wake
// it out of the locker's map: the goroutine that does the cleaning up looks at the
// number of failures, and may do so before the failure is counted. The context
// is that of the hold as well, so it has no deadline.
func (l *rueidisLocked) Lock() error {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		late := time.AfterFunc(time.Second, cancel)
		_, unlock, err := l.locker.WithContext(ctx, l.name)
		onTime := late.Stop()
		switch {
		case err == nil && onTime:
			l.unlock = unlock
			return nil
		case err == nil:
			unlock()
		case onTime:
			cancel()
			return err
		}
		cancel()
	}
}

func (l *rueidisLocked) TryLock() (bool, error) {
	_, unlock, err := l.locker.TryWithContext(context.Background(), l.name)
	if errors.Is(err, rueidislock.ErrNotLocked) {
		return false, nil
	}
	l.unlock = unlock
	return err == nil, err
}

func (l *rueidisLocked) Unlock() error {
	l.unlock()
	return nil
}
