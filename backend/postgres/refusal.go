package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend"
)

// This file says what it means that the server answers with an error: whether asking
// again can help, and who can see to it that it does.

// cutShort reports whether an error has to do with a statement being ended, and not
// with what it asked for.
func cutShort(err error) bool {
	return sqlState(err) == "57014" || sqlState(err) == "55P03" // query_canceled, lock_not_available
}

// lasting returns backend.ErrDenied when the server will answer a code until somebody
// changes something, backend.ErrUnsupported when it always will, and else nil: a
// server that has no room or no connection left, that starts, is a standby, or does
// not know a password yet, may answer otherwise the next time.
func lasting(code string) error {
	switch {
	case code == "0A000": // feature_not_supported
		return backend.ErrUnsupported
	case strings.HasPrefix(code, "42"), // syntax_error_or_access_rule_violation: a right is missing, a function, a sequence
		code == "3D000", code == "3F000", // invalid_catalog_name, invalid_schema_name
		code == "2200H": // sequence_generator_limit_exceeded
		return backend.ErrDenied
	}
	return nil
}

// explained adds to an error of the server what it means for whoever asked.
func explained(err error) error {
	code := sqlState(err)
	switch code {
	case "53200": // out_of_memory, which is how it calls a full table of locks
		err = fmt.Errorf("the server has no room for more locks: raise its max_locks_per_transaction, or allow clients fewer (see WithMaxLocks): %w", err)
	case "42P01", "3F000", "2200H":
		err = fmt.Errorf("the sequence of the fencing tokens cannot be used any more: %w", err)
	default:
		err = fmt.Errorf("asking the server: %w", err)
	}
	if kind := lasting(code); kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// refusal returns the result of an Acquire that ended with an error: the server's, as
// explained has it, or our own.
func refusal(err error) backend.Result {
	if sqlState(err) != "" && !errors.Is(err, backend.ErrDenied) && !errors.Is(err, backend.ErrUnsupported) {
		return backend.Result{State: backend.Refused, Err: err}
	}
	return backend.Result{State: backend.Failed, Err: err}
}

// unopened adds to why a session cannot be opened whether trying again can help.
func unopened(err error) error {
	if errors.Is(err, backend.ErrUnsupported) || errors.Is(err, backend.ErrDenied) {
		return err
	}
	if kind := lastingOf(err); kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// lastingOf is lasting for an error that may join those of several hosts: if one of them
// may answer otherwise, so may all.
func lastingOf(err error) error {
	for err != nil {
		switch e := err.(type) {
		case *pgconn.PgError:
			return lasting(e.Code)
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			var kind error
			for _, one := range e.Unwrap() {
				if kind = lastingOf(one); kind == nil {
					return nil
				}
			}
			return kind
		default:
			return nil
		}
	}
	return nil
}
