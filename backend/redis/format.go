package redis

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// formatNumber is that of the keys and of what stands in them. Whoever changes them so
// that programs of before would go wrong raises it. It stands in the key "format" behind
// what all keys begin with: in a cluster in each bucket, so that the script that makes a
// session known there can look at it, and in a quorum on each node. Who finds none
// writes it. What a quorum's nodes have is something else, with a number of its own.
const formatNumber, quorumFormat = 1, 2

// errFormat tells that the keys of a node that begin with base have another format than
// the one that is known.
func errFormat(n *node, base, format string, known int) error {
	return fmt.Errorf("%w: the keys %s* of %s have format %.20s, and this program knows format %d", backend.ErrUnsupported, base, n, format, known)
}
