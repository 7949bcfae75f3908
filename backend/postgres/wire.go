package postgres

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

// A wire is a connection that belongs to a session alone. pgx has opened it; from
// then on the session speaks the protocol itself, so that a read is pending
// whenever it is at rest, and a server that goes is noticed when it goes.
//
// A pipeline of prepared statements is sent as a whole, and the next one when it
// is answered. A statement that fails takes those behind it along, up to where the
// pipeline is divided.
type wire struct {
	// Immutable.
	pid     int64          // of the backend, by its own account
	pg      *pgconn.PgConn // what it was; it still knows how to have a statement cancelled
	pooled  bool           // it leads to a pooler
	card    string
	texts   map[string]string // the statements by name
	conn    net.Conn
	in      *pgproto3.Frontend
	patient time.Duration // for a write
	over    chan struct{} // of a wait session: closed by its reader at the end

	// Guarded by the session's mutex.
	out  []byte // the pipeline that is being written
	busy bool   // a pipeline has no answer yet
	sent time.Time
	mute bool // nothing of the last pipeline could be sent

	prepared map[string]bool
	fresh    []string // the statements that the last pipeline prepares

	due atomic.Int32 // ends of transactions that the answer still has to tell

	// Owned by whoever reads.
	reply reply
	fatal error // what the server has said before it goes
}

// A reply is the answer to a pipeline.
type reply struct {
	sets []set           // one for each statement that was carried out or failed
	err  *pgconn.PgError // of the first one that failed, or nil
	rows []int64         // of all sets, never nil

	whole bool // nothing is missing
}

// A set is the rows that one statement returned, flat, all of numbers, or why it
// failed.
type set struct {
	rows []int64
	err  *pgconn.PgError
	end  int // in reply.rows
}

// begun is where the rows of the next set are in rows.
func (r *reply) begun() int {
	if n := len(r.sets); n > 0 {
		return r.sets[n-1].end
	}
	return 0
}

// null is a value that SQL calls so.
const null = math.MinInt64

// errHangUp is the end of a connection that the server closed without a word.
var errHangUp = errors.New("the server closed the connection")

// newWire takes over a connection.
func newWire(c *pgx.Conn, pid int64, pooled bool, patient time.Duration, card string, texts map[string]string) (*wire, error) {
	h, err := c.PgConn().Hijack()
	if err != nil {
		return nil, err
	}
	return &wire{
		pid: pid, pooled: pooled, pg: c.PgConn(), card: card, texts: texts, conn: h.Conn, in: h.Frontend, patient: patient,
		over: make(chan struct{}), prepared: make(map[string]bool), reply: reply{rows: make([]int64, 0, 64)},
	}, nil
}

// exec appends a statement to the pipeline, with its parameters in the binary format.
// It is prepared when it is needed for the first time.
func (w *wire) exec(statement string, params ...[]byte) {
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

// answered takes note of an answer. After an error nobody knows which statements are
// prepared of those that were to be.
func (w *wire) answered(r *reply) {
	w.busy = false
	if r.err != nil {
		for _, statement := range w.fresh {
			delete(w.prepared, statement)
		}
	}
	w.fresh = w.fresh[:0]
}

var binaryFormat = []int16{1}

// divide ends a part of the pipeline. What fails behind it has nothing to do with what
// is before it, and the other way round.
func (w *wire) divide() {
	w.out = appendMessage(w.out, &pgproto3.Sync{})
	w.due.Add(1)
}

// flush sends the pipeline.
func (w *wire) flush(now time.Time) error {
	w.divide()
	w.busy, w.sent = true, now
	// It fits into the buffers of a socket, unless the network is stuck.
	_ = w.conn.SetWriteDeadline(now.Add(w.patient))
	n, err := w.conn.Write(w.out)
	w.out, w.mute = w.out[:0], n == 0
	return err
}

// cancel asks the server to end the statement that it is at, over a connection of its
// own. Unlike a function for that it needs no right, and leaves the other connections
// alone.
func (w *wire) cancel(ctx context.Context) error { return w.pg.CancelRequest(ctx) }

// leave sends the pipeline and the end of the connection behind it. read goes on
// until the server has closed it.
func (w *wire) leave(now time.Time) {
	w.divide()
	if w.pooled { // It may have the connection serve others.
		w.out = appendMessage(w.out, &pgproto3.Query{String: resetting})
		w.due.Add(1)
	}
	w.out = appendMessage(w.out, &pgproto3.Terminate{})
	w.busy = true
	_ = w.conn.SetWriteDeadline(now.Add(w.patient))
	_, _ = w.conn.Write(w.out)
}

// appendMessage appends a message that cannot be too long.
func appendMessage(buf []byte, m pgproto3.FrontendMessage) []byte {
	longer, err := m.Encode(buf)
	if err != nil {
		panic("dlock: " + err.Error())
	}
	return longer
}

// read reads the answers until the connection ends, and returns why it did. It
// calls answered with each; the reply is good until that returns.
func (w *wire) read(answered func(*reply)) error {
	for {
		r, err := w.next()
		if err != nil {
			return err
		}
		answered(r)
	}
}

// next reads the next answer, which is good until it is called again. After a
// read deadline it goes on where it was.
func (w *wire) next() (*reply, error) {
	r := &w.reply
	if r.whole {
		*r = reply{sets: r.sets[:0], rows: r.rows[:0]}
	}
	for {
		m, err := w.in.Receive()
		switch {
		case err == nil:
		case w.fatal == nil && errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		default:
			// The server may have closed its end alone: after a goodbye, say.
			_ = w.conn.Close()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = errHangUp
			}
			return nil, cmp.Or(w.fatal, err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			for _, v := range m.Values {
				r.rows = append(r.rows, number(v))
			}
		case *pgproto3.CommandComplete:
			r.sets = append(r.sets, set{rows: r.rows[r.begun():], end: len(r.rows)})
		case *pgproto3.ErrorResponse:
			err := pgconn.ErrorResponseToPgError(m)
			if err.SeverityUnlocalized == "FATAL" || err.SeverityUnlocalized == "PANIC" {
				// Its locks are free when it is gone, a moment later.
				w.fatal = err
				_ = w.conn.SetReadDeadline(time.Now().Add(lastGasp))
				continue
			}
			r.rows = r.rows[:r.begun()]
			r.sets = append(r.sets, set{err: err, end: len(r.rows)})
			if r.err == nil {
				r.err = err
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
	return null
}

// The types of parameters, by their numbers in the catalogue.
const (
	oidInt8 = 20
	oidInt2 = 21
	oidInt4 = 23
)

// appendInt appends an integer of a type.
func appendInt(buf []byte, oid uint32, n int64) []byte {
	switch oid {
	case oidInt2:
		return binary.BigEndian.AppendUint16(buf, uint16(n))
	case oidInt4:
		return binary.BigEndian.AppendUint32(buf, uint32(n))
	}
	return binary.BigEndian.AppendUint64(buf, uint64(n))
}

// appendArray appends an array of integers of a type.
func appendArray(buf []byte, oid uint32, elements []int64) []byte {
	size := map[uint32]uint32{oidInt2: 2, oidInt4: 4, oidInt8: 8}[oid]
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
		buf = appendInt(buf, oid, n)
	}
	return buf
}

// resetting has a connection be as it was at first.
const resetting = "discard all"
