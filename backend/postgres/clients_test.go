package postgres

import (
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/dlocktest"
	"github.com/dlock-go/dlock/internal/pgtest"
)

func TestClients(t *testing.T) {
	t.Parallel()
	// Each of the suite's clients has up to nine connections, and each of the checks
	// that run at a time a few clients.
	server := pgtest.New(t, quick("max_connections", "600"))
	dlocktest.Run(t, dlocktest.Harness{
		Backend: func(t *testing.T) backend.Backend { return open(t, server.URL()) },
		URL:     server.URL(),
		Lose:    lose,
		Vague:   true,
	})
}
