package backend

import "time"

// MaxOrdinal bounds the ordinals of grants: with the 12 bits below them that count
// hand-overs in memory, a fencing token is a positive int64, the BIGINT of SQL.
const MaxOrdinal = 1<<51 - 1

// epoch is 2020-01-01 in UTC, in microseconds since 1970. From there MaxOrdinal is in
// the year 2091.
const epoch = 1_577_836_800_000_000

// OrdinalAt returns the ordinal of a grant at t for a store that counts by a clock:
// the microseconds since 2020-01-01. To grow, the store takes the greater of that and
// its last ordinal plus one.
func OrdinalAt(t time.Time) uint64 { return uint64(max(t.UnixMicro()-epoch, 1)) }

// OrdinalTime returns the time at which a store that counts by a clock granted an
// ordinal, or shortly before: many grants in one microsecond run ahead of it.
func OrdinalTime(ordinal uint64) time.Time { return time.UnixMicro(int64(ordinal) + epoch) }
