package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/dlock-go/dlock/backend"
)

// A hostile server lets everybody in, and answers with what it was given to say.
type hostile struct {
	says []byte
	conn net.Conn
}

// serve takes one connection.
func (h *hostile) serve(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	h.conn = c
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for b.Flush() == nil {
		m, err := b.Receive()
		if err != nil {
			return
		}
		if _, ok := m.(*pgproto3.Sync); ok {
			h.answer(b)
		}
	}
}

// answer says something until it is ready for the next question, or for good if that is what
// there was to say.
func (h *hostile) answer(b *pgproto3.Backend) {
	take := func() byte {
		if len(h.says) == 0 {
			return 0
		}
		first := h.says[0]
		h.says = h.says[1:]
		return first
	}
	for len(h.says) > 0 {
		switch what := take(); what % 8 {
		case 0:
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			return
		case 1:
			b.Send(&pgproto3.CommandComplete{})
		case 2:
			codes := []string{"26000", "40P01", "42501", "53200", "55P03", "57014", "57P01", "XX000"}
			severity := []string{"ERROR", "FATAL"}[take()%2]
			b.Send(&pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: codes[take()%8], Message: "no"})
		case 3: // something that is not the protocol
			n := min(int(take()), len(h.says))
			if _, err := h.conn.Write(h.says[:n]); err != nil {
				return
			}
			h.says = h.says[n:]
		default: // as many rows of numbers
			var values [][]byte
			for range what / 8 % 8 {
				n := int64(int8(take()))
				if n == 100 { // the backend, and something that is never a number of a token
					n = -1 << 62
				}
				values = append(values, binary.BigEndian.AppendUint64(nil, uint64(n)))
			}
			b.Send(&pgproto3.DataRow{Values: values})
		}
	}
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
}

// FuzzHostileServer: whatever a server says, a session neither panics nor hangs.
func FuzzHostileServer(f *testing.F) {
	const three = 3*8 + 4 // a row of three numbers
	f.Add([]byte{})
	f.Add([]byte{three, 1, 5, 1, 1, 0})
	f.Add([]byte{three, 1, 100, 1, 1, 0})
	f.Add([]byte{three, 99, 5, 1, 1, three, 99, 5, 1, 1, three, 99, 5, 1, 1, 0})
	f.Add([]byte{2, 0, 3, 0, 0, 0, 2, 0, 1, 0})
	f.Add([]byte{2, 0, 0, 0})
	f.Add([]byte{2, 1, 6, 0})
	f.Add([]byte{3, 5, 'H', 'T', 'T', 'P', '/', 0})
	f.Fuzz(func(t *testing.T, says []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		h := &hostile{says: says}
		over := make(chan struct{})
		go func() {
			defer close(over)
			h.serve(l)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, fmt.Sprintf("postgres://u@%s/d?sslmode=disable", l.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		st := &Store{config: config{keys: nameKey, schema: "dlock", tokens: true, connections: 1, locks: 100}}
		const ttl = 60 * time.Millisecond
		w, err := st.wire(c, server{pid: 1}, holding, ttl, backend.ClientInfo{})
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(st, ttl, backend.ClientInfo{}, w, st.newMarker(), ttl)
		began := time.Now()
		for _, do := range []backend.Do{backend.Acquire, backend.Release} {
			var ops []backend.Op
			for i, class := range []backend.Class{backend.Mutex, backend.Semaphore, backend.RWMutex} {
				limit := uint32(0)
				if class == backend.Semaphore {
					limit = 2
				}
				ops = append(ops, backend.Op{Do: do, Class: class, Mode: backend.Exclusive, Wait: i > 0, Limit: limit, Owner: uint64(i + 1), Name: "x"})
			}
			results, _, err := s.Apply(ctx, ops)
			for i, r := range results {
				if err == nil && r.State == backend.Granted && (r.Grant.Ordinal > backend.MaxOrdinal) {
					t.Errorf("%v was granted with the ordinal %d", ops[i].Class, r.Grant.Ordinal)
				}
			}
		}
		_ = s.Close(ctx)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		h.conn.Close()
		<-over
	})
}
