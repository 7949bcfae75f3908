package redislock

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// NewID returns a name for a session that no other has.
func NewID() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Brief returns a reason that is not too long, of whole characters.
func Brief(reason string) string {
	if len(reason) <= 1<<10 {
		return reason
	}
	return strings.ToValidUTF8(reason[:1<<10], "")
}
