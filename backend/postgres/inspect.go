package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
)

// inspection lists the locks with the keys of one lock of ours: the key itself, or
// the slots of a semaphore, which are the keys from $3 to $4, over the end of
// the numbers if $5; and the gate, $6.
const inspection = `select l.pid, l.granted, l.mode = 'ShareLock', l.objsubid = 1 and l.key = $6, l.waitstart, coalesce(a.application_name, ''), coalesce(a.query, '')
from (select *, classid::int8 << 32 | objid::int8 as key from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())) l
left join pg_stat_get_activity(null) a using (pid)
where l.objsubid = $1 and l.key = $2 or l.objsubid = 1 and (l.key = $6 or l.key between $3 and $4 or $5 and (l.key >= $3 or l.key <= $4))`

// Inspect implements [backend.Backend]. It takes a connection of its own for as
// long as it lasts.
//
// The server knows which connection has a lock, or waits for it in its queue, and
// connections say whose they are. It does not know since when a lock is held, with
// what token, and for how many readers of a client; nor of those who wait without
// a wait session. Others than the role of a client and its superiors see of
// it what fits into application_name, and that is not the reason.
func (st *Store) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	if class < backend.Mutex || class > backend.Semaphore {
		return nil, nil, fmt.Errorf("%w: class %d", backend.ErrUnsupported, class)
	}
	c, err := st.connect(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting: %w", err)
	}
	defer hangUp(c)
	all, err := st.sightings(ctx, c, class, name)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the locks: %w", err)
	}
	holders, waiters = standings(all)
	return holders, waiters, nil
}

// A sighting is a lock in the server's table.
type sighting struct {
	pid             int32
	granted, shared bool
	gate            bool // it is the gate's, or else the lock's
	since           *time.Time
	who             backend.ClientInfo
	ours            bool // it is a client's
}

func (st *Store) sightings(ctx context.Context, c *pgx.Conn, class backend.Class, name string) (all []sighting, err error) {
	k := st.config.keys(class, name)
	sub, first, last := 1, k.value, k.value
	switch {
	case class == backend.Semaphore:
		first = k.derive("slots")
		last = first + (1<<31 - 1)
		k.value = first
	case k.pair:
		sub, first, last = 2, k.derive("gate"), k.derive("gate")
	}
	rows, err := c.Query(ctx, inspection, pgx.QueryExecModeExec, sub, k.value, first, last, last < first, st.config.keys(class, name).derive("gate"))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g sighting, err error) {
		var application, statement string
		err = row.Scan(&g.pid, &g.granted, &g.shared, &g.gate, &g.since, &application, &statement)
		g.who, g.ours = clientOf(application, statement)
		return g, err
	})
}

// standings tells holders from waiters.
func standings(all []sighting) (holders, waiters []backend.Participant) {
	// Some wait sessions have the lock, or are alone at the gate, on behalf of
	// their client, who waits until it is the holder session's.
	inGate := make(map[int32]bool)
	blocked := make(map[int32]bool)
	for _, g := range all {
		inGate[g.pid] = inGate[g.pid] || g.gate && g.granted
		blocked[g.pid] = blocked[g.pid] || !g.granted
	}
	var queue []sighting
	for _, g := range all {
		switch {
		case !g.granted, g.gate && g.ours && !blocked[g.pid] && !has(all, g.pid):
			queue = append(queue, g)
		case !g.gate && !(g.ours && inGate[g.pid]):
			holders = append(holders, g.standing())
		}
	}
	// Writers go before readers. Of either, who has the gate is first, and then come
	// those who wait for it, in order.
	slices.SortStableFunc(queue, func(a, b sighting) int {
		behind := func(g sighting) int {
			if inGate[g.pid] || !g.gate {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(behind(a), behind(b)), a.start().Compare(b.start()), cmp.Compare(a.pid, b.pid))
	})
	for _, g := range queue {
		waiters = append(waiters, g.standing())
	}
	return holders, waiters
}

// has reports whether a backend has the lock itself.
func has(all []sighting, pid int32) bool {
	return slices.ContainsFunc(all, func(g sighting) bool { return g.pid == pid && !g.gate && g.granted })
}

// rank is 0 for who goes before those with rank 1.
func (g *sighting) rank() int {
	if g.shared {
		return 1
	}
	return 0
}

func (g *sighting) start() time.Time {
	if g.since == nil {
		return time.Time{}
	}
	return *g.since
}

func (g *sighting) standing() backend.Participant {
	mode := backend.Exclusive
	if g.shared {
		mode = backend.Shared
	}
	return backend.Participant{ClientInfo: g.who, Mode: mode, Since: g.start()}
}

// clientOf returns who has a connection, as far as it tells, and whether it is that
// of a client.
func clientOf(application, statement string) (who backend.ClientInfo, ours bool) {
	if who, ok := pgsql.ParseCard(statement); ok {
		return who, true
	}
	words := strings.Fields(application)
	if len(words) != 3 || words[0] != "dlock" {
		return who, false
	}
	pid, err := strconv.Atoi(words[2])
	return backend.ClientInfo{Host: words[1], PID: pid}, err == nil
}
