package pgwire

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// FuzzAnswer: whatever a server answers, reading it ends, and what was read is of a piece.
func FuzzAnswer(f *testing.F) {
	var whole []byte
	for _, m := range []pgproto3.BackendMessage{
		&pgproto3.ParseComplete{}, &pgproto3.BindComplete{},
		&pgproto3.DataRow{Values: [][]byte{{0, 0, 0, 0, 0, 0, 0, 1}, nil, {1}}},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
		&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "40P01", Message: "deadlock"},
		&pgproto3.NoticeResponse{Message: "notice"},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "ended"},
	} {
		var err error
		if whole, err = m.Encode(whole); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(whole, uint8(1))
	f.Add(whole[:len(whole)/2], uint8(2))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, answer []byte, due uint8) {
		near, far := net.Pipe()
		defer far.Close()
		w := &Conn{Conn: near, in: pgproto3.NewFrontend(bytes.NewReader(answer), io.Discard), prepared: make(map[string]bool)}
		w.due.Store(int32(due))
		err := w.Read(func(r *Reply) {
			rows := 0
			for _, set := range r.Sets {
				rows += len(set.Rows)
				if set.Err != nil && (len(set.Rows) > 0 || r.Err == nil) {
					t.Errorf("a statement that failed has the rows %v, and of all %v", set.Rows, r.Err)
				}
			}
			if rows > len(r.Rows) {
				t.Errorf("%d rows of %d", rows, len(r.Rows))
			}
		})
		if err == nil {
			t.Error("there is no end")
		}
	})
}
