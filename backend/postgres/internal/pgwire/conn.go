package pgwire

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A Conn is a connection that belongs to a session alone. pgx has opened it; from
// then on the session speaks the protocol itself, so that a read is pending
// whenever it is at rest, and a server that goes is noticed when it goes.
//
// A pipeline of prepared statements is sent as a whole, and the next one when it
// is answered. A statement that fails takes those behind it along, up to where the
// pipeline is divided.
type Conn struct {
	// Immutable.
	PID     int64          // of the backend, by its own account
	pg      *pgconn.PgConn // what it was; it still knows how to have a statement cancelled
	pooled  bool           // it leads to a pooler
	card    string
	texts   map[string]string // the statements by name
	Conn    net.Conn
	in      *pgproto3.Frontend
	patient time.Duration // for a write
	Over    chan struct{} // of a wait session: closed by its reader at the end

	// Guarded by the session's mutex.
	out  []byte // the pipeline that is being written
	Busy bool   // a pipeline has no answer yet
	Sent time.Time
	Mute bool // nothing of the last pipeline could be sent

	prepared map[string]bool
	fresh    []string // the statements that the last pipeline prepares

	due atomic.Int32 // ends of transactions that the answer still has to tell

	// Owned by whoever reads.
	Reply Reply
	Fatal error // what the server has said before it goes
}

// A Reply is the answer to a pipeline.
type Reply struct {
	Sets []Set           // one for each statement that was carried out or failed
	Err  *pgconn.PgError // of the first one that failed, or nil
	Rows []int64         // of all sets, never nil

	whole bool // nothing is missing
}

// A Set is the rows that one statement returned, flat, all of numbers, or why it
// failed.
type Set struct {
	Rows []int64
	Err  *pgconn.PgError
	End  int // in reply.rows
}

// Begun is where the rows of the next set are in rows.
func (r *Reply) Begun() int {
	if n := len(r.Sets); n > 0 {
		return r.Sets[n-1].End
	}
	return 0
}

// Null is a value that SQL calls so.
const Null = math.MinInt64

// errHangUp is the end of a connection that the server closed without a word.
var errHangUp = errors.New("the server closed the connection")

// New takes over a connection.
func New(c *pgx.Conn, pid int64, pooled bool, patient time.Duration, card string, texts map[string]string) (*Conn, error) {
	h, err := c.PgConn().Hijack()
	if err != nil {
		return nil, err
	}
	return &Conn{
		PID: pid, pooled: pooled, pg: c.PgConn(), card: card, texts: texts, Conn: h.Conn, in: h.Frontend, patient: patient,
		Over: make(chan struct{}), prepared: make(map[string]bool), Reply: Reply{Rows: make([]int64, 0, 64)},
	}, nil
}

// Exec appends a statement to the pipeline, with its parameters in the binary format.
// It is prepared when it is needed for the first time.
func (w *Conn) Exec(statement string, params ...[]byte) {
	if !w.prepared[statement] {
		w.prepared[statement] = true
		w.fresh = append(w.fresh, statement)
		w.out = appendMessage(w.out, &pgproto3.Close{ObjectType: 'S', Name: statement}) // It may be there, after an error.
		w.out = appendMessage(w.out, &pgproto3.Parse{Name: statement, Query: w.card + w.texts[statement]})
	}
	w.out = appendMessage(w.out, &pgproto3.Bind{
		PreparedStatement:    statement,
		ParameterFormatCodes: binaryFormat,
		Parameters:           params,
		ResultFormatCodes:    binaryFormat,
	})
	w.out = appendMessage(w.out, &pgproto3.Execute{})
}

// Answered takes note of an answer. After an error nobody knows which statements are
// prepared of those that were to be.
func (w *Conn) Answered(r *Reply) {
	w.Busy = false
	if r.Err != nil {
		for _, statement := range w.fresh {
			delete(w.prepared, statement)
		}
	}
	w.fresh = w.fresh[:0]
}

var binaryFormat = []int16{1}

// Divide ends a part of the pipeline. What fails behind it has nothing to do with what
// is before it, and the other way round.
func (w *Conn) Divide() {
	w.out = appendMessage(w.out, &pgproto3.Sync{})
	w.due.Add(1)
}

// Flush sends the pipeline.
func (w *Conn) Flush(now time.Time) error {
	w.Divide()
	w.Busy, w.Sent = true, now
	// It fits into the buffers of a socket, unless the network is stuck.
	_ = w.Conn.SetWriteDeadline(now.Add(w.patient))
	n, err := w.Conn.Write(w.out)
	w.out, w.Mute = w.out[:0], n == 0
	return err
}

// Cancel asks the server to end the statement that it is at, over a connection of its
// own. Unlike a function for that it needs no right, and leaves the other connections
// alone.
func (w *Conn) Cancel(ctx context.Context) error { return w.pg.CancelRequest(ctx) }

// Leave sends the pipeline and the end of the connection behind it. read goes on
// until the server has closed it.
func (w *Conn) Leave(now time.Time) {
	w.Divide()
	if w.pooled { // It may have the connection serve others.
		w.out = appendMessage(w.out, &pgproto3.Query{String: Resetting})
		w.due.Add(1)
	}
	w.out = appendMessage(w.out, &pgproto3.Terminate{})
	w.Busy = true
	_ = w.Conn.SetWriteDeadline(now.Add(w.patient))
	_, _ = w.Conn.Write(w.out)
}

// appendMessage appends a message that cannot be too long.
func appendMessage(buf []byte, m pgproto3.FrontendMessage) []byte {
	longer, err := m.Encode(buf)
	if err != nil {
		panic("dlock: " + err.Error())
	}
	return longer
}

// Read reads the answers until the connection ends, and returns why it did. It
// calls answered with each; the reply is good until that returns.
func (w *Conn) Read(answered func(*Reply)) error {
	for {
		r, err := w.Next()
		if err != nil {
			return err
		}
		answered(r)
	}
}

// Next reads the next answer, which is good until it is called again. After a
// read deadline it goes on where it was.
func (w *Conn) Next() (*Reply, error) {
	r := &w.Reply
	if r.whole {
		*r = Reply{Sets: r.Sets[:0], Rows: r.Rows[:0]}
	}
	for {
		m, err := w.in.Receive()
		switch {
		case err == nil:
		case w.Fatal == nil && errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		default:
			// The server may have closed its end alone: after a goodbye, say.
			_ = w.Conn.Close()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = errHangUp
			}
			return nil, cmp.Or(w.Fatal, err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			for _, v := range m.Values {
				r.Rows = append(r.Rows, number(v))
			}
		case *pgproto3.CommandComplete:
			r.Sets = append(r.Sets, Set{Rows: r.Rows[r.Begun():], End: len(r.Rows)})
		case *pgproto3.ErrorResponse:
			err := pgconn.ErrorResponseToPgError(m)
			if err.SeverityUnlocalized == "FATAL" || err.SeverityUnlocalized == "PANIC" {
				// Its locks are free when it is gone, a moment later.
				w.Fatal = err
				_ = w.Conn.SetReadDeadline(time.Now().Add(lastGasp))
				continue
			}
			r.Rows = r.Rows[:r.Begun()]
			r.Sets = append(r.Sets, Set{Err: err, End: len(r.Rows)})
			if r.Err == nil {
				r.Err = err
			}
		case *pgproto3.ReadyForQuery:
			if w.due.Add(-1) > 0 {
				continue
			}
			r.whole = true
			return r, nil
		}
	}
}

// lastGasp is how long a backend may take to go after it has said that it goes.
const lastGasp = time.Second

// number decodes a bool, an int2, an int4 or an int8.
func number(v []byte) int64 {
	switch len(v) {
	case 1:
		return int64(v[0])
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	}
	return Null
}

// The types of parameters, by their numbers in the catalogue.
const (
	OIDInt8 = 20
	OIDInt2 = 21
	OIDInt4 = 23
)

// AppendInt appends an integer of a type.
func AppendInt(buf []byte, oid uint32, n int64) []byte {
	switch oid {
	case OIDInt2:
		return binary.BigEndian.AppendUint16(buf, uint16(n))
	case OIDInt4:
		return binary.BigEndian.AppendUint32(buf, uint32(n))
	}
	return binary.BigEndian.AppendUint64(buf, uint64(n))
}

// AppendArray appends an array of integers of a type.
func AppendArray(buf []byte, oid uint32, elements []int64) []byte {
	size := map[uint32]uint32{OIDInt2: 2, OIDInt4: 4, OIDInt8: 8}[oid]
	dimensions := uint32(1)
	if len(elements) == 0 {
		dimensions = 0
	}
	buf = binary.BigEndian.AppendUint32(buf, dimensions)
	buf = binary.BigEndian.AppendUint32(buf, 0) // no nulls
	buf = binary.BigEndian.AppendUint32(buf, oid)
	if dimensions == 0 {
		return buf
	}
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(elements)))
	buf = binary.BigEndian.AppendUint32(buf, 1) // the first index
	for _, n := range elements {
		buf = binary.BigEndian.AppendUint32(buf, size)
		buf = AppendInt(buf, oid, n)
	}
	return buf
}

// Resetting has a connection be as it was at first.
const Resetting = "discard all"
