package single

import (
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"

	_ "embed"
)

//go:embed lua/batch.lua
var batchSource string

//go:embed lua/session.lua
var sessionSource string

//go:embed lua/inspect.lua
var inspectSource string

// The scripts, which servers know by their digests once they have seen them.
var (
	batchScript   = redisconn.NewScript(batchSource)
	sessionScript = redisconn.NewScript(redisconn.RightsLibrary + sessionSource)
	inspectScript = redisconn.NewScript(inspectSource)
)

// formatNumber is the number of the format. In a cluster it stands in each shard, so that
// the script that makes a session known there can look at it.
const formatNumber = 1
