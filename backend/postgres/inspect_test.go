package postgres

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
)

func TestCardSurvives(t *testing.T) {
	for _, who := range []backend.ClientInfo{
		{},
		{Host: "db.example", PID: 1, Reason: "nightly export"},
		{Host: "db.example", PID: 1 << 30, Reason: `*/ drop table "x"; /* 'für' \ 漢 🔒` + "\n\x00"},
		{Host: "häst */", PID: 7, Reason: "/*/*/**/"},
	} {
		text := pgsql.Card(who, 1024)
		got, ours := clientOf("", text+"select 1")
		if !ours || got != who {
			t.Errorf("%+v is told as %+v by %s", who, got, text)
		}
		if strings.Count(text, "*/") != 1 || strings.Count(text, "/*") != 1 || strings.ContainsFunc(text, func(r rune) bool { return r >= 0x7f }) {
			t.Errorf("the comment %s", text)
		}
	}
	long := backend.ClientInfo{Host: "db.example", PID: 1, Reason: strings.Repeat("🔒", 300)}
	for _, most := range []int{1024, 300, 100} {
		text := pgsql.Card(long, most)
		got, _ := clientOf("", text[:min(len(text), most)])
		if got.Host != long.Host || got.PID != 1 || !strings.HasPrefix(long.Reason, got.Reason) || !utf8.ValidString(got.Reason) || len(text) > most {
			t.Errorf("of at most %d bytes: %s", most, text)
		}
	}
}

func TestApplicationName(t *testing.T) {
	long := strings.Repeat("h", 100)
	for _, c := range []struct {
		who  backend.ClientInfo
		want string
	}{
		{backend.ClientInfo{Host: "db.example", PID: 12}, "dlock db.example 12"},
		{backend.ClientInfo{Host: "my host\n", PID: 12}, "dlock my?host? 12"},
		{backend.ClientInfo{Host: long, PID: 4194304}, "dlock " + long[:49] + " 4194304"},
	} {
		got := applicationName(c.who)
		if got != c.want || len(got) > 63 {
			t.Errorf("%+v: %q", c.who, got)
		}
		if who, ours := clientOf(got, ""); !ours || who.PID != c.who.PID {
			t.Errorf("%q is told as %+v", got, who)
		}
	}
}

// Who takes a lock without dlock is there, and that is all.
func TestInspectTellsOfStrangers(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url(), dlock.WithReason("import"))
	conn, tx := r.connect(r.url()), r.tx()
	r.exec(conn, "SELECT pg_advisory_lock($1)", nameKey(backend.Mutex, "x").value)
	granted := r.acquiring(c.Mutex("x"))
	r.waiters(1)
	done := make(chan error, 1)
	go func() { done <- LockTx(r.ctx, tx, "x") }()
	r.waiters(2)
	found, err := c.Inspect(r.ctx, "x")
	r.must(err)
	if h := found.Holders; len(h) != 1 || h[0].Host != "" || h[0].PID != 0 || h[0].Shared {
		t.Errorf("holders: %+v", h)
	}
	if w := found.Waiters; len(w) != 2 || w[0].Reason != "import" || w[0].Since.IsZero() || w[1].Host != "" {
		t.Errorf("waiters: %+v", w)
	}
	r.exec(conn, "SELECT pg_advisory_unlock_all()")
	h := comes(r, "grant", granted)
	r.must(h.Release(r.ctx))
	r.must(comes(r, "lock of a transaction", done))
	found, err = c.Inspect(r.ctx, "x")
	r.must(err)
	if h := found.Holders; len(h) != 1 || h[0].Host != "" {
		t.Errorf("holders: %+v", h)
	}
	r.must(tx.Rollback(r.ctx))
}

// The lock can be seen in pg_locks under its key, and whose it is in
// pg_stat_activity.
func TestPeopleSeeLocks(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url(), dlock.WithReason("nightly export"))
	h := r.acquire(c.Mutex("x"))
	type row struct {
		application, query string
	}
	var got row
	r.must(r.watch.QueryRow(r.ctx, `SELECT application_name, query FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND classid::int8 << 32 | objid::int8 = $1`, nameKey(backend.Mutex, "x").value).Scan(&got.application, &got.query))
	if !strings.HasPrefix(got.application, "dlock ") || !strings.Contains(got.query, "nightly export") {
		t.Errorf("people see %+v", got)
	}
	r.must(h.Release(r.ctx))
	if names := ask[[]string](r, r.watch, "SELECT array_agg(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'dlock%'"); len(names) != 1 || !slices.Contains(names, got.application) {
		t.Errorf("applications %q", names)
	}
}
