package pgtest

import (
	"fmt"
	"strconv"
)

// Standby starts a server that follows this one and answers what only reads. A
// primary with the setting synchronous_standby_names=* waits for it at commits.
func (s *Server) Standby(config Config) (*Server, error) {
	return create(config, func(h *home) error {
		_, err := h.run("pg_basebackup", "--pgdata="+h.path("data"), "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
			"--dbname=host="+s.home.dir+" port="+strconv.Itoa(s.port)+" user="+User)
		return err
	})
}

// Promote makes a primary of a standby. It returns when the server takes writes.
func (s *Server) Promote() error {
	_, err := s.home.run("pg_ctl", "promote", "--wait", "--pgdata="+s.home.path("data"))
	return err
}

// CatchUp waits until a standby has replayed what its primary has written by now.
func (s *Server) CatchUp(primary *Server) error {
	position, err := primary.SQL("SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return err
	}
	return wait("catching up", func() (bool, error) {
		reached, err := s.SQL(fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", position))
		return reached == "t", err
	})
}
