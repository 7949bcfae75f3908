package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

// longName is from what length on a key has the digest of a name in it.
const longName = 200

// subject returns what tells a lock apart in its bucket: a letter for the class,
// in upper case where a digest stands for the name, and the name. The letters are
// no part of the name, so a name cannot pass for a digest.
func subject(class backend.Class, name string) string {
	letter := "?mrs"[class : class+1]
	if len(name) < longName {
		return letter + ":" + name
	}
	digest := sha256.Sum256([]byte(name))
	return strings.ToUpper(letter) + ":" + hex.EncodeToString(digest[:])
}
