package file

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

const (
	// internalDir is the subdirectory for everything but the lock files.
	internalDir = ".dlock"
	// queueSuffix makes the name of a lock file that of its queue's directory.
	queueSuffix = ".q"
	// readable is how much of a lock's name its file name repeats.
	readable = 40
)

// A key tells locks apart. It stands in for the name, which may be long.
type key struct {
	class backend.Class
	sum   [16]byte // of SHA-256 over the exact bytes of the name
}

func keyOf(class backend.Class, name string) key {
	sum := sha256.Sum256([]byte(name))
	return key{class, [16]byte(sum[:16])}
}

// fileName returns the name of the lock file. File systems fold case, normalise
// Unicode, cap lengths and reserve characters and whole words; so the name of a
// lock is only repeated to be recognised by people, as far as it is harmless, and
// the hash tells files apart. Dots are left out, because "CON.x" is a device on
// Windows as much as "CON".
func fileName(k key, name string) string {
	var b strings.Builder
	for i := 0; i < len(name) && i < readable; i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			b.WriteByte('_')
		}
	}
	return b.String() + "-" + hex.EncodeToString(k.sum[:]) + "." + k.class.String()
}

// slotPath returns the file that is locked for one of a semaphore's tickets.
func slotPath(lockPath string, slot uint32) string {
	return lockPath + "." + strconv.FormatUint(uint64(slot), 10)
}

// isLockFile reports whether a directory entry is named like a lock file.
func isLockFile(name string) bool {
	stem, class, _ := strings.Cut(name, ".")
	class, slot, hasSlot := strings.Cut(class, ".")
	if hasSlot {
		if _, err := strconv.ParseUint(slot, 10, 32); err != nil || class != backend.Semaphore.String() {
			return false
		}
	}
	switch class {
	case backend.Mutex.String(), backend.RWMutex.String(), backend.Semaphore.String():
	default:
		return false
	}
	i := strings.LastIndexByte(stem, '-')
	sum, err := hex.DecodeString(stem[i+1:])
	return i >= 0 && err == nil && len(sum) == len(key{}.sum)
}
