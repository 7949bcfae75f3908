package redistest

import (
	"fmt"
	"testing"
	"time"
)

// MasterName is under what name a Sentinel knows its master.
const MasterName = "main"

// A Trio is a master with a replica, under a Sentinel that fails over to it.
type Trio struct {
	Master, Replica, Sentinel *Server
}

// StartTrio starts a master, a replica and a Sentinel, which takes the master
// for dead after half a second of silence.
func StartTrio(config ...string) (_ *Trio, err error) {
	t := new(Trio)
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if t.Master, err = Start(config...); err != nil {
		return nil, err
	}
	follow := fmt.Sprint("replicaof 127.0.0.1 ", t.Master.port)
	if t.Replica, err = Start(append([]string{follow}, config...)...); err != nil {
		return nil, err
	}
	if err := t.Replica.await("master_link_status", "up"); err != nil {
		return nil, err
	}
	t.Sentinel, err = (&Server{sentinel: true, config: []string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", MasterName, t.Master.port),
		"sentinel down-after-milliseconds " + MasterName + " 500",
		"sentinel failover-timeout " + MasterName + " 3000",
	}}).create()
	if err != nil {
		return nil, err
	}
	// It cannot fail over to a replica that it has not found yet.
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		v, err := t.Sentinel.Do("SENTINEL", "REPLICAS", MasterName)
		if err != nil {
			return nil, err
		}
		if list, _ := v.([]any); len(list) == 1 {
			return t, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("redistest: the Sentinel does not find the replica: %v", v)
		}
	}
}

// NewTrio is StartTrio for a test.
func NewTrio(tb testing.TB, config ...string) *Trio {
	tb.Helper()
	t, err := StartTrio(config...)
	check(tb, err)
	tb.Cleanup(t.Close)
	return t
}

// Close ends all three.
func (t *Trio) Close() {
	for _, s := range []*Server{t.Sentinel, t.Replica, t.Master} {
		if s != nil {
			s.Close()
		}
	}
}
