package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock/backend"
)

// A fencing token's ordinal is the number of the server's timeline above a number
// of a sequence. The sequence only grows, over a crash too; a fail-over may set
// it back, but begins another timeline.
const (
	numberBits   = 44
	timelineBits = 7 // An ordinal is at most backend.MaxOrdinal.
)

// maxNumber is the last number of the sequence.
const maxNumber = 1<<numberBits - 1

// sequenceName is the name of the sequence within its schema.
const sequenceName = "token"

// sequence returns the qualified name of the sequence, quoted.
func (st *Store) sequence() string { return pgx.Identifier{st.config.schema, sequenceName}.Sanitize() }

// format is the number of what a database has for dlock: the sequence, and which keys
// stand for what. A change that clients of before must not meet raises it, and has
// them refuse the database. It stands in the comment on the sequence, which everybody
// may read and its owner alone can write. Without one it is 1.
const format = 1

const formatPrefix = "dlock format "

// formatOf returns the format that a comment tells.
func formatOf(comment string) int {
	text, ours := strings.CutPrefix(comment, formatPrefix)
	n := 0
	if _, err := fmt.Sscanf(text, "%d", &n); !ours || err != nil {
		return 1
	}
	return n
}

// comment returns the statement that writes the format.
func (st *Store) comment() string {
	return fmt.Sprintf("COMMENT ON SEQUENCE %s IS '%s%d'", st.sequence(), formatPrefix, format)
}

// findSequence makes sure that there is a sequence that the session may use. That
// it was there for another session says nothing: a standby may have taken over
// before it heard of it.
func (st *Store) findSequence(ctx context.Context, c *pgx.Conn) error {
	found, err := st.usableSequence(ctx, c)
	if err == nil && found == nil {
		found, err = st.createSequence(ctx, c)
	}
	if err != nil || found.comment != nil || !found.owned {
		return err
	}
	// Not to be able to write it is no reason not to go on, nor is somebody who is at
	// the sequence.
	_, err = c.PgConn().Exec(ctx, "select set_config('lock_timeout', '100ms', true); "+st.comment()).ReadAll()
	if err != nil && sqlState(err) == "" {
		return fmt.Errorf("writing the format number: %w", err)
	}
	return nil
}

// A found is what there is to know of the sequence.
type found struct {
	allowed bool // the role may use it
	owned   bool // and comment on it
	fit     bool // for tokens
	user    string
	comment *string
}

// lookAtSequence returns what is known of the sequence, or nil if there is none, and an
// error when it is of a format that is not known.
func (st *Store) lookAtSequence(ctx context.Context, c *pgx.Conn) (*found, error) {
	const look = `select coalesce(has_sequence_privilege(s.oid, 'USAGE') and has_schema_privilege(n.oid, 'USAGE'), false), pg_has_role(s.relowner, 'USAGE'),
	q.seqcache = 1 and q.seqincrement > 0 and not q.seqcycle and q.seqmax <= $3, current_user, obj_description(s.oid, 'pg_class')
from pg_namespace n join pg_class s on s.relnamespace = n.oid join pg_sequence q on q.seqrelid = s.oid
where n.nspname = $1 and s.relname = $2`
	f := new(found)
	err := c.QueryRow(ctx, look, pgx.QueryExecModeExec, st.config.schema, sequenceName, int64(maxNumber)).Scan(&f.allowed, &f.owned, &f.fit, &f.user, &f.comment)
	switch {
	case err == pgx.ErrNoRows:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking for the sequence of the fencing tokens: %w", err)
	case f.comment == nil:
	case formatOf(*f.comment) > format:
		return nil, fmt.Errorf("%w: the schema %q of %s has format %d, and this version of dlock knows those up to %d",
			backend.ErrUnsupported, st.config.schema, st, formatOf(*f.comment), format)
	}
	return f, nil
}

// usableSequence is lookAtSequence with an error when the sequence is of no use.
func (st *Store) usableSequence(ctx context.Context, c *pgx.Conn) (*found, error) {
	f, err := st.lookAtSequence(ctx, c)
	if err != nil || f == nil {
		return nil, err
	}
	name, role := st.sequence(), pgx.Identifier{f.user}.Sanitize()
	switch {
	case !f.allowed:
		return nil, fmt.Errorf("%w: the role may not use the sequence of the fencing tokens; its owner can allow it by: GRANT USAGE ON SCHEMA %s TO %s; GRANT USAGE ON SEQUENCE %s TO %s (or work without tokens, see WithoutTokens)",
			backend.ErrDenied, pgx.Identifier{st.config.schema}.Sanitize(), role, name, role)
	case !f.fit:
		return nil, fmt.Errorf("%w: the sequence %s is not fit for fencing tokens: it needs CACHE 1, NO CYCLE, a positive increment and a MAXVALUE of at most %d",
			backend.ErrDenied, name, int64(maxNumber))
	}
	return f, nil
}

// createSequence makes the sequence, and its schema.
func (st *Store) createSequence(ctx context.Context, c *pgx.Conn) (*found, error) {
	schema := pgx.Identifier{st.config.schema}.Sanitize()
	sequence := fmt.Sprintf("CREATE SEQUENCE IF NOT EXISTS %s CACHE 1 MAXVALUE %d", st.sequence(), int64(maxNumber))
	var there bool
	err := c.QueryRow(ctx, "select exists(select from pg_namespace where nspname = $1)", pgx.QueryExecModeExec, st.config.schema).Scan(&there)
	if err == nil && !there {
		_, err = c.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema)
	}
	if err == nil || raced(err) {
		_, err = c.Exec(ctx, sequence)
	}
	if err == nil || raced(err) {
		f, err := st.usableSequence(ctx, c)
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
		user = pgx.Identifier{user}.Sanitize()
	}
	return nil, fmt.Errorf("%w: the role may not create the sequence of the fencing tokens: %w; somebody who may can do it by: CREATE SCHEMA IF NOT EXISTS %s; %s; %s; GRANT USAGE ON SCHEMA %s TO %s; GRANT USAGE ON SEQUENCE %s TO %s (or choose another schema, see WithSchema, or work without tokens, see WithoutTokens)",
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

// timeline returns the server's timeline, at its place in an ordinal.
func timeline(ctx context.Context, c *pgx.Conn) (uint64, error) {
	var file string
	err := c.QueryRow(ctx, "select pg_walfile_name(pg_current_wal_lsn())", pgx.QueryExecModeSimpleProtocol).Scan(&file)
	if err != nil {
		return 0, fmt.Errorf("reading the timeline: %w", err)
	}
	return ordinalsOf(file)
}

// ordinalsOf returns the timeline that a file of the log belongs to, at its place in
// an ordinal.
func ordinalsOf(file string) (uint64, error) {
	const digits = 8
	if len(file) < digits {
		return 0, fmt.Errorf("reading the timeline: %q names no file of the log", file)
	}
	n, err := strconv.ParseUint(file[:digits], 16, 32)
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the timeline: %w", err)
	case n >= 1<<timelineBits:
		return 0, fmt.Errorf("%w: timeline %d of the server is beyond what a fencing token can carry, at most %d (work without tokens, see WithoutTokens, or begin a new cluster)",
			backend.ErrUnsupported, n, 1<<timelineBits-1)
	}
	return n << numberBits, nil
}
