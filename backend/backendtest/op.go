package backendtest

import "github.com/dlock-go/dlock/backend"

// A lock and a mode to take it in, as an Op that lacks Do, Wait and Owner.

func mutex(name string) backend.Op {
	return backend.Op{Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Name: name}
}

func writer(name string) backend.Op {
	return backend.Op{Class: backend.RWMutex, Mode: backend.Exclusive, Limit: 1, Name: name}
}

func reader(name string) backend.Op {
	return backend.Op{Class: backend.RWMutex, Mode: backend.Shared, Limit: 1, Name: name}
}

func ticket(name string, limit uint32) backend.Op {
	return backend.Op{Class: backend.Semaphore, Mode: backend.Exclusive, Limit: limit, Name: name}
}
