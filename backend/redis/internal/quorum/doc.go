// Package quorum keeps locks on an odd number of Redis servers that know nothing of one
// another: whoever has the votes of a majority holds.
//
// A session has a replica for each node, whose goroutine owns one connection, and a
// machine, which decides: package vote, which the session's mutex guards. A replica takes
// the batches that the machine has for its node, and brings it the answers. protocol.go is
// how both are written; what a node has agreed to is in lua/vote.lua, which the scripts
// share.
//
// protocol.md says what nodes and clients promise each other, and why that is enough.
// Read engine.go then, then session.go and apply.go; replica.go has the connection,
// push.go the subscription, and vote/doc.go goes on from there.
package quorum
