package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A listing is what inspect says in JSON.
type listing struct {
	Name    string        `json:"name"`
	Store   string        `json:"store"`
	Holders []participant `json:"holders"`
	Waiters []participant `json:"waiters"`
}

// A participant is a dlock.Participant in JSON.
type participant struct {
	Class  string     `json:"class"`
	Shared bool       `json:"shared"`
	Host   string     `json:"host,omitempty"`
	PID    int        `json:"pid,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	Token  string     `json:"token,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// inspect is the subcommand.
func (j *job) inspect(store backend.Backend) exit {
	found, e := j.survey(store)
	if e.err != nil {
		return e
	}
	if j.json {
		return printJSON(listing{j.name, store.String(), list(found.Holders), list(found.Waiters)}, e)
	}
	if len(found.Holders)+len(found.Waiters) == 0 {
		return printText(plain(j.name)+": free\n", e)
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LOCK\tSTATE\tHOST\tPROCESS\tFOR\tTOKEN\tREASON")
	for _, l := range locks {
		for _, p := range of(l.class, found.Holders) {
			row(table, l.label, "holds", p)
		}
		for _, p := range of(l.class, found.Waiters) {
			row(table, l.label, "waits", p)
		}
	}
	_ = table.Flush() // into memory
	return printText(b.String(), e)
}

func row(table io.Writer, label, state string, p dlock.Participant) {
	if p.Shared {
		state += " shared"
	}
	const unknown = "-"
	pid, since, token := unknown, unknown, unknown
	if p.PID != 0 {
		pid = strconv.Itoa(p.PID)
	}
	if !p.Since.IsZero() {
		since = age(p.Since)
	}
	if p.Token != 0 {
		token = strconv.FormatUint(p.Token, 10)
	}
	fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", label, state, cmp.Or(plain(p.Host), unknown), pid, since, token, cmp.Or(plain(p.Reason), unknown))
}

func list(participants []dlock.Participant) []participant {
	out := make([]participant, 0, len(participants)) // not null in JSON
	for _, p := range participants {
		q := participant{Class: p.Class, Shared: p.Shared, Host: p.Host, PID: p.PID, Reason: p.Reason}
		if !p.Since.IsZero() {
			q.Since = &p.Since
		}
		if p.Token != 0 {
			q.Token = strconv.FormatUint(p.Token, 10)
		}
		out = append(out, q)
	}
	return out
}
