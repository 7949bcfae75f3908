//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package file

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const wordSize = int(unsafe.Sizeof(atomic.Uint64{}))

// mapWord maps the first word of a file, shared with all who do the same.
func mapWord(h handle) (*atomic.Uint64, error) {
	p, err := unix.MmapPtr(int(h), 0, nil, uintptr(wordSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return (*atomic.Uint64)(p), err // page-aligned, hence fit for atomics
}

func unmapWord(word *atomic.Uint64) {
	_ = unix.MunmapPtr(unsafe.Pointer(word), uintptr(wordSize))
}
