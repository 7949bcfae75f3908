package journal

import (
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now reads the monotonic clock, which all processes of a machine share.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // Linux has it.
	}
	return ts.Nano()
}

// At returns t on the clock of Now, and 0 for the zero Time.
func At(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return Now() + int64(time.Until(t))
}

// A Writer appends records to a file. What it has appended survives the process:
// each call is one write to the system. It is safe for concurrent use.
type Writer struct {
	file *os.File

	mu  sync.Mutex
	buf []byte
}

// Create makes a journal.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file: f}, nil
}

// Add appends a record of now.
func (w *Writer) Add(kind Kind, v ...int64) { w.Put(Now(), kind, "", v...) }

// Late is how late a process may be, or a record take to be written, before it counts
// as a stall.
const Late = 5 * time.Millisecond

// Short is how long a thread may wait for a processor, between two looks, before that
// counts as a stall.
const Short = 2 * time.Millisecond

// Put appends a record of the time at. A journal that cannot be written ends the
// process, for without it nothing that the process does can be judged.
func (w *Writer) Put(at int64, kind Kind, text string, v ...int64) {
	begun := Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(at, kind, text, v...)
	if now := Now(); now-begun > int64(Late) {
		w.write(now, Stall, "", begun)
	}
}

func (w *Writer) write(at int64, kind Kind, text string, v ...int64) {
	b := w.buf[:0]
	b = strconv.AppendInt(b, at, 10)
	b = append(b, ' ')
	b = append(b, kind...)
	for _, n := range v {
		b = append(b, ' ')
		b = strconv.AppendInt(b, n, 10)
	}
	if text != "" {
		b = append(b, ' ')
		b = strconv.AppendQuote(b, text)
	}
	b = append(b, '\n')
	w.buf = b
	if _, err := w.file.Write(b); err != nil {
		panic("journal: " + err.Error())
	}
}
