package mmap

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// Map maps the first size bytes of a file.
func Map(file uintptr, size int) (Mapping, error) {
	m, err := windows.CreateFileMapping(windows.Handle(file), nil, windows.PAGE_READWRITE, 0, uint32(size), nil)
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(m) // the view keeps the mapping
	addr, err := windows.MapViewOfFile(m, windows.FILE_MAP_READ|windows.FILE_MAP_WRITE, 0, 0, uintptr(size))
	if err != nil {
		return nil, err
	}
	// The address is no pointer of Go's: it is reinterpreted and not converted, of
	// which vet approves.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), size), nil
}

// Unmap ends a mapping, which is not to be touched after that.
func (m Mapping) Unmap() {
	_ = windows.UnmapViewOfFile(uintptr(unsafe.Pointer(unsafe.SliceData(m))))
}
