package redisconn

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed rights.lua
var RightsLibrary string

// A Script runs on a server.
type Script struct {
	source, digest string
}

// NewScript returns the script with that source.
func NewScript(source string) *Script {
	// The comments are for us; a server would hash them again and again.
	var b strings.Builder
	for line := range strings.Lines(source) {
		if s := strings.TrimSpace(line); s != "" && !strings.HasPrefix(s, "--") {
			b.WriteString(line)
		}
	}
	digest := sha1.Sum([]byte(b.String()))
	return &Script{source: b.String(), digest: hex.EncodeToString(digest[:])}
}

// Args returns the beginning of a command that runs the script, for call. The
// number of keys, the keys and the arguments follow.
func (s *Script) Args(args []any) []any {
	return append(args, "evalsha", s.digest)
}

// Call runs the script by args, which begin as args says. A server that does not
// know the script by its digest gets the source, and so does one that forbids
// EVALSHA, every time: neither has done anything by then.
func (s *Script) Call(ctx context.Context, c processor, args []any) (any, error) {
	v, err := do(ctx, c, args)
	if err == nil || !redis.HasErrorPrefix(err, "NOSCRIPT") && !forbidden(err, "evalsha") {
		return v, err
	}
	args[0], args[1] = "eval", s.source
	return do(ctx, c, args)
}

func do(ctx context.Context, c processor, args []any) (any, error) {
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	c.Process(ctx, cmd)
	return cmd.Result()
}

// forbidden reports whether a server refuses a command as such, or does not know
// it.
func forbidden(err error, command string) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, command) && (strings.HasPrefix(text, "noperm") || strings.HasPrefix(text, "err unknown command"))
}

// A processor runs commands: a client, or one connection of it.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}
