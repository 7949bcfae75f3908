//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package file

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFile maps the first size bytes of a file.
func mapFile(h handle, size int) (mapping, error) {
	p, err := unix.MmapPtr(int(h), 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

func (m mapping) unmap() {
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(m)), uintptr(len(m)))
}
