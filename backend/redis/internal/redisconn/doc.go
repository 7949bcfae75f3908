// Package redisconn is what one node and a quorum have in common about servers: how to
// connect to one, what it has to be, its scripts, and what its answers mean.
//
// A Node says how to connect; a Wire has the connections of one session, and cuts them. A
// Script runs by its digest. Read node.go first, then wire.go.
package redisconn
