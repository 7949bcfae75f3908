package postgres

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// An Option changes how a store works.
type Option func(*config) error

type config struct {
	keys        func(class backend.Class, name string) Key
	namespace   string // of the functions for transactions
	connections int
	locks       int
	schema      string
	tokens      bool
}

// The defaults of the options, and their bounds.
const (
	defaultConnections = 8
	defaultLocks       = 1000
	defaultSchema      = "dlock"
	maxConnections     = 1000
)

func defaults() config {
	return config{
		keys:        nameKey,
		connections: defaultConnections,
		locks:       defaultLocks,
		schema:      defaultSchema,
		tokens:      true,
	}
}

// WithConnections sets how many connections a client has at most: one that holds
// its locks, and the others to wait for locks. Those are opened when they are
// needed. For as many names as there are of them the client has a place in the
// server's queue; for the others it looks now and then whether they are free. The
// default is 8, the least 2.
func WithConnections(n int) Option {
	return func(c *config) error {
		if n < 2 || n > maxConnections {
			return fmt.Errorf("dlock: %d connections are not in 2…%d", n, maxConnections)
		}
		c.connections = n
		return nil
	}
}

// WithMaxLocks sets how many locks a client may hold or await at the same time.
// They live in a table of the server's shared memory that all sessions have in
// common, of max_locks_per_transaction * (max_connections +
// max_prepared_transactions) entries, and when that is full nobody can work: a client
// that may have more than a quarter of it warns. The default is 1000.
func WithMaxLocks(n int) Option {
	return func(c *config) error {
		if n < 1 {
			return fmt.Errorf("dlock: at most %d locks are none", n)
		}
		c.locks = n
		return nil
	}
}

// WithSchema sets in which schema the sequence of the fencing tokens is. All
// clients of a database have to agree on it. The default is "dlock".
func WithSchema(schema string) Option {
	return func(c *config) error {
		if schema == "" || len(schema) > 63 {
			return fmt.Errorf("dlock: a schema's name has 1 to 63 bytes, not %d", len(schema))
		}
		c.schema = schema
		return nil
	}
}

// WithoutTokens does without fencing tokens, and so without a sequence and the
// rights to it. Hold.Token then reports none.
func WithoutTokens() Option {
	return func(c *config) error {
		c.tokens = false
		return nil
	}
}
