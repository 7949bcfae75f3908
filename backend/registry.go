package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// An Opener makes a Backend from a URL. It gets the URL whole and as it was
// written, for stores have URL forms that net/url refuses. It does not connect.
// Its error does not repeat a password of the URL.
type Opener func(rawURL string) (Backend, error)

var registry struct {
	sync.RWMutex
	openers map[string]Opener
}

// Register makes a driver known under a URL scheme, in lower case. Drivers call
// it from an init function. It panics when the scheme is taken.
func Register(scheme string, open Opener) {
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.openers[scheme]; taken || open == nil {
		panic("dlock: backend scheme " + scheme + " registered twice or without an opener")
	}
	if registry.openers == nil {
		registry.openers = make(map[string]Opener)
	}
	registry.openers[scheme] = open
}

// FromURL makes the Backend that rawURL names, by the driver that was registered
// for its scheme. It does not connect.
func FromURL(rawURL string) (Backend, error) {
	scheme, _, ok := strings.Cut(rawURL, ":")
	if !ok {
		// What was passed may be a password in the wrong place: it is not repeated.
		return nil, fmt.Errorf("dlock: the URL has no scheme; known are %s", known())
	}
	registry.RLock()
	open := registry.openers[strings.ToLower(scheme)]
	registry.RUnlock()
	if open == nil {
		return nil, fmt.Errorf("dlock: no backend for URL scheme %.20q; known are %s (is its driver imported?)", scheme, known())
	}
	return open(rawURL)
}

func known() string {
	registry.RLock()
	defer registry.RUnlock()
	if len(registry.openers) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(registry.openers)), ", ")
}
