// Package vote decides what becomes of the locks that one session wants of a quorum: what
// to ask which node, what an answer means, who holds and until when. It is pure: it knows
// no clock, no connection and no lock, and is told the time.
//
// A [Machine] has an acquisition for each owner, with a vote of each node, and for each
// node the requests that it is to be sent. Whoever drives it takes requests by
// [Machine.Take], sends them, and passes the answers to [Machine.Answer]; what else there
// is to do after a call, [Machine.Effects] says. The ops of an Apply go in by
// [Machine.Start], and [Machine.Look] tells when they are answered.
//
// Read machine.go first, then acquisition.go, tally.go and round.go, which decide who
// wins; epoch.go and lease.go are how long a hold is good for, check.go and revote.go how
// it is kept when nodes lose votes, release.go how it ends.
//
// ../model/quorum.pml is the same for a model checker, without what only decides how soon
// somebody gets the lock. A change of the protocol is a change of both.
//
// That a majority of independent nodes grants a lock is after Redlock
// (https://redis.io/docs/latest/develop/use/patterns/distributed-locks/); that every
// grant has a number above all before it, which nodes refuse when it is too low, after
// the ballots of Paxos (Lamport, The Part-Time Parliament, 1998).
package vote
