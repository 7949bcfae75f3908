package main

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// quiet is a logger of go-redis, which has one for the process and would write to
// standard error what dlock says in its own words, or need not say.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }
