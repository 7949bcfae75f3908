package postgres

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/dlock-go/dlock/backend"
)

// A Key is the key of an advisory lock: an int8 or a pair of int4. All int8 keys
// of a database and all of its pairs are different locks. The zero Key is the
// int8 0. Keys can be compared, and be keys of a map.
type Key struct {
	value int64 // of a pair its first number, shifted left by 32 bits, and its second
	pair  bool
}

// Int64Key returns the key that SQL has as pg_advisory_lock(n).
func Int64Key(n int64) Key { return Key{value: n} }

// PairKey returns the key that SQL has as pg_advisory_lock(a, b).
func PairKey(a, b int32) Key { return Key{value: int64(a)<<32 | int64(uint32(b)), pair: true} }

// numbers returns the two numbers of a pair.
func (k Key) numbers() (a, b int32) { return int32(k.value >> 32), int32(k.value) }

// String returns the key as the arguments of pg_advisory_lock: "(5)" or "(0, 5)".
func (k Key) String() string {
	if k.pair {
		a, b := k.numbers()
		return fmt.Sprintf("(%d, %d)", a, b)
	}
	return "(" + strconv.FormatInt(k.value, 10) + ")"
}

// nameKey is the key of a lock whose names are mapped by nobody else. Programs of
// other versions have to find the same one, so it never changes.
func nameKey(class backend.Class, name string) Key {
	sum := sha256.Sum256([]byte("dlock\x00" + class.String() + "\x00" + name))
	return Int64Key(int64(binary.BigEndian.Uint64(sum[:])))
}

// derive returns a key that serves the lock k: its gate, say. It depends on
// nothing but k, so that whoever locks k in whatever way can find it. It never
// changes either.
func (k Key) derive(purpose string) int64 {
	kind := "8"
	if k.pair {
		kind = "44"
	}
	text := binary.BigEndian.AppendUint64([]byte("dlock\x00"+purpose+"\x00"+kind+"\x00"), uint64(k.value))
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// WithKeys has key tell under which key the lock of a name is kept, so that
// other programs find it. A mutex and a reader-writer lock of one name then have
// one key and exclude each other, and a client that uses one of them cannot use
// the other at the same time: that is an error that wraps backend.ErrName, as it
// is for any two names with one key. A semaphore locks keys that are derived from
// its own. key must always return the same for a name, and for names that differ
// should differ. It is called from several goroutines. With dlock.WithNamespace
// it is given a NUL, the namespace, a NUL and the name.
func WithKeys(key func(name string) Key) Option {
	return func(c *config) error {
		if key == nil {
			return errors.New("dlock: nil key function")
		}
		c.keys = func(_ backend.Class, name string) Key { return key(name) }
		return nil
	}
}

// DotNetKey returns the key under which the .NET library DistributedLock keeps
// the lock of a name. With WithKeys(DotNetKey) its locks and ours exclude each
// other.
//
// A name of up to nine ASCII characters is packed into a pair of numbers, and so
// names as short as that never collide. Two numbers of eight hexadecimal digits
// with a comma between them are that pair, sixteen hexadecimal digits are that
// int8, and all other names are hashed.
func DotNetKey(name string) Key {
	if packed, ok := packASCII(name); ok {
		return Key{value: packed, pair: true}
	}
	switch {
	case len(name) == 17 && name[8] == ',':
		if n, ok := unhex(name[:8] + name[9:]); ok {
			return Key{value: n, pair: true}
		}
	case len(name) == 16:
		if n, ok := unhex(name); ok {
			return Int64Key(n)
		}
	}
	sum := sha1.Sum([]byte(name)) // not for secrecy: it is what the others do
	return Int64Key(int64(binary.LittleEndian.Uint64(sum[:])))
}

// packASCII packs a short name, 7 bits a character. A 0 bit and seven 1 bits for
// each missing character tell names of different lengths apart.
func packASCII(name string) (packed int64, ok bool) {
	const most = 9
	if len(name) > most {
		return 0, false
	}
	for i := range len(name) {
		if name[i] > 0x7f {
			return 0, false
		}
		packed = packed<<7 | int64(name[i])
	}
	packed <<= 1
	for range most - len(name) {
		packed = packed<<7 | 0x7f
	}
	return packed, true
}

// unhex reads sixteen hexadecimal digits.
func unhex(digits string) (int64, bool) {
	b, err := hex.DecodeString(digits)
	if err != nil {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}
