package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

// buckets is into how many parts the locks of a cluster are divided. A script
// stays in one of them. It is a constant of the protocol: clients that divide
// otherwise do not see each other's locks.
const buckets = 16

// tags are what the keys of a bucket have between braces, such that each bucket
// lies in its own sixteenth of the slots.
var tags = [buckets]string{}

func init() {
	for n := 0; ; n++ {
		tag := fmt.Sprint(n)
		if b := slotOf(tag) * buckets / slots; tags[b] == "" {
			tags[b] = tag
		}
		done := true
		for _, t := range tags {
			done = done && t != ""
		}
		if done {
			return
		}
	}
}

// slots is how many slots a Redis Cluster has.
const slots = 16384

// slotOf returns the slot of a hash tag: its CRC16 of the kind XMODEM.
func slotOf(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

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

// bucketOf returns in which bucket of a cluster a lock lies.
func bucketOf(class backend.Class, name string) int {
	// FNV-1a
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	h = (h ^ uint32(class)) * 16777619
	h ^= h >> 16
	return int(h % buckets)
}

// errOwner answers an Acquire under an owner that stands for another one.
var errOwner = errors.New("dlock: owner is in use for another lock")

// check returns why an Acquire cannot be carried out, or nil.
func check(op *backend.Op) error {
	switch {
	case op.Name == "":
		return fmt.Errorf("%w: it is empty", backend.ErrName)
	case len(op.Name) > 1<<28:
		return fmt.Errorf("%w: it has %d bytes", backend.ErrName, len(op.Name))
	case op.Owner == 0:
		return fmt.Errorf("%w: an owner of zero", backend.ErrUnsupported)
	case op.Class < backend.Mutex || op.Class > backend.Semaphore:
		return fmt.Errorf("%w: class %d", backend.ErrUnsupported, op.Class)
	case op.Mode != backend.Exclusive && (op.Mode != backend.Shared || op.Class != backend.RWMutex):
		return fmt.Errorf("%w: mode %d of a %v", backend.ErrUnsupported, op.Mode, op.Class)
	case op.Class == backend.Semaphore && op.Limit == 0:
		return fmt.Errorf("%w: a semaphore of size zero", backend.ErrUnsupported)
	}
	return nil
}
