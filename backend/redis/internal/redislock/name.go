package redislock

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

// LongName is from what length on a key has the digest of a name in it.
const LongName = 200

// Subject returns what tells a lock apart in its shard: a letter for the class,
// in upper case where a digest stands for the name, and the name. The letters are
// no part of the name, so a name cannot pass for a digest.
func Subject(class backend.Class, name string) string {
	letter := "?mrs"[class : class+1]
	if len(name) < LongName {
		return letter + ":" + name
	}
	digest := sha256.Sum256([]byte(name))
	return strings.ToUpper(letter) + ":" + hex.EncodeToString(digest[:])
}
