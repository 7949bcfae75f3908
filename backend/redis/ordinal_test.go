package redis_test

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/internal/redistest"
)

// TestOrdinalsOutrunTheClock puts the last ordinal into the future, as it is when
// the server's clock was set back.
func TestOrdinalsOutrunTheClock(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := open(t, "redis://"+s.Addr(), time.Second)
	do(t, s, "SET", "dlock:o", "4000000000000000")
	last := uint64(4_000_000_000_000_000) << 12
	for range 100 {
		h := acquire(t, c.Mutex("a"))
		token, _ := h.Token()
		if token <= last {
			t.Fatalf("token %d came after %d", token, last)
		}
		last = token
		release(t, h)
	}
}
