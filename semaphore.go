package dlock

// A Semaphore is a distributed counting semaphore: of all the clients on a store,
// at most limit holders have a ticket of it at a time. Lock takes one ticket and
// Unlock gives one back. Get one from [Client.Semaphore]; the zero value panics.
// It is safe for concurrent use and must not be copied.
//
// Two values of the same name are the same semaphore, and all who use it at the
// same time have to agree on the limit. Who comes with another one, as in a rolling
// deployment that changes it, waits until nobody uses the old one: Lock, LockContext,
// Acquire and Do look at least every second, without a place in the queue, and say so
// in the log. TryLock is false then, and TryLockContext and TryAcquire return
// ErrLimit.
//
// Whoever comes first gets the first ticket that is free, as for a [Mutex]. A
// process has at most as many places in the store's queue as there are tickets.
//
// In the terms of the Go memory model, an Unlock synchronizes before the return of each
// Lock that takes the ticket which it gave back, also where the two are of different
// clients of one process.
type Semaphore struct{ locker }
