package file

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A record is what a presence file says of one claim. The zero record says nothing.
type record struct {
	key    key
	held   bool // else it waits
	mode   backend.Mode
	limit  uint32
	since  time.Time
	number uint64 // the ordinal of one that is held, the ticket of one that waits
}

// recordOf returns what there is to say of a claim that is held or waits.
func recordOf(c *claim) *record {
	r := &record{key: c.lock.key, held: c.held, mode: c.mode, limit: c.limit, since: c.since}
	if c.held {
		r.number = c.grant.Ordinal
	} else {
		r.number = c.ticket.number
	}
	return r
}

// recordSize is the size of a record in a file. It ends with a checksum: who
// reads while it is written may see half of it, and has to look again.
const recordSize = 44

// The states in which a record is.
const (
	noRecord = iota
	waitsRecord
	heldRecord
)

// encode writes the record to b, which is zero, as it stands in a file. All kinds
// of machines read it alike.
func (r *record) encode(b *[recordSize]byte) {
	copy(b[:16], r.key.sum[:])
	b[16], b[17], b[18] = byte(r.key.class), waitsRecord, byte(r.mode)
	if r.held {
		b[17] = heldRecord
	}
	binary.LittleEndian.PutUint32(b[20:], r.limit)
	binary.LittleEndian.PutUint64(b[24:], uint64(r.since.UnixNano()))
	binary.LittleEndian.PutUint64(b[32:], r.number)
	binary.LittleEndian.PutUint32(b[40:], crc32.ChecksumIEEE(b[:40]))
}

// keyOfRecord returns which lock a record in a file is about.
func keyOfRecord(b *[recordSize]byte) key {
	return key{backend.Class(b[16]), [16]byte(b[:16])}
}

// decode reads a record. It reports false when b is not one, or not yet.
func (r *record) decode(b *[recordSize]byte) bool {
	*r = record{
		key:    keyOfRecord(b),
		held:   b[17] == heldRecord,
		mode:   backend.Mode(b[18]),
		limit:  binary.LittleEndian.Uint32(b[20:]),
		since:  time.Unix(0, int64(binary.LittleEndian.Uint64(b[24:]))),
		number: binary.LittleEndian.Uint64(b[32:]),
	}
	return b[17] != noRecord && binary.LittleEndian.Uint32(b[40:]) == crc32.ChecksumIEEE(b[:40])
}
