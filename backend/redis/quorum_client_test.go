package redis_test

import (
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/dlocktest"
	"github.com/dlock-go/dlock/internal/redistest"
)

// urlOn returns the URL of the quorum of servers.
func urlOn(servers []*redistest.Server) string {
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	return "redis://" + strings.Join(addrs, ",")
}

func TestQuorumClients(t *testing.T) {
	t.Parallel()
	url := urlOn(startNodes(t, 3))
	dlocktest.Run(t, dlocktest.Harness{
		Backend: func(t *testing.T) backend.Backend {
			b, err := backend.FromURL(url)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		URL: url,
	})
}
