package file

import (
	"os"
	"slices"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// foreignHolders returns the programs that hold the lock of the file at path without
// dlock, as far as the system tells. Who has locked one of the presence files is none: he
// has not yet said that he holds the file, or says so no more.
func foreignHolders(path string, presences []flock.Identity) []backend.Participant {
	id, err := flock.IdentityAt(path)
	if err != nil || id == (flock.Identity{}) {
		return nil
	}
	known := make(map[int]bool)
	var found []backend.Participant
	for _, l := range flock.Locks() {
		switch {
		case slices.Contains(presences, l.File):
			known[l.PID] = true
		case l.File == id:
			s := backend.Participant{Mode: backend.Exclusive}
			s.Host, _ = os.Hostname()
			if s.PID = l.PID; l.Shared {
				s.Mode = backend.Shared
			}
			found = append(found, s)
		}
	}
	return slices.DeleteFunc(found, func(s backend.Participant) bool { return known[s.PID] })
}

// lockedUnread reports whether somebody has locked a file that we may not open. Whom the
// system does not tell us of passes for dead: that costs the place in a queue, and not
// exclusion.
func lockedUnread(path string) bool {
	id, err := flock.IdentityAt(path)
	return err == nil && id != (flock.Identity{}) && slices.ContainsFunc(flock.Locks(), func(l flock.Lock) bool { return l.File == id })
}
