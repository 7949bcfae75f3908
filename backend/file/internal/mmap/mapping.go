// Package mmap maps files into memory, and has a file that fails there be an error and
// not the end of the process.
package mmap

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// A Mapping is the beginning of a file in memory, shared with all who map it, and
// with those who read the file. It begins on a page, hence is fit for atomics.
type Mapping []byte

// Guard runs f, which touches a mapping. When the file was cut short, or the disk
// that backs it is full, that is a fault, and would end the process: it is to be
// an error of this use alone.
func Guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface {
				runtime.Error
				Addr() uintptr
			})
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("mapping: %w", fault)
		}
	}()
	f()
	return nil
}

// settledFor is how long a mapping may be written to once a system call has written to its
// file. On a file system that is frozen a write waits for the end of that: in a system
// call the runtime goes on without it, while in a mapping it would hold up the whole
// process, which cannot even begin to collect garbage.
const settledFor = time.Millisecond

// Settled reports whether a system call has written to a file just now.
func Settled(last time.Time) bool { return time.Since(last) < settledFor }
