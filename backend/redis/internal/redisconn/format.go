package redisconn

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// The keys of a store, and what stands in them, have a format with a number. Whoever
// changes them so that programs of before would go wrong raises it. It stands in the key
// "format" behind what all keys begin with. Who finds none writes it. One node and a
// quorum have formats, and numbers, of their own.

// ErrFormat tells that the keys of a node that begin with base have another format than
// the one that is known.
func ErrFormat(n *Node, base, format string, known int) error {
	return fmt.Errorf("%w: the keys %s* of %s have format %.20s, and this program knows format %d", backend.ErrUnsupported, base, n, format, known)
}
