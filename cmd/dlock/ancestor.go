package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/dlock-go/dlock/backend"
)

// heldVariable is the environment variable by which a dlock knows what the dlocks hold
// that run it.
const heldVariable = "DLOCK_HELD"

// An ancestor is a lock that a dlock held when it ran the command of which this one is a
// part.
type ancestor struct {
	PID    int    `json:"pid"`
	Store  string `json:"store"`
	Key    []byte `json:"key"` // namespace and name, of any bytes
	Class  string `json:"class"`
	Shared bool   `json:"shared,omitempty"`
}

// ancestors reads the variable. What is not ours is passed over.
func ancestors(text string) []ancestor {
	var all []ancestor
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	return all
}

// lineage is the variable for the command.
func (j *job) lineage() string {
	all := append(j.ancestors, ancestor{os.Getpid(), j.store, []byte(key(j.namespace, j.name)), j.class(), j.shared})
	text, err := json.Marshal(all)
	if err != nil {
		return ""
	}
	return string(text)
}

// nested returns an error when the wait for the lock could only end after the command of
// which this dlock is a part.
func (j *job) nested(store backend.Backend) error {
	j.store = store.String()
	if j.try {
		return nil
	}
	slots := 0
	for _, a := range j.ancestors {
		if a.Store != j.store || string(a.Key) != key(j.namespace, j.name) || a.Class != j.class() || a.Shared && j.shared || !runsUs(a.PID) {
			continue
		}
		if slots++; slots < j.slots {
			continue
		}
		return fmt.Errorf("%s is held by process %d, the dlock that runs this command: it would wait for itself", brief(j.name), a.PID)
	}
	return nil
}
