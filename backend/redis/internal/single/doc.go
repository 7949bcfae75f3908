// Package single keeps locks on one Redis server, or on one cluster.
//
// A session has a shard for each part of the keys that scripts can reach together: one on
// a node, up to 16 in a cluster. A shard makes requests of the ops of an Apply and runs
// them, with the heartbeat when that is due, in one call of lua/batch.lua, which is the
// protocol. Apply owns the shards; the session's mutex guards what Recv needs as well:
// claims and events.
//
// Read engine.go first, then session.go, shard.go, exchange.go and answer.go; cluster.go
// has what several shards take, listen.go the messages of the server.
package single
