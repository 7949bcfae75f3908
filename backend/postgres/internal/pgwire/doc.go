// Package pgwire is a connection to Postgres that somebody else has opened and that now
// speaks the protocol itself, in pipelines of prepared statements. It knows nothing of
// locks.
//
// Whoever writes and whoever reads may be two goroutines; which of them owns what stands
// at the fields of Conn.
package pgwire
