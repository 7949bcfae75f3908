package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// TestNewerFormat has a program of later raise the format number.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		st := d.store(t, client.UniversalOptions{})
		s := session(t, st, 5*time.Second)
		granted(t, s, mutexOp(1, "n"))
		known := 1
		if len(d.servers) > 1 && !d.cluster {
			known = 3
		}
		for _, s := range d.servers {
			raiseFormat(t, s, known)
		}
		_, err := st.Open(patient(t), 5*time.Second, backend.ClientInfo{})
		if !errors.Is(err, backend.ErrUnsupported) {
			t.Fatalf("%v", err)
		}
		for _, word := range []string{fmt.Sprint("format ", known+1), fmt.Sprint("format ", known), "t:", "127.0.0.1:"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not say %q", err, word)
			}
		}
		// Who is there already goes on.
		if got := state(t, s, released(mutexOp(1, "n"))); got != backend.Released {
			t.Errorf("state %d", got)
		}
	})
}

// TestNewerFormatInABucket raises the number where a session of a cluster comes late.
func TestNewerFormatInABucket(t *testing.T) {
	t.Parallel()
	d := deployment{redistest.NewCluster(t, 3, 0).Masters, true}
	s := session(t, d.store(t, client.UniversalOptions{}), 5*time.Second)
	for _, server := range d.servers {
		for _, tag := range redis.Tags()[1:] {
			server.Do("SET", "t:{"+tag+"}:format", "2")
		}
	}
	for i, name := range []string{nameIn(0), nameIn(1)} {
		r := apply(t, s, mutexOp(uint64(i+1), name))[0]
		if denied := errors.Is(r.Err, backend.ErrUnsupported); denied != (i == 1) || denied != (r.State == backend.Failed) {
			t.Errorf("%s: state %d, %v", name, r.State, r.Err)
		}
	}
}

// raiseFormat raises all format numbers that a server has, which are known.
func raiseFormat(t *testing.T, s *redistest.Server, known int) {
	t.Helper()
	v, err := s.Do("KEYS", "*format")
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := v.([]any)
	for _, key := range keys {
		if got := do(t, s, "GET", key.(string)); got != fmt.Sprint(known) {
			t.Errorf("%s is %s", key, got)
		}
		do(t, s, "SET", key.(string), fmt.Sprint(known+1))
	}
}
