package quorum

import (
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// This file is how requests and answers are written; lua/vote_batch.lua reads and writes
// the same. lua/vote.lua lists what the nodes keep.

// kinds are the letters of requests.
var kinds = map[vote.Kind]string{
	vote.AskVote:    "V",
	vote.AskAgain:   "R",
	vote.AskRelease: "F",
	vote.AskYield:   "Y",
	vote.AskCheck:   "C",
}

// words are the answers, by their first word.
var words = map[string]vote.Word{
	"given":    vote.Given,
	"low":      vote.Low,
	"high":     vote.High,
	"busy":     vote.Busy,
	"reserved": vote.Reserved,
	"wait":     vote.Withheld,
	"limit":    vote.OtherLimit,
	"doubt":    vote.Doubted,
	"gone":     vote.Gone,
	"free":     vote.Freed,
}

// The letters of messages.
const (
	tellTurn      = 't'
	tellContended = 'c'
)

// longestWait bounds what is believed of how long a node gives no votes. Leases may be long,
// and a time has to stay one.
const longestWait = 10 * 365 * 24 * time.Hour

// appendRequest appends the ten arguments of a request.
func appendRequest(args []any, r *vote.Request) []any {
	op := r.Op()
	mode, flag := "x", "0"
	if op.Mode == backend.Shared {
		mode = "s"
	}
	if r.Flag {
		flag = "1"
	}
	return append(args, kinds[r.Kind], op.Owner, mode, flag, r.Token, r.Ticket(), r.Slot, op.Limit, r.Bucket(), r.Lock())
}

// parseAnswer reads the answer to a request. What it cannot read is a failure.
func parseAnswer(answer any) vote.Answer {
	fields, _ := answer.([]any)
	text := func(i int) string {
		if i < len(fields) {
			s, _ := fields[i].(string)
			return s
		}
		return ""
	}
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(text(i), 10, 64)
		return n
	}
	a := vote.Answer{Word: words[text(0)]}
	switch a.Word {
	case vote.Failed:
		a.Err = redisconn.ErrorText(text(1))
	case vote.Given, vote.Freed:
		a.Flag = len(fields) > 1 && fields[1] == int64(1)
	case vote.Low, vote.High:
		if a.Number = number(1); a.Number > backend.MaxOrdinal {
			return vote.Answer{Err: errMalformed}
		}
	case vote.Withheld:
		a.Wait = time.Duration(min(number(1), uint64(longestWait.Milliseconds()))) * time.Millisecond
	case vote.Busy:
		for i := 1; i+1 < len(fields); i += 2 {
			a.Rivals = append(a.Rivals, vote.Rival{Slot: uint32(number(i)), Who: text(i + 1)})
		}
	}
	return a
}
