package redis

import _ "embed"

//go:embed vote.lua
var voteLibrary string

//go:embed vote_batch.lua
var voteSource string

//go:embed vote_join.lua
var joinSource string

//go:embed vote_leave.lua
var leaveSource string

//go:embed vote_inspect.lua
var ballotsSource string

// The scripts of a quorum's nodes.
var (
	voteScript    = newScript(voteLibrary + voteSource)
	joinScript    = newScript(voteLibrary + rightsLibrary + joinSource)
	leaveScript   = newScript(voteLibrary + leaveSource)
	ballotsScript = newScript(voteLibrary + ballotsSource)
)

// quorumFormat is the number of the format, on each node.
const quorumFormat = 2
