package session

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/dlock-go/dlock/backend"
)

// unacked holds the operations that the store has not carried out yet, as far as is
// known, in the order in which they are to be sent again. It is not safe for
// concurrent use.
type unacked struct {
	ops   []backend.Op
	sent  []bool // by index: the operation may have taken effect
	why   error  // what the store or the driver said of one of them last, or nil
	at    time.Time
	pause backoff.BackOff
}

// reset forgets all of it.
func (u *unacked) reset() {
	if len(u.ops) == 0 && u.at.IsZero() {
		return // Nothing has been there since the last time.
	}
	clear(u.ops)
	u.ops, u.sent, u.why, u.at = u.ops[:0], u.sent[:0], nil, time.Time{}
	u.pause.Reset()
}

func (u *unacked) len() int { return len(u.ops) }

// add takes in an operation. sent tells that it may have taken effect.
func (u *unacked) add(op backend.Op, sent bool) {
	u.ops = append(u.ops, op)
	u.sent = append(u.sent, sent)
}

// take returns all operations, to be sent. They stand at the beginning of what is
// added afterwards, if they are added again.
func (u *unacked) take() (ops []backend.Op, sent []bool) {
	ops, sent = u.ops, u.sent
	u.ops, u.sent = nil, nil
	return ops, sent
}

// hold keeps the order of each owner: an operation of an owner of whom another one
// is to be sent again waits behind that. It returns the others, in room if some wait.
func (u *unacked) hold(ops []backend.Op, room *[]backend.Op) []backend.Op {
	if len(u.ops) == 0 {
		return ops
	}
	owners := make(map[uint64]bool, len(u.ops))
	for i := range u.ops {
		owners[u.ops[i].Owner] = true
	}
	*room = (*room)[:0]
	for _, op := range ops {
		if owners[op.Owner] {
			u.add(op, false)
		} else {
			*room = append(*room, op)
		}
	}
	return *room
}

// forget drops what is to be sent again for an owner that was released: an Acquire that
// was refused in the same batch would take the lock for nobody.
func (u *unacked) forget(owner uint64) {
	kept := 0
	for i := range u.ops {
		if u.ops[i].Owner != owner {
			u.ops[kept], u.sent[kept] = u.ops[i], u.sent[i]
			kept++
		}
	}
	clear(u.ops[kept:])
	u.ops, u.sent = u.ops[:kept], u.sent[:kept]
}

// unsure returns the owners of operations that may have taken effect.
func (u *unacked) unsure() map[uint64]bool {
	var owners map[uint64]bool
	for i, sent := range u.sent {
		if sent {
			if owners == nil {
				owners = make(map[uint64]bool)
			}
			owners[u.ops[i].Owner] = true
		}
	}
	return owners
}

// due returns when the operations are to be sent again. The time stands, whatever
// batches come in between: tried tells that they have just been sent once more.
func (u *unacked) due(now time.Time, tried bool) time.Time {
	if u.at.IsZero() || tried {
		u.at = now.Add(u.pause.NextBackOff())
	}
	return u.at
}

// ripe reports whether it is time to send something again.
func (u *unacked) ripe(now time.Time) bool {
	return len(u.ops) > 0 && !u.at.IsZero() && !now.Before(u.at)
}
