package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The statements of a session, by the names under which its connections have
// prepared them. All parameters and results are numbers.
const (
	stOne       = "dlock_one"        // a row of stMany, by itself; its kind is appended
	stMany      = "dlock_many"       // tries and unlocks of mutexes and reader-writer locks
	stTickets   = "dlock_tickets"    // tries and unlocks of semaphores
	stFree      = "dlock_free"       // stMany for unlocks alone, which need no sequence and no right to it
	stFreeSlots = "dlock_free_slots" // stTickets likewise
	stPing      = "dlock_ping"       // nothing
	stProbe     = "dlock_probe"      // a token, if it is to be had at once
	stStanding  = "dlock_standing"   // which backends wait for a lock
	stStalling  = "dlock_stalling"   // which backends others wait for
	stAlive     = "dlock_alive"      // which backends are at work
	stPresent   = "dlock_present"    // which backends have or await advisory locks
	stWriters   = "dlock_writers"    // how many wait to write
	stReconcile = "dlock_reconcile"  // which locks the connection holds
	stUnlockAll = "dlock_unlock_all"

	// Those of wait sessions. To them and to stMany pair is appended where there are
	// keys that are pairs.
	stLock         = "dlock_lock"
	stLockShared   = "dlock_lock_shared"
	stUnlock       = "dlock_unlock"
	stUnlockShared = "dlock_unlock_shared"
	stFlag         = "dlock_flag"
	stToken        = "dlock_token"
	stMarker       = "dlock_marker" // true: the marker could be had
	pair           = "_pair"
)

// What a row of stMany asks for. The gate is taken for the moment of a try alone;
// a try by somebody whose wait session has it does without. With ofPair the key
// is a pair.
const (
	tryAlone        = 1 // null: the gate is closed; 0: taken; 1: got it
	tryShared       = 2
	passGate        = 3 // the session has the lock shared, and another reader wants to come in
	landAlone       = 4 // behind the gate: 0 or 1
	landShared      = 5
	tokenAlone      = 6 // a reader comes in behind the gate: 1
	unlockAlone     = 7 // 0 or 1
	unlockShared    = 8
	ofPair          = 16
	firstUnlock     = unlockAlone
	ticketJoinTry   = 1 // null: again; -1: another limit; 0: taken; n: got the nth of the slots
	ticketTry       = 2 // behind the gate
	ticketLand      = 3
	ticketUnlock    = 4
	ticketLeave     = 5
	lastTicketToken = ticketLand
)

// gated has a try happen while the gate is open, and gives the gate back after
// it. CASE is what fixes the order of the calls.
const gated = "case when pg_try_advisory_lock_shared(o.g) then case when %s then pg_advisory_unlock_shared(o.g)::int else 1 - pg_advisory_unlock_shared(o.g)::int end end"

// deeds returns what is done for each kind of row.
func deeds() map[int64]string {
	all := map[int64]string{
		tryAlone:     fmt.Sprintf(gated, "pg_try_advisory_lock(o.k)"),
		tryShared:    fmt.Sprintf(gated, "pg_try_advisory_lock_shared(o.k)"),
		passGate:     "case when pg_try_advisory_lock_shared(o.g) then pg_advisory_unlock_shared(o.g)::int end",
		landAlone:    "pg_try_advisory_lock(o.k)::int",
		landShared:   "pg_try_advisory_lock_shared(o.k)::int",
		tokenAlone:   "1",
		unlockAlone:  "pg_advisory_unlock(o.k)::int",
		unlockShared: "pg_advisory_unlock_shared(o.k)::int",
	}
	for what, deed := range maps.Clone(all) {
		all[what|ofPair] = strings.ReplaceAll(deed, "(o.k)", "((o.k >> 32)::int4, (o.k << 32 >> 32)::int4)")
	}
	return all
}

// oneOf is a row of stMany by itself. The server spends more time on setting a
// statement up than on carrying it out, so it is as short as can be. A token is
// made when the lock is held, so tokens grow in the order of the holds.
func oneOf(what int64, deed, token string) string {
	const row = "(select $1::int8 as k, $2::int8 as g) o"
	if what&^ofPair >= firstUnlock {
		return fmt.Sprintf("select %s, 0::int8, pg_backend_pid() from %s", deed, row)
	}
	return fmt.Sprintf("select q.r, case when q.r = 1 then %s else 0 end, pg_backend_pid() from (select %s as r from %s offset 0) q", token, deed, row)
}

// manyOf returns stMany, for the rows that deeds has.
func manyOf(deeds map[int64]string, token string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "select q.r, case when q.r = 1 and q.what & %d < %d then %s else 0 end, pg_backend_pid() from (select o.what, case o.what", ofPair-1, firstUnlock, token)
	for _, what := range slices.Sorted(maps.Keys(deeds)) {
		fmt.Fprintf(&b, " when %d then %s", what, deeds[what])
	}
	b.WriteString(" end as r from unnest($1::int2[], $2::int8[], $3::int8[]) as o(what, k, g) offset 0) q")
	return b.String()
}

// one returns the name of the statement for one row of a kind.
func one(what int64) string { return stOne + strconv.FormatInt(what, 10) }

// ticketsOf is the row of stTickets: what, the gate g, the keys j, u and m of
// which the driver's comment tells, a slot k, and where the slots to try begin
// and end among all of the statement, $9. Who joins does so alone, by j: if
// nobody uses the semaphore it marks its own limit, else that must be marked
// already. Whoever is in u is in m: it enters u last and leaves it first, so a
// mark that is not there is no accident.
const ticketsOf = `select q.r, case when q.r > 0 and q.what <= %[2]d then %[1]s else 0 end, pg_backend_pid()
from (select o.what, case o.what
	when 1 then case (case when pg_try_advisory_lock(o.j) then
			case (case when pg_try_advisory_lock(o.u) then
					case when pg_try_advisory_lock_shared(o.m) then
						case when pg_try_advisory_lock_shared(o.u) then pg_advisory_unlock(o.u) end end
				when pg_try_advisory_lock_shared(o.u) then
					case when pg_try_advisory_lock(o.m) then
						case when pg_advisory_unlock(o.m) then not pg_advisory_unlock_shared(o.u) end
					else pg_try_advisory_lock_shared(o.m) end
				end)
			when true then pg_advisory_unlock(o.j)
			when false then not pg_advisory_unlock(o.j)
			else case when pg_advisory_unlock(o.j) then null::bool end end
		end)
		when true then case when pg_try_advisory_lock_shared(o.g) then %[3]s - 1 + pg_advisory_unlock_shared(o.g)::int else 0 end
		when false then -1
		end
	when 2 then case when pg_try_advisory_lock_shared(o.g) then %[3]s - 1 + pg_advisory_unlock_shared(o.g)::int else 0 end
	when 3 then %[3]s
	when 4 then pg_advisory_unlock(o.k)::int
	when 5 then case when pg_advisory_unlock_shared(o.u) then pg_advisory_unlock_shared(o.m)::int else 0 end
	end as r
from unnest($1::int2[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int4[], $8::int4[]) as o(what, g, j, u, m, k, first, last) offset 0) q`

// freeSlots is ticketsOf for those of its rows that give something back.
const freeSlots = `select case o.what
	when 4 then pg_advisory_unlock(o.k)::int
	when 5 then case when pg_advisory_unlock_shared(o.u) then pg_advisory_unlock_shared(o.m)::int else 0 end
	end, 0::int8, pg_backend_pid()
from unnest($1::int2[], $2::int8[], $3::int8[], $4::int8[]) as o(what, u, m, k)`

// aSlot takes the first slot that is free and tells which, or 0.
const aSlot = `coalesce((select c.i from unnest(($9::int8[])[o.first:o.last]) with ordinality as c(k, i) where pg_try_advisory_lock(c.k) limit 1), 0)`

// What the server shows of an activity depends on the role and on track_activities. Who
// has and awaits which lock is to be seen by all, at a greater price.
const (
	// standing finds the backends of $1 that wait for a lock.
	standing = `select p from unnest($1::int4[]) p left join lateral pg_stat_get_activity(p) a on true
where case when a.state is null then p in (select pid from pg_locks where not granted) else a.wait_event_type = 'Lock' end`

	// alive finds the backends of $1 that are at work: whoever is has a transaction, and
	// that has a lock on itself.
	alive = `select p from unnest($1::int4[]) p left join lateral pg_stat_get_activity(p) a on true
where case when a.state is null or a.state = 'disabled' then p in (select pid from pg_locks where locktype = 'virtualxid' and granted) else a.state <> 'idle' end`

	// stalling finds the backends of $1 that are in the way of somebody who waits for
	// transactions to end: an index that is built concurrently, say, which waits for all
	// that began before it, one by one. $2 is for how many milliseconds they have been
	// at it, by our account, to which a second is added: there is no harm in one too many.
	stalling = `select o.p from unnest($1::int4[], $2::int8[]) o(p, age) where clock_timestamp() - (o.age + 1000) * interval '1 ms' < (
	select max(l.waitstart) from pg_locks l join pg_stat_get_activity(null) a using (pid) where l.locktype = 'virtualxid' and not l.granted
	and a.datid = (select oid from pg_database where datname = current_database()))`
)

// statements returns the statements of a connection by name. token is the
// expression that makes one.
func statements(token string, r role) map[string]string {
	all := map[string]string{
		stPing:      "select pg_backend_pid()",
		stUnlockAll: "select pg_advisory_unlock_all()",
	}
	if r == holding {
		d := deeds()
		for what, deed := range d {
			all[one(what)] = oneOf(what, deed, token)
		}
		all[stMany+pair] = manyOf(d, token)
		singles := maps.Clone(d)
		maps.DeleteFunc(singles, func(what int64, _ string) bool { return what&ofPair != 0 })
		all[stMany] = manyOf(singles, token)
		all[stTickets] = fmt.Sprintf(ticketsOf, token, lastTicketToken, aSlot)
		maps.DeleteFunc(d, func(what int64, _ string) bool { return what&^ofPair < firstUnlock })
		all[stFree+pair] = manyOf(d, "0::int8")
		maps.DeleteFunc(d, func(what int64, _ string) bool { return what&ofPair != 0 })
		all[stFree] = manyOf(d, "0::int8")
		all[stFreeSlots] = freeSlots
		all[stProbe] = "select case when set_config('lock_timeout', '10', true) is not null then " + token + " end"
		all[stStanding] = standing
		all[stAlive] = alive
		all[stPresent] = "select p from unnest($1::int4[]) p where p in (select pid from pg_locks where locktype = 'advisory')"
		all[stStalling] = stalling
		all[stWriters] = "select count(*) from pg_locks where locktype = 'advisory' and granted and objsubid = 1 and mode = 'ShareLock'" +
			" and (classid::int8 << 32 | objid::int8) = $1::int8 and database = (select oid from pg_database where datname = current_database())"
		all[stReconcile] = "select classid::int8 << 32 | objid::int8, objsubid, (mode = 'ShareLock')::int from pg_locks" +
			" where locktype = 'advisory' and granted and pid = pg_backend_pid()"
		return all
	}
	all[stLock] = "select pg_advisory_lock($1::int8)"
	all[stLockShared] = "select pg_advisory_lock_shared($1::int8)"
	all[stUnlock] = "select pg_advisory_unlock($1::int8)"
	all[stUnlockShared] = "select pg_advisory_unlock_shared($1::int8)"
	for _, name := range []string{stLock, stLockShared, stUnlock, stUnlockShared} {
		all[name+pair] = strings.Replace(all[name], "($1::int8)", "($1::int4, $2::int4)", 1)
	}
	// Writers that wait share the flag, so whoever gets it alone knows that there are none.
	all[stFlag] = "select case when pg_try_advisory_lock($1::int8) then pg_advisory_unlock($1::int8)::int else 0 end"
	all[stToken] = "select " + token
	all[stMarker] = "select pg_try_advisory_lock($1::int8)"
	return all
}

// token returns the expression that makes the next token of a sequence, or 0.
func tokenOf(sequence string) string {
	if sequence == "" {
		return "0::int8"
	}
	return "nextval(" + literal(sequence) + "::regclass)"
}

// regclass returns the constant that stands for a relation.
func regclass(relation string) string { return literal(relation) + "::regclass" }

// literal quotes a string for SQL, in ASCII whatever it contains.
func literal(s string) string {
	var b strings.Builder
	b.WriteString("U&'")
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteRune(r)
			b.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		default:
			b.WriteString(`\+` + fmt.Sprintf("%06s", strconv.FormatInt(int64(r), 16)))
		}
	}
	b.WriteString("'")
	return b.String()
}
