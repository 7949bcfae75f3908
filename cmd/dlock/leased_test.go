//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/file"
)

// lease is the time to live of the locks in a leased store.
const lease = 3 * time.Second

// silence is the file in the directory of a leased store as long as which is
// there the store does not answer.
const silence = "silence"

// A leased store is a directory of lock files, with leases: leased:///dir.
func init() {
	backend.Register("leased", func(rawURL string) (backend.Backend, error) {
		dir := strings.TrimPrefix(rawURL, "leased://")
		faulty := backendtest.Faulty(file.New(dir), backendtest.Plan{Lease: lease})
		go hush(faulty, filepath.Join(dir, silence))
		return faulty, nil
	})
}

// hush makes the store silent as long as there is a file. It ends with the
// process.
func hush(faulty *backendtest.FaultyBackend, path string) {
	for silent := false; ; time.Sleep(5 * time.Millisecond) {
		_, err := os.Stat(path)
		if hushed := err == nil; hushed == silent {
			continue
		} else if silent = hushed; silent {
			faulty.FailNext(backendtest.UnknownBefore, 1<<20)
		} else {
			faulty.Heal()
		}
	}
}
