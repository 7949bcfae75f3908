//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package mmap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Map maps the first size bytes of a file.
func Map(file uintptr, size int) (Mapping, error) {
	p, err := unix.MmapPtr(int(file), 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// Unmap ends a mapping, which is not to be touched after that.
func (m Mapping) Unmap() {
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(m)), uintptr(len(m)))
}
