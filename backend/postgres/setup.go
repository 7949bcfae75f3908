package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A stage is a statement of many that a connection is set up with, which go out together.
// Each is a transaction of its own.
type stage struct {
	doing    string // for errors
	sql      string
	optional bool // what the server says against it does not matter
	answer   *[]string
}

// setUp carries stages out, all in one round trip. After one that fails the others are
// carried out all the same.
func setUp(ctx context.Context, c *pgx.Conn, stages []stage) error {
	p := c.PgConn().StartPipeline(ctx)
	for _, s := range stages {
		p.SendQueryParams(s.sql, nil, nil, nil, nil)
		p.SendPipelineSync()
	}
	err := p.Flush()
	for i := range stages {
		s := &stages[i]
		if one := s.result(p); one != nil && err == nil && !(s.optional && sqlState(one) != "") {
			err = fmt.Errorf("%s: %w", s.doing, one)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if closed := p.Close(); err == nil && closed != nil {
		err = fmt.Errorf("setting the connection up: %w", closed)
	}
	return err
}

// result reads what came of a stage.
func (s *stage) result(p *pgconn.Pipeline) (err error) {
	for {
		r, failed := p.GetResults()
		switch r := r.(type) {
		case *pgconn.ResultReader:
			result := r.Read()
			if failed = result.Err; failed == nil && s.answer != nil && len(result.Rows) > 0 {
				for _, v := range result.Rows[0] {
					*s.answer = append(*s.answer, string(v))
				}
			}
		case *pgconn.PipelineSync:
			return err
		case nil:
			if failed == nil || sqlState(failed) == "" {
				return failed // There will be no more.
			}
		}
		if err == nil {
			err = failed
		}
	}
}
