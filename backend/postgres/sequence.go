package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
)

// A fencing token's ordinal is a number of a sequence. Within the life of a server the
// sequence only grows. Over its end it may go back: what it gave last is not on the disk
// yet, a standby has not heard of it, a dump is older. So whoever opens a session when no
// other has one lifts it, beyond the clock and beyond what it may have given since.

// sequenceName is the name of the sequence within its schema.
const sequenceName = "token"

// sequence returns the qualified name of the sequence, quoted.
func (st *Store) sequence() string { return pgsql.Identifier(st.config.schema, sequenceName) }

// format is the number of what a database has for dlock: the sequence, and which keys
// stand for what. A change that clients of before must not meet raises it, and has
// them refuse the database. It stands in the comment on the sequence, which everybody
// may read and its owner alone can write. Without one nobody can tell. In format 1 the
// server's timeline stood above a number of 44 bits.
const (
	format         = 2
	formatPrefix   = "dlock format "
	formerMaxValue = 1<<44 - 1
)

// formatOf returns the format that a comment tells, or 0.
func formatOf(comment string) int {
	text, ours := strings.CutPrefix(comment, formatPrefix)
	n := 0
	if _, err := fmt.Sscanf(text, "%d", &n); !ours || err != nil {
		return 0
	}
	return n
}

// comment returns the statement that writes the format.
func (st *Store) comment() string {
	return fmt.Sprintf("COMMENT ON SEQUENCE %s IS '%s%d'", st.sequence(), formatPrefix, format)
}

// A found is what there is to know of the sequence.
type found struct {
	allowed bool // the role may use it
	owned   bool // and change it
	fit     bool // for tokens
	former  bool // fit for those of format 1
	user    string
	comment string // or ""
}

// looking returns the query for what is known of the sequence.
func (st *Store) looking() string {
	return fmt.Sprintf(`select coalesce(has_sequence_privilege(s.oid, 'USAGE') and has_sequence_privilege(s.oid, 'UPDATE') and has_schema_privilege(n.oid, 'USAGE'), false), pg_has_role(s.relowner, 'USAGE'),
	q.seqcache = 1 and q.seqincrement = 1 and not q.seqcycle, q.seqmax, current_user, coalesce(obj_description(s.oid, 'pg_class'), '')
from pg_catalog.pg_namespace n join pg_catalog.pg_class s on s.relnamespace = n.oid join pg_catalog.pg_sequence q on q.seqrelid = s.oid
where n.nspname = %s and s.relname = '%s'`, escaped(st.config.schema), sequenceName)
}

// parseFound reads an answer to that, as text. It is an error when the sequence is of a
// format that is not known.
func (st *Store) parseFound(row [][]byte) (*found, error) {
	is := func(i int) bool { return string(row[i]) == "t" }
	f := &found{allowed: is(0), owned: is(1), user: string(row[4]), comment: string(row[5])}
	switch string(row[3]) {
	case fmt.Sprint(int64(backend.MaxOrdinal)):
		f.fit = is(2)
	case fmt.Sprint(int64(formerMaxValue)):
		f.former = is(2)
	}
	if n := formatOf(f.comment); n > format {
		return nil, fmt.Errorf("%w: the schema %q of %s has format %d, and this version of dlock knows those up to %d",
			backend.ErrUnsupported, st.config.schema, st, n, format)
	}
	return f, nil
}

// look looks for the sequence.
func (st *Store) look(ctx context.Context, c *pgx.Conn) (*found, error) {
	answers, err := c.PgConn().Exec(ctx, st.looking()).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("looking for the sequence of the fencing tokens: %w", err)
	}
	if len(answers[0].Rows) == 0 {
		return nil, nil
	}
	return st.parseFound(answers[0].Rows[0])
}

// unusable returns why a sequence is of no use, or nil.
func (st *Store) unusable(f *found) error {
	name, role := st.sequence(), pgsql.Identifier(f.user)
	switch {
	case !f.allowed:
		return fmt.Errorf("%w: the role may not use the sequence of the fencing tokens; its owner can allow it by: GRANT USAGE ON SCHEMA %s TO %s; GRANT USAGE, UPDATE ON SEQUENCE %s TO %s (or work without tokens, see WithoutTokens)",
			backend.ErrDenied, pgsql.Identifier(st.config.schema), role, name, role)
	case f.former && !f.owned:
		return fmt.Errorf("%w: the sequence %s of the fencing tokens is as an earlier version of dlock has made it; a client whose role is its owner has to be the first of this version",
			backend.ErrDenied, name)
	case !f.fit && !f.former:
		return fmt.Errorf("%w: the sequence %s is not fit for fencing tokens: it needs CACHE 1, NO CYCLE, INCREMENT 1 and MAXVALUE %d",
			backend.ErrDenied, name, int64(backend.MaxOrdinal))
	}
	return nil
}

// findSequence makes sure that there is a sequence that the session may use. That
// it was there for another session says nothing: a standby may have taken over
// before it heard of it.
func (st *Store) findSequence(ctx context.Context, c *pgx.Conn, f *found) (err error) {
	if f == nil {
		f, err = st.createSequence(ctx, c)
	}
	if err != nil {
		return err
	}
	if err := st.unusable(f); err != nil {
		return err
	}
	if f.former {
		return st.convertSequence(ctx, c)
	}
	if !f.owned || f.comment != "" && (formatOf(f.comment) == 0 || formatOf(f.comment) == format) {
		return nil
	}
	// Not to be able to write it is no reason not to go on, nor is somebody who is at
	// the sequence.
	_, err = c.PgConn().Exec(ctx, "select set_config('lock_timeout', '100ms', true); "+st.comment()).ReadAll()
	if err != nil && sqlState(err) == "" {
		return fmt.Errorf("writing the format number: %w", err)
	}
	return nil
}

// commented reports whether there is nothing to write about a sequence.
func (f *found) commented() bool {
	return !f.owned || f.comment != "" && formatOf(f.comment) != 1
}

// convertSequence makes a sequence of format 1 one of now, beyond all ordinals of the
// server's timeline and those before it.
func (st *Store) convertSequence(ctx context.Context, c *pgx.Conn) error {
	_, err := c.PgConn().Exec(ctx, fmt.Sprintf(`ALTER SEQUENCE %s MAXVALUE %d; %s;
select setval(%[4]s, greatest(nextval(%[4]s), ((('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int8 + 1) << 44)))`,
		st.sequence(), int64(backend.MaxOrdinal), st.comment(), pgsql.Regclass(st.sequence()))).ReadAll()
	if err != nil {
		return fmt.Errorf("converting the sequence of the fencing tokens from an earlier format: %w", err)
	}
	return nil
}

// createSequence makes the sequence, and its schema.
func (st *Store) createSequence(ctx context.Context, c *pgx.Conn) (*found, error) {
	schema := pgsql.Identifier(st.config.schema)
	sequence := fmt.Sprintf("CREATE SEQUENCE IF NOT EXISTS %s CACHE 1 MAXVALUE %d", st.sequence(), int64(backend.MaxOrdinal))
	var there bool
	err := c.QueryRow(ctx, "select exists(select from pg_namespace where nspname = $1)", pgx.QueryExecModeExec, st.config.schema).Scan(&there)
	if err == nil && !there {
		_, err = c.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema)
	}
	if err == nil || raced(err) {
		_, err = c.Exec(ctx, sequence)
	}
	if err == nil || raced(err) {
		f, err := st.look(ctx, c)
		if err == nil && f == nil {
			err = fmt.Errorf("the sequence %s of the fencing tokens was removed", st.sequence())
		}
		return f, err
	}
	if sqlState(err) != "42501" { // insufficient_privilege
		return nil, fmt.Errorf("creating the sequence of the fencing tokens: %w", err)
	}
	var user string
	if c.QueryRow(ctx, "select current_user", pgx.QueryExecModeExec).Scan(&user) == nil {
		user = pgsql.Identifier(user)
	}
	return nil, fmt.Errorf("%w: the role may not create the sequence of the fencing tokens: %w; somebody who may can do it by: CREATE SCHEMA IF NOT EXISTS %s; %s; %s; GRANT USAGE ON SCHEMA %s TO %s; GRANT USAGE, UPDATE ON SEQUENCE %s TO %s (or choose another schema, see WithSchema, or work without tokens, see WithoutTokens)",
		backend.ErrDenied, err, schema, sequence, st.comment(), schema, user, st.sequence(), user)
}

// raced reports whether somebody has created the same thing at the same time.
func raced(err error) bool {
	switch sqlState(err) {
	case "23505", "42P06", "42P07": // unique_violation, duplicate_schema, duplicate_table
		return true
	}
	return false
}

// lift returns the stage that takes a marker, and before that sees to it that the
// sequence is beyond all that it has ever given.
//
// Sessions draw without waiting for the disk, so a crash may set the sequence back to
// what it was three wal_writer_delays ago. It also ends all sessions, and their markers
// with them. So whoever finds no marker lifts the sequence by more than that, at a
// number for each microsecond, and waits until it is on the disk. Whoever finds one lifts
// it only if it is far behind the clock, which a restored one may be: setval is not atomic
// against sessions that draw, and must not take away what they got since, be they so many
// as the server can give in an hour.
//
// Everybody does that under one key, which is free when the lift is on the disk.
func (st *Store) lift(m marker, answer *[]string) stage {
	const (
		far   = 1 << 32 // microseconds, and numbers
		least = 1 << 18
	)
	s := pgsql.Regclass(st.sequence())
	return stage{doing: "lifting the sequence of the fencing tokens", answer: answer, sql: fmt.Sprintf(`select case when (case
	when set_config('synchronous_commit', 'on', true) is null or pg_advisory_xact_lock(%d) is null then null
	else (select case
		when x.clock - x.last > %d then setval(%[3]s, x.clock)
		when not exists(select from pg_locks where locktype = 'advisory' and granted and objsubid = 1 and classid = %[4]d::oid
			and database = (select oid from pg_database where datname = current_database()))
			then setval(%[3]s, greatest(x.clock, x.last + %[5]d + coalesce(3 * extract(epoch from current_setting('wal_writer_delay', true)::interval)::numeric * 1000000, 2000000)::int8))
		else x.last end
	from (select nextval(%[3]s) as last, (extract(epoch from clock_timestamp()) * 1000000)::int8 - %[6]d as clock offset 0) x)
	end) is not null then pg_try_advisory_lock(%[7]d) end`,
		Key{}.derive("lift "+st.config.schema), int64(far), s, uint32(st.kind()), int64(least), epoch, int64(m))}
}

// epoch is where ordinals begin, in microseconds since 1970.
var epoch = backend.OrdinalTime(0).UnixMicro()

// escaped quotes a string for SQL in ASCII, whatever the settings of a connection are.
func escaped(s string) string {
	var b strings.Builder
	b.WriteString("E'")
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			fmt.Fprintf(&b, `\%03o`, r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteString("'")
	return b.String()
}
