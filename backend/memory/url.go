package memory

import (
	"fmt"
	"strings"
	"sync"

	"github.com/dlock-go/dlock/backend"
)

func init() { backend.Register("memory", openURL) }

// named holds the stores that were opened by URL, for as long as the process
// lives: whoever opens the URL again expects the same store.
var named struct {
	sync.Mutex
	stores map[string]*Store
}

func openURL(rawURL string) (backend.Backend, error) {
	_, name, _ := strings.Cut(rawURL, ":")
	name = strings.TrimPrefix(name, "//")
	if strings.ContainsAny(name, "/?#@") {
		return nil, fmt.Errorf("dlock: a memory URL is memory: or memory:name, without a path or options")
	}
	named.Lock()
	defer named.Unlock()
	st := named.stores[name]
	if st == nil {
		st = open("memory:" + name)
		if named.stores == nil {
			named.stores = make(map[string]*Store)
		}
		named.stores[name] = st
	}
	return st, nil
}
