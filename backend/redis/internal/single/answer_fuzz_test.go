package single

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
)

// FuzzAnswer: whatever a server answers or sends, nothing is granted or released but by an
// answer that says so.
func FuzzAnswer(f *testing.F) {
	for _, n := range []int64{-1 << 63, -1 << 51, -5, -1, busy, waits, freed, touched, gone, 5, 1 << 40, 1 << 51, 1<<63 - 1} {
		f.Add(uint8(0), n, "")
		f.Add(uint8(1), n, "")
	}
	for _, text := range []string{"", wrongLimit, leftBehind + "NOPERM no", unchanged + "OOM no", "G1 17", "G1 -5", "G1 9223372036854775807 c", "C1", "G", "Gx 1", "\xff"} {
		f.Add(uint8(4), int64(0), text)
		f.Add(uint8(5), int64(7), text)
	}
	f.Fuzz(func(t *testing.T, shape uint8, n int64, text string) {
		s := &session{claims: make(map[uint64]*claim), engine: new(Engine)}
		s.mail = mailbox.New(&s.mu)
		b := &shard{session: s, horizon: time.Minute, lease: backend.Lease{ID: 1, Until: time.Now().Add(time.Minute)}}
		kind := []requestKind{acquire, release, touch}[shape%4%3]
		c := &claim{shard: b, owner: 1, class: backend.Mutex, wait: true, name: "x", state: state(1 + shape/16%4)}
		s.claims[1] = c
		switch c.state {
		case held:
			c.move(&b.held)
		case queued:
			c.move(&b.queued)
		}
		var v any = n
		if shape&4 != 0 {
			v = text
		}
		if shape&8 != 0 {
			v = []any{n, text}
		}
		var result backend.Result
		r := request{kind: kind, claim: c, again: shape&64 != 0}
		if kind != touch {
			r.result = &result
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		b.answer(&r, v, time.Now())
		ordinal := max(n, -n)
		switch result.State {
		case backend.Granted:
			if v != any(n) || kind != acquire || ordinal <= gone || ordinal > backend.MaxOrdinal || result.Grant.Ordinal != uint64(ordinal) {
				t.Errorf("%v is a grant with the ordinal %d", v, result.Grant.Ordinal)
			}
		case backend.Released, backend.NotHeld:
			if v != any(n) || kind != release || n != freed && n != gone {
				t.Errorf("%v is a release", v)
			}
		}
		b.news(v)
		b.hear(text)
	})
}
