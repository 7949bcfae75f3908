package file

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapWord maps the first word of a file, shared with all who do the same.
func mapWord(h handle) (*atomic.Uint64, error) {
	const size = unsafe.Sizeof(atomic.Uint64{})
	m, err := windows.CreateFileMapping(windows.Handle(h), nil, windows.PAGE_READWRITE, 0, uint32(size), nil)
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(m) // the view keeps the mapping
	addr, err := windows.MapViewOfFile(m, windows.FILE_MAP_READ|windows.FILE_MAP_WRITE, 0, 0, size)
	if err != nil {
		return nil, err
	}
	// Page-aligned, hence fit for atomics. The address is no pointer of Go's: it
	// is reinterpreted and not converted, of which vet approves.
	return *(**atomic.Uint64)(unsafe.Pointer(&addr)), nil
}

func unmapWord(word *atomic.Uint64) {
	_ = windows.UnmapViewOfFile(uintptr(unsafe.Pointer(word)))
}
