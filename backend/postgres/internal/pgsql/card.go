package pgsql

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dlock-go/dlock/backend"
)

// A business card is the comment in front of every statement, by which Inspect
// and people who look into pg_stat_activity find out who somebody is.
type businessCard struct {
	Host   string `json:"host"`
	PID    int    `json:"pid"`
	Reason string `json:"reason,omitempty"`
}

const (
	cardPrefix = "/* dlock "
	cardSuffix = " */ "
)

// Card returns the comment for a client, of which the server shows so many bytes. The reason is cut where the server would not show it
// whole.
func Card(who backend.ClientInfo, most int) string {
	const statement = 32 // Bytes of the statement that should be seen behind it.
	b := businessCard{Host: who.Host, PID: who.PID, Reason: strings.ToValidUTF8(who.Reason, "\ufffd")}
	for {
		text := cardPrefix + ascii(b) + cardSuffix
		if len(text) <= max(most-statement, 0) || b.Reason == "" && b.Host == "" {
			return text
		}
		if b.Reason == "" {
			b.Host = ""
			continue
		}
		_, last := utf8.DecodeLastRuneInString(b.Reason)
		b.Reason = b.Reason[:len(b.Reason)-last]
	}
}

// ascii encodes a card so that it survives any encoding, and ends no comment.
func ascii(b businessCard) string {
	text, err := json.Marshal(b)
	if err != nil {
		panic("dlock: " + err.Error())
	}
	var out strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '/' || r == '*' || r >= 0x7f && r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// ParseCard finds the card in a statement.
func ParseCard(statement string) (who backend.ClientInfo, ok bool) {
	text, found := strings.CutPrefix(statement, cardPrefix)
	if !found {
		return who, false
	}
	text, _, found = strings.Cut(text, cardSuffix)
	var b businessCard
	if !found || json.Unmarshal([]byte(text), &b) != nil {
		return who, false
	}
	return backend.ClientInfo{Host: b.Host, PID: b.PID, Reason: b.Reason}, true
}
