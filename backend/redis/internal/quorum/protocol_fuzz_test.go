package quorum

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// FuzzAnswer: whatever two nodes of three answer and send, a client holds by nothing but votes.
func FuzzAnswer(f *testing.F) {
	for word := range words {
		f.Add(word, "17", int64(1), false)
		f.Add(word, "18446744073709551615", int64(-1), true)
	}
	for _, text := range []string{"t1", "t1/0", "t1/-1", "c1 t2/9223372036854775807", "t", "x1", "\xff/ /"} {
		f.Add(text, text, int64(0), true)
	}
	f.Add("wait", "3600000", int64(0), false) // Longer than the longest time to live, unless somebody says.
	f.Fuzz(func(t *testing.T, word, text string, n int64, semaphore bool) {
		q := &Engine{nodes: []*redisconn.Node{{}, {}, {}}, prefix: "q:", most: time.Minute}
		s := newSession(q, 10*time.Second, backend.ClientInfo{})
		defer s.cut()
		now := time.Now()
		op := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Wait: true, Owner: 1, Name: "x"}
		if semaphore {
			op.Class, op.Limit = backend.Semaphore, 3
		}
		for node := range 3 {
			s.votes.Up(node, now, true, now)
		}
		s.votes.Start([]backend.Op{op}, now)
		given := 0
		for range 3 {
			for node := range 2 {
				b, ok := s.votes.Take(node, now)
				if !ok {
					continue
				}
				var answers []vote.Answer
				for _, r := range b.Requests {
					a := parseAnswer([]any{word, text, n})
					if (a.Word == vote.Given) != (word == "given") {
						t.Errorf("%q is the answer %d", word, a.Word)
					}
					if a.Wait < 0 || a.Wait > longestWait || a.Number > backend.MaxOrdinal {
						t.Errorf("%q %q: %+v", word, text, a)
					}
					if ms, err := strconv.ParseInt(text, 10, 64); word == "wait" && err == nil && ms >= 0 && ms < longestWait.Milliseconds() && a.Wait.Milliseconds() != ms {
						t.Errorf("a wait of %d ms is %v", ms, a.Wait)
					}
					if r.Kind == vote.AskVote && a.Word == vote.Given {
						given++
					}
					answers = append(answers, a)
				}
				s.votes.Answer(node, answers, now, now)
			}
			s.votes.Look(now, now.Add(time.Second))
			s.pushed(s.replicas[0], fmt.Sprint(word, " ", text))
		}
		s.votes.Look(now, now)
		results, _ := s.votes.Finish(now)
		if r := results[0]; r.State == backend.Granted && (given < 2 || r.Grant.Ordinal > backend.MaxOrdinal) {
			t.Errorf("granted with %d votes and the ordinal %d", given, r.Grant.Ordinal)
		}
	})
}
