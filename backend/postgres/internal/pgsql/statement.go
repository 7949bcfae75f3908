package pgsql

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
	oneOfKind = "dlock_one"        // a row of Many, by itself; its kind is appended
	Many      = "dlock_many"       // tries and unlocks of mutexes and reader-writer locks
	Slots     = "dlock_slots"      // tries and unlocks of semaphores
	Free      = "dlock_free"       // Many for unlocks alone, which need no sequence and no right to it
	FreeSlots = "dlock_free_slots" // Slots likewise
	Ping      = "dlock_ping"       // nothing
	Probe     = "dlock_probe"      // a token, if it is to be had at once
	Standing  = "dlock_standing"   // which backends wait for a lock
	Stalling  = "dlock_stalling"   // which backends others wait for
	Alive     = "dlock_alive"      // which backends are at work
	Present   = "dlock_present"    // which backends have or await advisory locks
	Writers   = "dlock_writers"    // how many wait to write
	Reconcile = "dlock_reconcile"  // which locks the connection holds
	UnlockAll = "dlock_unlock_all"

	// Those of wait sessions. To them, and to Many and Free, ForPairs is appended where
	// there are keys that are pairs.
	Lock         = "dlock_lock"
	LockShared   = "dlock_lock_shared"
	Unlock       = "dlock_unlock"
	UnlockShared = "dlock_unlock_shared"
	Flag         = "dlock_flag"
	Token        = "dlock_token"
	Marker       = "dlock_marker" // true: the marker could be had
	ForPairs     = "_pair"
)

// What a row of Many asks for. The gate is taken for the moment of a try alone; a try by
// somebody whose wait session has it does without. With OfPair the key is a pair.
const (
	TryAlone    = 1 // null: the gate is closed; 0: taken; 1: got it
	TryShared   = 2
	PassGate    = 3 // the session has the lock shared, and another reader wants to come in
	LandAlone   = 4 // behind the gate: 0 or 1
	LandShared  = 5
	TokenAlone  = 6 // a reader comes in behind the gate: 1
	FreeAlone   = 7 // 0 or 1
	FreeShared  = 8
	firstUnlock = FreeAlone
	OfPair      = 16
)

// What a row of Slots asks for.
const (
	SlotJoinTry   = 1 // null: again; -1: another limit; 0: taken; n: got the nth of the slots
	SlotTry       = 2 // behind the gate
	SlotLand      = 3
	SlotUnlock    = 4
	SlotLeave     = 5
	lastSlotToken = SlotLand
)

// gated has a try happen while the gate is open, and gives the gate back after
// it. CASE is what fixes the order of the calls.
const gated = "case when pg_try_advisory_lock_shared(o.g) then case when %s then pg_advisory_unlock_shared(o.g)::int else 1 - pg_advisory_unlock_shared(o.g)::int end end"

// deeds returns what is done for each kind of row.
func deeds() map[int64]string {
	all := map[int64]string{
		TryAlone:   fmt.Sprintf(gated, "pg_try_advisory_lock(o.k)"),
		TryShared:  fmt.Sprintf(gated, "pg_try_advisory_lock_shared(o.k)"),
		PassGate:   "case when pg_try_advisory_lock_shared(o.g) then pg_advisory_unlock_shared(o.g)::int end",
		LandAlone:  "pg_try_advisory_lock(o.k)::int",
		LandShared: "pg_try_advisory_lock_shared(o.k)::int",
		TokenAlone: "1",
		FreeAlone:  "pg_advisory_unlock(o.k)::int",
		FreeShared: "pg_advisory_unlock_shared(o.k)::int",
	}
	for what, deed := range maps.Clone(all) {
		all[what|OfPair] = strings.ReplaceAll(deed, "(o.k)", "((o.k >> 32)::int4, (o.k << 32 >> 32)::int4)")
	}
	return all
}

// oneOf is a row of Many by itself. The server spends more time on setting a
// statement up than on carrying it out, so it is as short as can be. A token is
// made when the lock is held, so tokens grow in the order of the holds.
func oneOf(what int64, deed, token string) string {
	const row = "(select $1::int8 as k, $2::int8 as g) o"
	if what&^OfPair >= firstUnlock {
		return fmt.Sprintf("select %s, 0::int8, pg_backend_pid() from %s", deed, row)
	}
	return fmt.Sprintf("select q.r, case when q.r = 1 then %s else 0 end, pg_backend_pid() from (select %s as r from %s offset 0) q", token, deed, row)
}

// manyOf returns Many, for the rows that deeds has.
func manyOf(deeds map[int64]string, token string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "select q.r, case when q.r = 1 and q.what & %d < %d then %s else 0 end, pg_backend_pid() from (select o.what, case o.what", OfPair-1, firstUnlock, token)
	for _, what := range slices.Sorted(maps.Keys(deeds)) {
		fmt.Fprintf(&b, " when %d then %s", what, deeds[what])
	}
	b.WriteString(" end as r from unnest($1::int2[], $2::int8[], $3::int8[]) as o(what, k, g) offset 0) q")
	return b.String()
}

// One returns the name of the statement for one row of a kind.
func One(what int64) string { return oneOfKind + strconv.FormatInt(what, 10) }

// slotsOf is the row of Slots: what, the gate g, the keys j, u and m of
// which the driver's comment tells, a slot k, and where the slots to try begin
// and end among all of the statement, $9. Who joins does so alone, by j: if
// nobody uses the semaphore it marks its own limit, else that must be marked
// already. Whoever is in u is in m: it enters u last and leaves it first, so a
// mark that is not there is no accident.
const slotsOf = `select q.r, case when q.r > 0 and q.what <= %[2]d then %[1]s else 0 end, pg_backend_pid()
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

// freeSlotsOf is slotsOf for those of its rows that give something back.
const freeSlotsOf = `select case o.what
	when 4 then pg_advisory_unlock(o.k)::int
	when 5 then case when pg_advisory_unlock_shared(o.u) then pg_advisory_unlock_shared(o.m)::int else 0 end
	end, 0::int8, pg_backend_pid()
from unnest($1::int2[], $2::int8[], $3::int8[], $4::int8[]) as o(what, u, m, k)`

// aSlot takes the first slot that is free and tells which, or 0.
const aSlot = `coalesce((select c.i from unnest(($9::int8[])[o.first:o.last]) with ordinality as c(k, i) where pg_try_advisory_lock(c.k) limit 1), 0)`

const (
	ping      = "select pg_backend_pid()"
	unlockAll = "select pg_advisory_unlock_all()"

	writers = "select count(*) from pg_locks where locktype = 'advisory' and granted and objsubid = 1 and mode = 'ShareLock'" +
		" and (classid::int8 << 32 | objid::int8) = $1::int8 and database = (select oid from pg_database where datname = current_database())"
	reconcile = "select classid::int8 << 32 | objid::int8, objsubid, (mode = 'ShareLock')::int from pg_locks" +
		" where locktype = 'advisory' and granted and pid = pg_backend_pid()"
	present = "select p from unnest($1::int4[]) p where p in (select pid from pg_locks where locktype = 'advisory')"
)

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

// Holding returns the statements of the holder session by name. token is the expression
// that makes one.
func Holding(token string) map[string]string {
	all := map[string]string{
		Ping:      ping,
		UnlockAll: unlockAll,
		Slots:     fmt.Sprintf(slotsOf, token, lastSlotToken, aSlot),
		FreeSlots: freeSlotsOf,
		Probe:     "select case when set_config('lock_timeout', '10', true) is not null then " + token + " end",
		Standing:  standing,
		Alive:     alive,
		Present:   present,
		Stalling:  stalling,
		Writers:   writers,
		Reconcile: reconcile,
	}
	rows := deeds()
	unlocks := maps.Clone(rows)
	maps.DeleteFunc(unlocks, func(what int64, _ string) bool { return what&^OfPair < firstUnlock })
	all[Many+ForPairs], all[Many] = manyOf(rows, token), manyOf(withoutPairs(rows), token)
	all[Free+ForPairs], all[Free] = manyOf(unlocks, noToken), manyOf(withoutPairs(unlocks), noToken)
	for what, deed := range rows {
		all[One(what)] = oneOf(what, deed, token)
	}
	return all
}

// withoutPairs returns the kinds of rows whose keys are no pairs.
func withoutPairs(rows map[int64]string) map[int64]string {
	rows = maps.Clone(rows)
	maps.DeleteFunc(rows, func(what int64, _ string) bool { return what&OfPair != 0 })
	return rows
}

// Waiting returns the statements of a wait session likewise.
func Waiting(token string) map[string]string {
	all := map[string]string{
		Ping:         ping,
		UnlockAll:    unlockAll,
		Lock:         "select pg_advisory_lock($1::int8)",
		LockShared:   "select pg_advisory_lock_shared($1::int8)",
		Unlock:       "select pg_advisory_unlock($1::int8)",
		UnlockShared: "select pg_advisory_unlock_shared($1::int8)",
		// Writers that wait share the flag, so whoever gets it alone knows that there are none.
		Flag:   "select case when pg_try_advisory_lock($1::int8) then pg_advisory_unlock($1::int8)::int else 0 end",
		Token:  "select " + token,
		Marker: "select pg_try_advisory_lock($1::int8)",
	}
	for _, name := range []string{Lock, LockShared, Unlock, UnlockShared} {
		all[name+ForPairs] = strings.Replace(all[name], "($1::int8)", "($1::int4, $2::int4)", 1)
	}
	return all
}

// noToken makes none.
const noToken = "0::int8"

// TokenOf returns the expression that makes the next token of a sequence, or 0 where
// there is none.
func TokenOf(sequence string) string {
	if sequence == "" {
		return noToken
	}
	return "nextval(" + Regclass(sequence) + ")"
}
