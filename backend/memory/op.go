package memory

import "github.com/dlock-go/dlock/backend"

// size returns how many may hold the lock of op exclusively at once.
func size(op *backend.Op) uint32 {
	if op.Class == backend.Semaphore {
		return op.Limit
	}
	return 1
}
