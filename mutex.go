package dlock

// A Mutex is a distributed mutual exclusion lock: of all the clients on a store,
// one goroutine holds the mutex of a name at a time. Get one from
// [Client.Mutex]; the zero value panics. It is safe for concurrent use and must
// not be copied.
//
// Two values of the same name are the same lock and exclude each other, also
// within a process. It is not reentrant.
//
// Processes get their turn in the order in which they came to wait at the store,
// where it has a queue, and goroutines of a process in the order of their
// arrival. A process may hand the lock on among its goroutines before another
// process has its turn, within the budget of [WithHandoff].
//
// In the terminology of the Go memory model, within a process the n'th Unlock
// synchronizes before the m'th Lock returns, for any n < m.
//
// When the lock is lost, its holder is told by [Hold.Lost], by the context of
// [Mutex.Do], or, after Lock, by the handler of [WithLossHandler]. Its Unlock is
// then harmless.
type Mutex struct{ locker }
