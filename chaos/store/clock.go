package store

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed clock.c.txt
var clockSource []byte

// A skew sets the clock of a server off, by a library that is loaded before all
// others.
type skew struct {
	library string
	file    *os.File
	off     time.Duration
	read    time.Time // the latest time that it has shown before it was set
}

// newSkew compiles the library. It returns nil where there is no C compiler.
func newSkew(dir string) (*skew, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil, nil
	}
	source := filepath.Join(dir, "clock_shim.c")
	if err := os.WriteFile(source, clockSource, 0o644); err != nil {
		return nil, err
	}
	s := &skew{library: filepath.Join(dir, "clock.so")}
	if out, err := exec.Command(cc, "-O1", "-shared", "-fPIC", "-o", s.library, source, "-ldl").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the clock: %w\n%s", err, out)
	}
	if s.file, err = os.Create(filepath.Join(dir, "clock")); err != nil {
		return nil, err
	}
	return s, s.set(0)
}

// env is what a server is started with.
func (s *skew) env() []string {
	if s == nil {
		return nil
	}
	return []string{"LD_PRELOAD=" + s.library, "CHAOS_CLOCK=" + s.file.Name()}
}

// set sets the clock that far off.
func (s *skew) set(d time.Duration) error {
	if now := time.Now().Add(s.off); now.After(s.read) {
		s.read = now
	}
	s.off = d
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(d.Microseconds()))
	_, err := s.file.WriteAt(b[:], 0)
	return err
}

func (s *skew) close() {
	if s != nil {
		s.file.Close()
	}
}

// behind is for how long the clock shows times that it has shown before.
func (s *skew) behind() time.Duration {
	if s == nil {
		return 0
	}
	return max(0, s.read.Sub(time.Now().Add(s.off)))
}
