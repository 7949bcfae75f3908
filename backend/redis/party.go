package redis

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"
)

// newID returns a name for a session that no other has.
func newID() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// brief returns a reason that is not too long, of whole characters.
func brief(reason string) string {
	if len(reason) <= 1<<10 {
		return reason
	}
	return strings.ToValidUTF8(reason[:1<<10], "")
}

// drift is how much earlier than the server's clock ours ends a lease.
func drift(ttl time.Duration) time.Duration { return ttl/100 + 2*time.Millisecond }
