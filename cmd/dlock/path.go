package main

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// path is the subcommand.
func (j *job) path(store backend.Backend) exit {
	directory, ok := store.(*file.Store)
	if !ok {
		return exit{code: exitUsage, err: fmt.Errorf("%s keeps no files: only a lock in a directory has one", store)}
	}
	class := backend.RWMutex
	if j.mutex {
		class = backend.Mutex
	}
	return printText(directory.Path(class, key(j.namespace, j.name))+"\n", exit{})
}

// key returns the name that a lock has at the store, as the library does.
func key(namespace, name string) string {
	if namespace == "" && (name == "" || name[0] != 0) {
		return name
	}
	return "\x00" + namespace + "\x00" + name
}
