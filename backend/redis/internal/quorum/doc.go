// Package quorum keeps locks on an odd number of Redis servers that know nothing of one
// another: whoever has the votes of a majority holds.
//
// A session has a replica for each node: one connection, and the questions that it asks
// there in batches. An acquisition is what becomes of one owner's wish: its votes, by
// node, and what was asked for. When an answer comes its tally is taken, and it is granted,
// goes on, or gives its votes back. The session's mutex guards the acquisitions; a
// replica's goroutine owns its connection. What a node has agreed to is in lua/vote.lua,
// which the scripts share.
//
// Read engine.go first, then session.go, acquisition.go and tally.go; replica.go has the
// connection, apply.go what Apply does, term.go the leases.
package quorum
