// Package pgsql is what the connections of a client say to Postgres: the statements that
// they prepare, in statement.go, which is the file to read first; how names and texts are
// quoted for them, in quote.go; and the comment in front of every statement that tells who
// a client is, in card.go.
//
// It has no state, and sends nothing.
package pgsql
