package pgtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports that servers get. The systems take those of outgoing connections from
// higher ones, so that nobody gets the port of a server that is stopped; a client
// that dials it again and again could even be connected with itself.
const (
	firstPort = 20000
	lastPort  = 32000
)

// taken are the ports of servers of this process, the stopped ones too.
var taken = struct {
	sync.Mutex
	ports map[int]bool
}{ports: make(map[int]bool)}

// takePort returns a port that is free at this moment.
func takePort() (int, error) {
	taken.Lock()
	defer taken.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if taken.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		taken.ports[port] = true
		return port, l.Close()
	}
	return 0, errors.New("pgtest: no free port on the loopback")
}

func freePort(port int) {
	taken.Lock()
	defer taken.Unlock()
	delete(taken.ports, port)
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
