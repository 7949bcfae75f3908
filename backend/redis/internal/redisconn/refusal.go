package redisconn

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// This file tells a server that says no from one that says nothing.

// Refusal returns err as the answer of a server that does not do what it was asked, or
// nil if err is no answer. It wraps backend.ErrDenied where the answer stays the same
// until somebody changes the server.
func Refusal(err error) error {
	var answer redis.Error
	switch {
	case redislock.Lasting(err):
		return err
	case !errors.As(err, &answer), errors.Is(err, redis.Nil):
		return nil
	case denied(answer.Error()):
		return fmt.Errorf("%w: %w", backend.ErrDenied, err)
	}
	return err
}

// ErrorText returns what a script says of one request that failed.
func ErrorText(text string) error {
	if denied(text) {
		return fmt.Errorf("%w: redis: %.200s", backend.ErrDenied, text)
	}
	return fmt.Errorf("redis: %.200s", text)
}

// Passes reports whether a script has refused a request for the moment, as it does
// before anything else.
func Passes(text string) bool {
	return strings.HasPrefix(strings.TrimPrefix(text, "-"), "OOM")
}

// denials are what answers contain that waiting does not change. Within scripts
// servers before 7.2 have no code for a missing right. A password that is being
// changed is none of them.
var denials = []string{
	"NOPERM",
	"ACL failure",
	"The user executing the script can't",
	"unknown command",
	"Unknown Redis command",
	"WRONGTYPE",
	"holds something else",
	"CROSSSLOT",
	"Script attempted to access keys that do not hash to the same slot",
	"SELECT is not allowed in cluster mode",
}

func denied(text string) bool {
	for _, d := range denials {
		if strings.Contains(text, d) {
			return true
		}
	}
	return false
}
