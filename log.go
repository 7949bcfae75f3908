package dlock

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dlock-go/dlock/internal/serial"
)

// maxLines is how many lines may wait for the program's log handler.
const maxLines = 1024

// A logQueue is a slog.Handler that hands what it is given to another one, in order,
// on a goroutine of its own: that one is the program's and may take its time, and
// those who log here, the coordinator among them, have none. What does not fit is
// dropped and counted. It asks the other handler nothing on its caller's goroutine,
// so that everything is enabled at first.
type logQueue struct {
	queue *serial.Queue
	inner slog.Handler
	// derive makes of inner what With and WithGroup ask for; nil for inner itself.
	derive func(slog.Handler) slog.Handler
}

func newLogQueue(inner slog.Handler) *logQueue {
	l := &logQueue{inner: inner}
	l.queue = &serial.Queue{Bound: maxLines, Dropped: func(n int) {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "dlock: the log is too slow; lines are missing", 0)
		r.AddAttrs(slog.Int("lines", n))
		(&logQueue{inner: inner}).write(context.Background(), r)
	}}
	return l
}

func (l *logQueue) Enabled(context.Context, slog.Level) bool { return true }

func (l *logQueue) Handle(ctx context.Context, r slog.Record) error {
	if !l.queue.Go(func() { l.write(ctx, r) }) {
		return fmt.Errorf("dlock: %d lines wait for the log already", maxLines)
	}
	return nil
}

// write hands a line to the program. It is found on the stack by its name.
func (l *logQueue) write(ctx context.Context, r slog.Record) {
	inner := l.inner
	if l.derive != nil {
		inner = l.derive(inner)
	}
	if inner.Enabled(ctx, r.Level) {
		_ = inner.Handle(ctx, r) // What the log cannot take, nobody can be told.
	}
}

func (l *logQueue) WithAttrs(attrs []slog.Attr) slog.Handler {
	return l.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (l *logQueue) WithGroup(name string) slog.Handler {
	return l.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (l *logQueue) with(step func(slog.Handler) slog.Handler) slog.Handler {
	before := l.derive
	return &logQueue{l.queue, l.inner, func(h slog.Handler) slog.Handler {
		if before != nil {
			h = before(h)
		}
		return step(h)
	}}
}
