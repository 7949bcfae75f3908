package quorum

import (
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"

	_ "embed"
)

//go:embed lua/vote.lua
var voteLibrary string

//go:embed lua/vote_batch.lua
var voteSource string

//go:embed lua/vote_join.lua
var joinSource string

//go:embed lua/vote_leave.lua
var leaveSource string

//go:embed lua/vote_inspect.lua
var ballotsSource string

// The scripts of a quorum's nodes.
var (
	voteScript    = redisconn.NewScript(voteLibrary + voteSource)
	joinScript    = redisconn.NewScript(voteLibrary + redisconn.RightsLibrary + joinSource)
	leaveScript   = redisconn.NewScript(voteLibrary + leaveSource)
	ballotsScript = redisconn.NewScript(voteLibrary + ballotsSource)
)

// quorumFormat is the number of the format, on each node.
const quorumFormat = 3
