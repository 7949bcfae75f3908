package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// A messenger says what the library logs, such as that it waits for a store that
// is out of reach, in the form of dlock's own messages: without a time and a
// level, which who reads standard error does not expect there.
type messenger struct {
	least slog.Leveler // what is less than this is not said
	attrs []slog.Attr
}

// lossMessage is what the library logs of a loss. Who runs a command says it in
// his own words, and what follows from it.
const lossMessage = "dlock: lock lost"

func (m messenger) Enabled(_ context.Context, level slog.Level) bool {
	return level >= m.least.Level()
}

func (m messenger) Handle(_ context.Context, r slog.Record) error {
	if r.Message == lossMessage {
		return nil
	}
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	}
	for _, a := range m.attrs {
		add(a)
	}
	r.Attrs(add)
	say(b.String())
	return nil
}

func (m messenger) WithAttrs(attrs []slog.Attr) slog.Handler {
	return messenger{m.least, slices.Concat(m.attrs, attrs)}
}

// WithGroup does nothing: groups are for machines to read.
func (m messenger) WithGroup(string) slog.Handler { return m }
