// Package redislock is what sessions on one node and on a quorum have in common beside
// connections: how they call locks and themselves, how they pace what they do, and what
// they say when a hold ends. It knows no client of Redis.
package redislock
