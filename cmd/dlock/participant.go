package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock"
)

// describe tells of one who holds a lock or waits for it, as in "host-a, process
// 1234, for 3m12s (nightly export)".
func describe(p dlock.Participant) string {
	var parts []string
	if p.Host != "" {
		parts = append(parts, plain(p.Host))
	}
	if p.PID != 0 {
		parts = append(parts, "process "+strconv.Itoa(p.PID))
	}
	if len(parts) == 0 {
		parts = append(parts, "another program")
	}
	if !p.Since.IsZero() {
		parts = append(parts, "for "+age(p.Since))
	}
	s := strings.Join(parts, ", ")
	if p.Reason != "" {
		s += " (" + plain(p.Reason) + ")"
	}
	return s
}

// describeHolders tells of all holders of one lock, or is "" when there is none.
func describeHolders(holders []dlock.Participant) string {
	if len(holders) == 0 {
		return ""
	}
	verb := "held by "
	if holders[0].Shared {
		verb = "shared by "
	}
	switch n := len(holders) - 1; n {
	case 0:
		return verb + describe(holders[0])
	case 1:
		return verb + describe(holders[0]) + ", and 1 other"
	default:
		return fmt.Sprintf("%s%s, and %d others", verb, describe(holders[0]), n)
	}
}

// of returns those of participants who are there for a lock of that class.
func of(class string, participants []dlock.Participant) []dlock.Participant {
	var those []dlock.Participant
	for _, p := range participants {
		if p.Class == class {
			those = append(those, p)
		}
	}
	return those
}

// age returns how long ago something was, to the second. The clock of the store
// may be ahead.
func age(since time.Time) string { return round(max(time.Since(since), 0)) }

func round(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// brief returns a name fit for a line of text.
func brief(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "…"
	}
	return strconv.Quote(name)
}
